// Where networks look: Grad-CAM and attention rollout against twins that are worked out another way.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd.h"
#include "layers/models/c3d.h"
#include "layers/models/i3d.h"
#include "layers/models/resnet.h"
#include "layers/models/vgg.h"
#include "layers/models/video_resnet.h"
#include "layers/transformer.h"
#include "train/explain.h"

using namespace engine;
using layers::VideoModel;

namespace {

constexpr double kStep = 1e-5;

const char* const kFrameNetwork = R"(
  [[layer]]
  type = "conv2d"
  outputs = 4
  activation = "relu"
  [[layer]]
  type = "max_pool2d"
  [[layer]]
  type = "conv2d"
  outputs = 5
  stride = 2
  activation = "gelu"
  [[layer]]
  type = "global_average_pool"
  [[layer]]
  type = "lstm"
  hidden = 6)";
const char* const kClipNetwork = R"(
  [[layer]]
  type = "conv3d"
  outputs = 4
  stride = [2, 1, 1]
  [[layer]]
  type = "batch_norm"
  activation = "relu"
  [[layer]]
  type = "max_pool3d")";

ModelFile description(const std::string& model, int64_t frames, int64_t height, int64_t width) {
  ModelFile file;
  file.model = model;
  file.classes = {"a", "b", "c"};
  file.preprocessing.frames = frames;
  file.preprocessing.height = height;
  file.preprocessing.width = width;
  file.preprocessing.deviation = {0.2, 0.3, 0.25};
  file.preprocessing.mean = {0.4, 0.5, 0.45};
  file.seed = 8;
  if (model.starts_with("sora-")) file.model_options["size"] = "tiny";
  return file;
}

ModelFile described(const std::string& layers, int64_t frames, int64_t height, int64_t width) {
  ModelFile file = description("mine", frames, height, width);
  file.model_options["description"] = layers;
  return file;
}

Tensor noise(const ModelFile& file, uint64_t seed) {
  Random random(seed);
  const Preprocessing& p = file.preprocessing;
  const Tensor clip = Tensor::empty({1, frames_to_read(p), p.height, p.width, 3}, DType::u8);
  for (uint8_t& value : clip.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
  return clip;
}

template <class F>
void for_each_model(Classifier& classifier, const F& f) {
  classifier.network().visit([&](const std::string& path, layers::Module& module) {
    if (auto* model = dynamic_cast<VideoModel*>(&module)) f(path.empty() ? "" : path + ".", *model);
  });
}

double logit_of(Classifier& classifier, const Tensor& clip, int64_t target) {
  const NoGrad no_grad;
  return classifier.logits(clip).values<double>()[static_cast<size_t>(target)];
}

// Grad-CAM with gradients by central differences: a channel of a map is moved at all places that share its weight.
std::vector<double> numeric_heat(Classifier& classifier, const Tensor& clip, int64_t target, const std::string& layer) {
  Tensor map, moved;
  for_each_model(classifier, [&](const std::string& path, VideoModel& model) {
    model.observer.map = [&, path](const std::string& name, const Tensor& x) {
      if (path + name != layer) return x;
      if (!map) map = x.clone();
      return moved ? moved : x;
    };
  });
  (void)logit_of(classifier, clip, target);
  REQUIRE(map);
  const bool over_time = map.rank() == 5;
  const int64_t times = map.size(over_time ? 1 : 0), channels = map.size(-1);
  const int64_t places = map.size(-3) * map.size(-2), block = over_time ? times * places : places;
  const std::span<const double> x = map.values<double>();
  std::vector<double> raw(static_cast<size_t>(times * places));
  for (int64_t first = 0; first < times * places; first += block)
    for (int64_t k = 0; k < channels; ++k) {
      double difference = 0;
      for (const double side : {1.0, -1.0}) {
        moved = map.clone();
        for (int64_t i = first; i < first + block; ++i)
          moved.values<double>()[static_cast<size_t>(i * channels + k)] += side * kStep;
        difference += side * logit_of(classifier, clip, target);
      }
      for (int64_t i = first; i < first + block; ++i)
        raw[static_cast<size_t>(i)] +=
            difference / (2 * kStep) / static_cast<double>(block) * x[static_cast<size_t>(i * channels + k)];
    }
  for_each_model(classifier, [](const std::string&, VideoModel& model) { model.observer = {}; });
  for (double& value : raw) value = std::max(value, 0.0);
  std::vector<double> heat;
  const int64_t frames = classifier.description().preprocessing.frames;
  for (int64_t t = 0; t < frames; ++t) {  // between the middles of `times` stretches
    const double at = (static_cast<double>(t) + 0.5) / static_cast<double>(frames) * static_cast<double>(times) - 0.5;
    for (int64_t i = 0; i < places; ++i) {
      double sum = 0, weights = 0;
      for (int64_t s = 0; s < times; ++s) {
        const double weight = std::max(0.0, 1 - std::abs(at - static_cast<double>(s)));
        sum += weight * raw[static_cast<size_t>(s * places + i)];
        weights += weight;
      }
      heat.push_back(sum / weights);  // outside the first and last middle one stretch alone
    }
  }
  const double most = std::ranges::max(heat);
  REQUIRE(most > 0);
  for (double& value : heat) value /= most;
  return heat;
}

void check_heat(const Tensor& heat, const std::vector<double>& expected, double tolerance) {
  REQUIRE(heat.elements() == std::ssize(expected));
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(heat.values<float>()[i]) - expected[i]));
  CHECK(worst < tolerance);
}

// A 3x3 patch of one colour in every frame from `begin` to `end`, on black.
void paint(const Tensor& clip, int64_t begin, int64_t end, int64_t y, int64_t x, std::array<uint8_t, 3> colour) {
  for (int64_t t = begin; t < end; ++t)
    for (int64_t i = 0; i < 9; ++i)
      for (int64_t c = 0; c < 3; ++c)
        clip.values<uint8_t>()[static_cast<size_t>(((t * clip.size(2) + y + i / 3) * clip.size(3) + x + i % 3) * 3 +
                                                   c)] = colour[static_cast<size_t>(c)];
}

}  // namespace

TEST_CASE("grad_cam: weights are the gradients of the output, checked by differences in f64") {
  struct Case {
    ModelFile file;
    std::string layer;
    Shape heat;
  };
  const Case cases[] = {{described(kFrameNetwork, 3, 13, 9), "conv2d_2", {3, 3, 2}},
                        {described(kClipNetwork, 7, 6, 5), "batch_norm_1", {7, 6, 5}},
                        {description("sora-serial", 2, 9, 12), "cnn.conv3", {2, 2, 3}},
                        {description("sora-fusion", 2, 8, 8), "cnn.conv3", {2, 2, 2}}};
  for (const auto& [file, layer, shape] : cases) {
    CAPTURE(layer);
    Classifier classifier(file);
    classifier.network().eval();
    classifier.move_to(kCpu, DType::f64);
    for (const int64_t target : file.model == "mine" ? std::vector<int64_t>{0, 2} : std::vector<int64_t>{1}) {
      const Tensor clip = noise(file, 21 + static_cast<uint64_t>(target));
      const Explanation explanation = grad_cam(classifier, clip, target);
      CHECK(explanation.heat.shape() == shape);
      CHECK(explanation.method == concat("Grad-CAM of ", layer, ", ", shape[2], "x", shape[1], " places"));
      check_heat(explanation.heat, numeric_heat(classifier, clip, target, layer), 1e-6);
    }
  }
}

TEST_CASE("grad_cam: heat lies where what decides lies, and when") {
  ModelFile file =
      described("[[layer]]\ntype = \"conv2d\"\noutputs = 2\nbias = false\nactivation = \"relu\"\n", 4, 16, 16);
  file.preprocessing.mean = {0, 0, 0};
  file.preprocessing.deviation = {1, 1, 1};
  Classifier classifier(file);
  for (const NamedTensor& each : classifier.network().parameters()) fill(each.tensor.detach(), 0);
  for (const NamedTensor& each : classifier.network().parameters()) {
    const std::span<float> w = each.tensor.detach().values<float>();
    if (each.name == "conv2d_1.weight")
      for (const size_t i : {0u, 1u}) w[(i * 9 + 4) * 3 + i] = 0.75f;  // map 0 is red, map 1 green
    if (each.name == "head.weight") w[0] = 1.5f, w[1] = -0.5f, w[2] = -0.5f, w[3] = 1.25f;
  }
  const Tensor clip = Tensor::zeros({1, 4, 16, 16, 3}, DType::u8);
  paint(clip, 0, 2, 2, 3, {220, 0, 0});     // red above to the left, at first
  paint(clip, 1, 4, 10, 11, {0, 180, 30});  // green below to the right, later
  const auto part = [](const Tensor& heat, int64_t begin, int64_t end, bool below) {
    double inside = 0;
    for (int64_t t = begin; t < end; ++t)
      for (int64_t i = 0; i < 64; ++i)
        inside += static_cast<double>(
            heat.values<float>()[static_cast<size_t>((t * 16 + i / 8 + 8 * below) * 16 + i % 8 + 8 * below)]);
    return inside / std::accumulate(heat.values<float>().begin(), heat.values<float>().end(), 0.0);
  };
  const Tensor red = grad_cam(classifier, clip, 0).heat, green = grad_cam(classifier, clip, 1).heat;
  CHECK(part(red, 0, 2, false) == doctest::Approx(1));
  CHECK(part(green, 1, 4, true) == doctest::Approx(1));
  CHECK(std::ranges::max(red.values<float>()) == 1);
  CHECK(std::ranges::max(grad_cam(classifier, clip, 2).heat.values<float>()) == 0);  // nothing speaks for it
}

TEST_CASE("grad_cam: the network is left as it was") {
  const ModelFile file = description("sora-serial", 2, 16, 16);
  Classifier classifier(file);
  classifier.network().train();
  const Tensor clip = noise(file, 3);
  mean(square(classifier.logits(clip))).backward();
  std::vector<Tensor> before;
  for (const NamedTensor& each : classifier.network().parameters()) before.push_back(each.tensor.grad().clone());
  const int64_t nodes = Node::live();
  (void)grad_cam(classifier, clip, 1);
  (void)attention_map(classifier, clip);
  CHECK(Node::live() == nodes);
  CHECK(classifier.network().training());
  size_t i = 0, changed = 0;
  for (const NamedTensor& each : classifier.network().parameters())
    changed += std::ranges::equal(each.tensor.grad().values<float>(), before[i++].values<float>()) ? 0 : 1;
  CHECK(changed == 0);
  for_each_model(classifier, [](const std::string&, VideoModel& model) {
    CHECK(!model.observer.map);
    CHECK(!model.observer.tokens);
  });
  CHECK_THROWS_AS(grad_cam(classifier, clip, 3), Error);
  CHECK_THROWS_AS(grad_cam(classifier, clip.reshape({2, 1, 16, 16, 3}), 0), Error);
}

TEST_CASE("grad_cam: frames too small for any place to be left are refused; differences have a heat per frame") {
  Classifier small(described("[[layer]]\ntype = \"conv2d\"\noutputs = 2\nkernel = 8\npadding = 0\n", 2, 8, 8));
  CHECK_THROWS_WITH(grad_cam(small, noise(small.description(), 1), 0),
                    doctest::Contains(" has no map of a convolution with places left for frames of 8x8 pixels; take a "
                                      "model of larger frames"));
  ModelFile file = description("sora-cnn", 3, 8, 16);
  file.preprocessing.input = "rgb+diff";
  file.model_options.clear();
  Classifier differences(file);
  const Tensor clip = noise(file, 5);
  CHECK(clip.size(1) == 4);
  CHECK(grad_cam(differences, clip, 0).heat.shape() == Shape{3, 2, 4});
}

TEST_CASE("the maps that models tell of, and what is put in their place") {
  Random random(6);
  const layers::ModelOptions options{.outputs = 3};
  struct Case {
    std::shared_ptr<VideoModel> model;
    std::string last;
    Shape map;
  };
  const Case cases[] = {
      {std::make_shared<layers::ResNet>(options, random, 18), "layer4", {2, 2, 1, 512}},
      {std::make_shared<layers::Vgg>(options, random, 11, 7), "features.19", {2, 2, 2, 512}},
      {std::make_shared<layers::C3d>(options, random, 7), "conv5b", {1, 1, 2, 2, 512}},
      {std::make_shared<layers::I3d>(options, random), "Mixed_5c", {1, 1, 2, 1, 1024}},
      {std::make_shared<layers::VideoResNet>(options, random, layers::VideoResNet::Kind::mc3),
       "layer4",
       {1, 2, 3, 2, 512}},
  };
  const NoGrad no_grad;
  const Tensor clip = normal({1, 2, 33, 32, 3}, 0, 1, random);
  for (const auto& [model, last, shape] : cases) {
    CAPTURE(model->describe());
    model->eval();
    std::string name;
    Shape seen;
    double factor = 1;
    model->observer.map = [&](const std::string& layer, const Tensor& x) {
      name = layer, seen = x.shape();
      return layer == last ? affine(x, factor, 0) : x;
    };
    const Tensor plain = (*model)(clip);
    CHECK(name == last);
    CHECK(seen == shape);
    factor = -1.25;
    CHECK(!std::ranges::equal(plain.values<float>(), (*model)(clip).values<float>()));
  }
}

TEST_CASE("attention_map: rollout by loops over the probabilities of every layer") {
  for (const std::string name : {"sora-serial", "sora-fusion"}) {
    CAPTURE(name);
    ModelFile file = description(name, 3, 8, 9);
    file.model_options["size"] = "small";  // two layers, four heads
    Classifier classifier(file);
    classifier.network().eval();
    classifier.move_to(kCpu, DType::f64);
    CHECK(has_attention(classifier));
    const Tensor clip = noise(file, 12);
    const NoGrad no_grad;
    Tensor x;
    classifier.network().observer.tokens = [&](const std::string& encoder, int64_t heads, const Tensor& tokens) {
      CHECK(encoder == "encoder");
      CHECK(heads == 4);
      x = tokens.flatten(1, 3);
    };
    (void)classifier.logits(clip);
    classifier.network().observer = {};
    const auto count = static_cast<size_t>(x.size(1)), width = static_cast<size_t>(x.size(2)), head = width / 4;
    REQUIRE(count == (name == "sora-serial" ? 3 : 48));
    std::vector<double> rollout(count * count);
    for (size_t i = 0; i < count; ++i) rollout[i * count + i] = 1;
    int layers = 0;
    classifier.network().visit([&](const std::string&, layers::Module& module) {
      auto* layer = dynamic_cast<layers::TransformerEncoderLayer*>(&module);
      if (!layer) return;
      ++layers;
      layers::Module *norm = nullptr, *attention = nullptr;
      layer->visit([&](const std::string& part, layers::Module& each) {
        if (part == "norm1") norm = &each;
        if (part == "self_attn") attention = &each;
      });
      REQUIRE(norm);
      const Tensor normed = (*norm)(x);
      const auto parameters = attention->parameters();
      const std::span<const double> w = parameters[0].tensor.values<double>(),
                                    b = parameters[1].tensor.values<double>();
      const std::span<const double> in = normed.values<double>();
      const auto projected = [&](size_t token, size_t row) {
        double sum = b[row];
        for (size_t c = 0; c < width; ++c) sum += w[row * width + c] * in[token * width + c];
        return sum;
      };
      std::vector<double> qkv(count * 3 * width);
      for (size_t t = 0; t < count; ++t)
        for (size_t row = 0; row < 3 * width; ++row) qkv[t * 3 * width + row] = projected(t, row);
      std::vector<double> p(count * count), mixed(count * width);
      for (size_t h = 0; h < 4; ++h)
        for (size_t i = 0; i < count; ++i) {
          std::vector<double> e(count);
          double all = 0;
          for (size_t j = 0; j < count; ++j) {
            double dot = 0;
            for (size_t c = h * head; c < (h + 1) * head; ++c)
              dot += qkv[i * 3 * width + c] * qkv[j * 3 * width + width + c];
            all += e[j] = std::exp(dot / std::sqrt(static_cast<double>(head)));
          }
          for (size_t j = 0; j < count; ++j) {
            p[i * count + j] += e[j] / all / 4;
            for (size_t c = h * head; c < (h + 1) * head; ++c)
              mixed[i * width + c] += e[j] / all * qkv[j * 3 * width + 2 * width + c];
          }
        }
      // These are the probabilities that the layer itself looks with.
      const Tensor through = linear(Tensor::from(mixed, {1, x.size(1), x.size(2)}), parameters[2].tensor.detach(),
                                    parameters[3].tensor.detach());
      const Tensor own = (*dynamic_cast<layers::MultiHeadAttention*>(attention))(normed);
      double worst = 0;
      for (size_t i = 0; i < mixed.size(); ++i)
        worst = std::max(worst, std::abs(own.values<double>()[i] - through.values<double>()[i]));
      CHECK(worst < 1e-12);
      std::vector<double> next(count * count);
      for (size_t i = 0; i < count; ++i)
        for (size_t k = 0; k < count; ++k)
          for (size_t j = 0; j < count; ++j)
            next[i * count + j] += (p[i * count + k] + (i == k ? 1 : 0)) / 2 * rollout[k * count + j];
      rollout = next;
      x = (*layer)(x);
    });
    CHECK(layers == 2);
    std::vector<double> heat(count);
    for (size_t i = 0; i < count * count; ++i) heat[i % count] += rollout[i];
    const auto [least, most] = std::ranges::minmax(std::vector(heat));
    for (double& value : heat) value = (value - least) / (most - least);
    const Explanation explanation = attention_map(classifier, clip);
    CHECK(explanation.heat.shape() == (name == "sora-serial" ? Shape{3, 1, 1} : Shape{3, 4, 4}));
    CHECK(explanation.method == "attention rollout of encoder, 2 layers");
    check_heat(explanation.heat, heat, 1e-6);
  }
  Classifier none(description("resnet18", 2, 32, 32));
  CHECK(!has_attention(none));
  CHECK_THROWS_WITH(attention_map(none, noise(none.description(), 1)),
                    doctest::Contains(" has no Transformer encoder over the clip; use Grad-CAM"));
}
