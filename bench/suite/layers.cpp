#include "bench/suite/suite.h"
#include "engine/autograd.h"
#include "engine/random.h"
#include "layers/conv2d.h"
#include "layers/conv3d.h"
#include "layers/linear.h"
#include "layers/lstm.h"
#include "layers/transformer.h"
#include "train/op_watch.h"

namespace engine::bench {
namespace {

constexpr int64_t kFeatures = 128, kHeads = 4;

using Forward = std::function<Tensor(const Tensor& x)>;

struct Made {
  std::shared_ptr<layers::Module> module;
  Forward forward;
};

// A layer, and the shape of what it takes.
struct Layer {
  std::string name;
  Shape x;
  std::function<Made(Random& random, const Suite& suite)> make;
};

template <class M>
Made placed(const std::shared_ptr<M>& module, const Suite& suite) {
  module->to(suite.dtype);
  module->to(suite.device);
  return {module, [module](const Tensor& x) {
            if constexpr (std::is_same_v<M, layers::Lstm>)
              return (*module)(x, {}, {}).y;
            else
              return (*module)(x);
          }};
}

// Work of sora-fusion small and of networks for video, on 8 clips.
std::vector<Layer> layers_of(const Suite& suite) {
  const int64_t n = suite.quick ? 1 : 8;
  const layers::TransformerOptions transformer{
      .features = kFeatures, .heads = kHeads, .feed_forward = 4 * kFeatures, .norm_first = true};
  return {
      {"Linear 128 512",
       {192 * n, kFeatures},
       [](Random& r, const Suite& s) {
         return placed(std::make_shared<layers::Linear>(kFeatures, 4 * kFeatures, r), s);
       }},
      {"Conv2d 32 64 3x3",
       {12 * n, 32, 32, 32},
       [](Random& r, const Suite& s) { return placed(std::make_shared<layers::Conv2d>(32, 64, r), s); }},
      {"Conv3d 64 64 3x3x3",
       {n, 8, 16, 16, 64},
       [](Random& r, const Suite& s) {
         return placed(std::make_shared<layers::Conv3d>(64, 64, r, layers::Conv3d::Options{}), s);
       }},
      {"BatchNorm 64",
       {12 * n, 16, 16, 64},
       [](Random&, const Suite& s) { return placed(std::make_shared<layers::BatchNorm>(64), s); }},
      {"LayerNorm 128",
       {192 * n, kFeatures},
       [](Random&, const Suite& s) { return placed(std::make_shared<layers::LayerNorm>(kFeatures), s); }},
      {"Lstm 128 128",
       {n, 12, kFeatures},
       [](Random& r, const Suite& s) { return placed(std::make_shared<layers::Lstm>(kFeatures, kFeatures, r), s); }},
      {"MultiHeadAttention 128 4",
       {n, 192, kFeatures},
       [](Random& r, const Suite& s) {
         return placed(std::make_shared<layers::MultiHeadAttention>(kFeatures, kHeads, r), s);
       }},
      {"TransformerEncoderLayer 128 4",
       {n, 192, kFeatures},
       [transformer](Random& r, const Suite& s) {
         return placed(std::make_shared<layers::TransformerEncoderLayer>(transformer, r), s);
       }},
      {"TransformerDecoderLayer 128 4",
       {n, 12, kFeatures},
       [transformer, n](Random& r, const Suite& s) -> Made {
         const auto layer = std::make_shared<layers::TransformerDecoderLayer>(transformer, r);
         layer->to(s.dtype);
         layer->to(s.device);
         const Tensor memory = cast(normal({n, 192, kFeatures}, 0, 1, r), s.dtype).to(s.device);
         return {layer, [layer, memory](const Tensor& x) { return (*layer)(x, memory); }};
       }},
  };
}

Work pass_of(const Layer& layer, bool backward, const Suite& suite) {
  Random random(3, 1);
  const auto [module, forward] = layer.make(random, suite);
  const auto drawn = [&](const Shape& shape) {
    return cast(normal(shape, 0, 1, random), suite.dtype).to(suite.device);
  };
  Tensor x = drawn(layer.x);
  Work work;
  work.items = static_cast<double>(x.size(0));
  work.item = "rows";
  const OpWatch watch;
  if (!backward) {
    work.call = [forward = forward, x] {
      const NoGrad none;
      forward(x);
    };
    work.call();
    work.flop = watch.flop;
    return work;
  }
  x.set_requires_grad();
  const Tensor seed = drawn(forward(x).shape());
  work.flop = 3 * watch.flop;
  std::vector<Tensor> leaves{x};
  for (const NamedTensor& parameter : module->parameters()) leaves.push_back(parameter.tensor);
  work.call = [forward = forward, leaves, seed] {
    for (const Tensor& leaf : leaves) leaf.zero_grad();
    forward(leaves[0]).backward(seed);
  };
  return work;
}

}  // namespace

void add_layers(const Suite& suite) {
  for (const Layer& layer : layers_of(suite))
    for (const bool backward : {false, true})
      add(suite, concat("layer/", layer.name, backward ? "/forward+backward" : "/forward"),
          [layer, backward, &suite] { return pass_of(layer, backward, suite); });
}

}  // namespace engine::bench
