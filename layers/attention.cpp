#include "layers/attention.h"

#include "layers/init.h"
#include "layers/linear.h"

namespace engine::layers {

MultiHeadAttention::MultiHeadAttention(int64_t features, int64_t heads, Random& random, double dropout)
    : features_(features), heads_(heads), dropout_(dropout) {
  ENGINE_CHECK(heads >= 1 && features % heads == 0, "MultiHeadAttention: ", features, " features do not divide into ",
               heads, " heads");
  weight_ = add_parameter("in_proj_weight", xavier_uniform({3 * features, features}, features, 3 * features, random));
  bias_ = add_parameter("in_proj_bias", Tensor::zeros({3 * features}));
  out_ = add_child("out_proj", std::make_shared<Linear>(features, features, random));
}

AttentionOptions MultiHeadAttention::options(const AttentionMask& mask) const {
  return {.causal = mask.causal, .lengths = mask.lengths, .dropout = training() ? dropout_ : 0};
}

Tensor MultiHeadAttention::operator()(const Tensor& x, const AttentionMask& mask) const {
  const LayerScope here = scope();
  const Tensor qkv = linear(x, weight_, bias_).reshape({x.size(0), -1, 3, heads_, features_ / heads_});
  return (*out_)(attention_packed(qkv, options(mask)).reshape(x.shape()));
}

Tensor MultiHeadAttention::operator()(const Tensor& x, const Tensor& memory, const AttentionMask& mask) const {
  const LayerScope here = scope();
  const auto projected = [&](const Tensor& from, int64_t part) {
    const int64_t begin = part * features_, end = begin + features_;
    return linear(from, weight_.slice(begin, end), bias_.slice(begin, end))
        .reshape({from.size(0), -1, heads_, features_ / heads_});
  };
  const Tensor y = attention(projected(x, 0), projected(memory, 1), projected(memory, 2), options(mask));
  return (*out_)(y.reshape(x.shape()));
}

}  // namespace engine::layers
