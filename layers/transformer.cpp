#include "layers/transformer.h"

#include "layers/linear.h"

namespace engine::layers {

TransformerLayer::TransformerLayer(const TransformerOptions& options, Random& random,
                                   const std::vector<std::string>& attentions)
    : options_(options) {
  const int64_t features = options.features, inside = options.feed_forward;
  for (const std::string& name : attentions)
    attentions_.push_back(
        add_child(name, std::make_shared<MultiHeadAttention>(features, options.heads, random, options.dropout)));
  const Linear::Options activated{.activation = options.activation};
  linear1_ = add_child("linear1", std::make_shared<Linear>(features, inside, random, activated));
  linear2_ = add_child("linear2", std::make_shared<Linear>(inside, features, random));
  for (size_t i = 1; i <= attentions.size() + 1; ++i)
    norms_.push_back(add_child(concat("norm", i), std::make_shared<LayerNorm>(features)));
}

Tensor TransformerLayer::through(Tensor x, std::vector<Sublayer> sublayers) const {
  const LayerScope here = scope();
  const double probability = training() ? options_.dropout : 0;
  sublayers.push_back([&](const Tensor& y) { return (*linear2_)(dropout((*linear1_)(y), probability)); });
  Tensor normed = options_.norm_first ? (*norms_[0])(x) : x;  // what the next sublayer takes
  for (size_t i = 0; i < sublayers.size(); ++i) {
    const Tensor change = sublayers[i](normed);
    const size_t norm = options_.norm_first ? i + 1 : i;
    if (norm == norms_.size()) return add(dropout(change, probability), x);  // its norm is the next layer's first
    const auto out = norms_[norm]->with_residual(change, x, probability);
    normed = out[0], x = options_.norm_first ? out[1] : normed;
  }
  return x;
}

Tensor TransformerEncoderLayer::operator()(const Tensor& x, const AttentionMask& mask) const {
  return through(x, {[&](const Tensor& y) { return (*attentions_[0])(y, mask); }});
}

Tensor TransformerDecoderLayer::operator()(const Tensor& x, const Tensor& memory, const AttentionMask& mask,
                                           const AttentionMask& memory_mask) const {
  return through(x, {[&](const Tensor& y) { return (*attentions_[0])(y, mask); },
                     [&](const Tensor& y) { return (*attentions_[1])(y, memory, memory_mask); }});
}

}  // namespace engine::layers
