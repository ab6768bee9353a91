// Encoder and decoder of the Transformer (Vaswani et al., "Attention is all you need", arXiv 1706.03762), with the
// norm behind every residual sum as there, or in front of every sublayer (Xiong et al., arXiv 2002.04745). Parameters
// have the names of torch.nn.TransformerEncoder, TransformerDecoder and their layers.
#pragma once

#include "layers/attention.h"
#include "layers/norm.h"

namespace engine::layers {

struct TransformerOptions {
  int64_t features = 512, heads = 8, feed_forward = 2048;
  double dropout = 0.1;  // of what every sublayer gives, of its probabilities and inside the feed-forward part
  Unary activation = {Unary::relu};
  bool norm_first = false;
  int64_t layers = 6;       // of a stack
  bool final_norm = false;  // behind a stack
};

// What both kinds of layer have in common: attentions, the feed-forward part, and a norm for each of them.
class TransformerLayer : public Module {
 protected:
  using Sublayer = std::function<Tensor(const Tensor& x)>;
  TransformerLayer(const TransformerOptions& options, Random& random, const std::vector<std::string>& attentions);
  // x through `sublayers` and then the feed-forward part.
  Tensor through(Tensor x, std::vector<Sublayer> sublayers) const;

  std::vector<std::shared_ptr<MultiHeadAttention>> attentions_;

 private:
  TransformerOptions options_;
  std::shared_ptr<Module> linear1_, linear2_;
  std::vector<std::shared_ptr<LayerNorm>> norms_;
};

class TransformerEncoderLayer : public TransformerLayer {
 public:
  TransformerEncoderLayer(const TransformerOptions& options, Random& random)
      : TransformerLayer(options, random, {"self_attn"}) {}
  std::string describe() const override { return "TransformerEncoderLayer"; }
  // x (N, S, features) -> the same.
  Tensor operator()(const Tensor& x, const AttentionMask& mask = {}) const;
};

class TransformerDecoderLayer : public TransformerLayer {
 public:
  TransformerDecoderLayer(const TransformerOptions& options, Random& random)
      : TransformerLayer(options, random, {"self_attn", "multihead_attn"}) {}
  std::string describe() const override { return "TransformerDecoderLayer"; }
  // x (N, S, features), which also looks at memory (N, L, features) -> (N, S, features).
  Tensor operator()(const Tensor& x, const Tensor& memory, const AttentionMask& mask = {},
                    const AttentionMask& memory_mask = {}) const;
};

// Layers "layers.0", "layers.1", ... and, if it is wanted, a last "norm".
template <class Layer>
class TransformerStack : public Module {
 public:
  TransformerStack(const TransformerOptions& options, Random& random) {
    for (int64_t i = 0; i < options.layers; ++i)
      layers_.push_back(add_child(concat("layers.", i), std::make_shared<Layer>(options, random)));
    if (options.final_norm) norm_ = add_child("norm", std::make_shared<LayerNorm>(options.features));
  }
  std::string describe() const override { return concat("Transformer of ", layers_.size(), " layers"); }
  // As its layers take them.
  template <class... Arguments>
  Tensor operator()(Tensor x, const Arguments&... arguments) const {
    for (const auto& layer : layers_) x = (*layer)(x, arguments...);
    return norm_ ? (*norm_)(x) : x;
  }

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
};
using TransformerEncoder = TransformerStack<TransformerEncoderLayer>;
using TransformerDecoder = TransformerStack<TransformerDecoderLayer>;

}  // namespace engine::layers
