#include "train/explain.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_set>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "layers/transformer.h"

namespace engine {
namespace {

using layers::Module;
using layers::VideoModel;

// Alive while a network is looked into: it is in evaluation mode.
class Watch {
 public:
  explicit Watch(Classifier& classifier) : network_(classifier.network()), was_training_(network_.training()) {
    network_.eval();
  }
  ~Watch() {
    visit([](const std::string&, VideoModel& model) { model.observer = {}; });
    network_.train(was_training_);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Calls f with the network and with those that are a part of it; the path ends in a point where it is not empty.
  template <class F>
  void visit(const F& f) {
    network_.visit([&](const std::string& path, Module& module) {
      if (auto* model = dynamic_cast<VideoModel*>(&module)) f(path.empty() ? path : path + ".", *model);
    });
  }

 private:
  VideoModel& network_;
  bool was_training_;
};

void check_clip(const Classifier& classifier, const Tensor& clip) {
  const int64_t frames = frames_to_read(classifier.description().preprocessing);
  ENGINE_CHECK(clip.rank() == 5 && clip.size(0) == 1 && clip.size(1) == frames && clip.dtype() == DType::u8,
               "explain: expected a clip (1,", frames, ",H,W,3) u8, got ", clip.shape(), " ", clip.dtype());
}

// Lets backward() from `root` reach `leaf` and no other leaf: parameters keep the gradients that they have.
void keep_only(const Tensor& leaf, const Tensor& root) {
  std::vector<Node*> nodes{root.edge().node.get()};
  std::unordered_set<Node*> known{nodes.front()};
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (Edge& edge : nodes[i]->inputs) {
      if (edge.node && edge.node->is_leaf && edge.node != leaf.edge().node) edge = {};
      if (edge.node && known.insert(edge.node.get()).second) nodes.push_back(edge.node.get());
    }
  }
}

Tensor in_double(const Tensor& x) { return cast(x.detach().to(kCpu), DType::f64); }

// relu(sum over k of the mean gradient of map k, times map k), (frames, h, w): maps and gradients (frames, h, w, C),
// weights for each `span` frames.
std::vector<double> weighted_maps(const Tensor& maps, const Tensor& gradients, int64_t span) {
  const auto channels = static_cast<size_t>(maps.size(-1));
  const auto block = static_cast<size_t>(span * maps.size(-3) * maps.size(-2));  // places that share weights
  const std::span<const double> x = maps.values<double>(), dx = gradients.values<double>();
  std::vector<double> result;
  for (size_t first = 0; first < x.size(); first += block * channels) {
    std::vector<double> weights(channels);
    for (size_t i = 0; i < block * channels; ++i) weights[i % channels] += dx[first + i] / static_cast<double>(block);
    for (size_t place = 0; place < block; ++place) {
      double sum = 0;
      for (size_t k = 0; k < channels; ++k) sum += weights[k] * x[first + place * channels + k];
      result.push_back(std::max(sum, 0.0));
    }
  }
  return result;
}

// From so many values in each of `from` stretches of time to those of `to` frames, linear between their centres.
std::vector<double> stretched(const std::vector<double>& values, int64_t from, int64_t to) {
  const size_t places = values.size() / static_cast<size_t>(from);
  std::vector<double> result;
  for (int64_t t = 0; t < to; ++t) {
    const double at = (static_cast<double>(t) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const double where = std::clamp(at, 0.0, static_cast<double>(from - 1)), rest = where - std::floor(where);
    const auto before = static_cast<size_t>(where), behind = std::min(before + 1, static_cast<size_t>(from - 1));
    for (size_t i = 0; i < places; ++i)
      result.push_back((1 - rest) * values[before * places + i] + rest * values[behind * places + i]);
  }
  return result;
}

// (value - low) / (largest - low).
Tensor scaled(const std::vector<double>& values, double low, const Shape& shape) {
  const double range = std::ranges::max(values) - low;
  const Tensor heat = Tensor::zeros(shape);
  for (size_t i = 0; i < values.size() && range > 0; ++i)
    heat.values<float>()[i] = static_cast<float>((values[i] - low) / range);
  return heat;
}

// (S, S): the probabilities with which each of x (1, S, d) looks at each, the mean over heads.
Tensor mean_probabilities(Module& attention, int64_t heads, const Tensor& x) {
  std::map<std::string, Tensor> parameters;
  for (const NamedTensor& each : attention.parameters()) parameters[each.name] = each.tensor;
  const int64_t tokens = x.size(1), width = x.size(2) / heads;
  const Tensor qkv = linear(x, parameters.at("in_proj_weight"), parameters.at("in_proj_bias"));
  const Tensor parts = permute(qkv.reshape({tokens, 3, heads, width}), {1, 2, 0, 3});
  const auto part = [&](int64_t i) { return parts.slice(i, i + 1).reshape({heads, tokens, width}); };
  const Tensor scores = matmul(part(0), part(1), {.transpose_b = true});
  return mean(softmax(affine(scores, 1 / std::sqrt(static_cast<double>(width)), 0)), 0, 0);
}

// What takes part in a rollout: of every layer the probabilities, from the first layer on.
std::vector<Tensor> encoder_probabilities(VideoModel& network, const std::string& encoder, int64_t heads, Tensor x) {
  std::map<std::string, Module*> modules;
  std::vector<std::string> names;
  network.visit([&](const std::string& path, Module& module) {
    modules[path] = &module;
    if (path.starts_with(encoder + ".layers.") && dynamic_cast<layers::TransformerEncoderLayer*>(&module))
      names.push_back(path);
  });
  std::vector<Tensor> result;
  for (const std::string& name : names) {
    const Tensor normed = (*modules.at(name + ".norm1"))(x);
    result.push_back(in_double(mean_probabilities(*modules.at(name + ".self_attn"), heads, normed)));
    x = dynamic_cast<layers::TransformerEncoderLayer&>(*modules.at(name))(x);
  }
  return result;
}

}  // namespace

Explanation grad_cam(Classifier& classifier, const Tensor& clip, int64_t target) {
  check_clip(classifier, clip);
  ENGINE_CHECK(target >= 0 && target < std::ssize(classifier.classes()), "explain: no output ", target);
  Watch watch(classifier);
  std::string layer;
  Tensor map;
  watch.visit([&](const std::string& path, VideoModel& model) {
    model.observer.map = [&, path](const std::string& name, const Tensor& x) {
      if (x.size(-3) * x.size(-2) < 2) return x;
      layer = path + name;
      map = x.detach().clone();
      return map.set_requires_grad();
    };
  });
  const Tensor logits = classifier.logits(clip.to(classifier.device()));
  if (!map)
    throw Error(concat("Grad-CAM: ", classifier.network().describe(), " has no map of a convolution with places left ",
                       "for frames of ", clip.size(3), "x", clip.size(2), " pixels; take a model of larger frames"),
                exit_code::kUsage);
  const Tensor logit = logits.reshape({-1}).slice(target, target + 1);
  keep_only(map, logit);
  logit.backward();

  const bool over_time = map.rank() == 5;
  const Tensor maps = over_time ? map.detach().flatten(0, 1) : map.detach();
  const Tensor gradients = map.grad() ? map.grad().reshape(maps.shape()) : Tensor::zeros_like(maps);
  const int64_t times = maps.size(0), frames = classifier.description().preprocessing.frames;
  const auto values = weighted_maps(in_double(maps), in_double(gradients), over_time ? times : 1);
  return {scaled(stretched(values, times, frames), 0, {frames, maps.size(1), maps.size(2)}),
          concat("Grad-CAM of ", layer, ", ", maps.size(2), "x", maps.size(1), " places")};
}

Explanation attention_map(Classifier& classifier, const Tensor& clip) {
  check_clip(classifier, clip);
  const NoGrad no_grad;
  Watch watch(classifier);
  std::string encoder;
  int64_t heads = 0;
  Tensor tokens;
  classifier.network().observer.tokens = [&](const std::string& name, int64_t count, const Tensor& x) {
    encoder = name, heads = count, tokens = x;
  };
  (void)classifier.logits(clip.to(classifier.device()));
  if (!tokens)
    throw Error(concat("attention: ", classifier.network().describe(), " has no Transformer encoder over the clip; ",
                       "use Grad-CAM"),
                exit_code::kUsage);

  const auto layers = encoder_probabilities(classifier.network(), encoder, heads, tokens.flatten(1, 3));
  const auto count = static_cast<size_t>(layers.front().size(0));
  std::vector<double> parts(count, 1 / static_cast<double>(count));  // of what the layers from here on give
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    std::vector<double> before(count);
    for (size_t i = 0; i < count; ++i)
      for (size_t j = 0; j < count; ++j)
        before[j] += parts[i] * (layer->values<double>()[i * count + j] + (i == j ? 1 : 0)) / 2;
    parts = before;
  }
  return {scaled(parts, std::ranges::min(parts), {tokens.size(1), tokens.size(2), tokens.size(3)}),
          concat("attention rollout of ", encoder, ", ", layers.size(), " layer", layers.size() == 1 ? "" : "s")};
}

bool has_attention(const Classifier& classifier) {
  const std::string& model = classifier.description().model;
  return model == "sora-serial" || model == "sora-fusion";
}

}  // namespace engine
