#include "layers/lstm.h"

#include <cmath>

namespace engine::layers {

Lstm::Lstm(int64_t inputs, int64_t hidden, Random& random, const LstmOptions& options)
    : options_(options), directions_(options.bidirectional ? 2 : 1) {
  const double bound = 1 / std::sqrt(static_cast<double>(hidden));
  for (int64_t i = 0; i < options.layers * directions_; ++i) {
    const auto add = [&](const char* name, const Shape& shape) {
      return add_parameter(concat(name, "_l", i / directions_, i % directions_ ? "_reverse" : ""),
                           uniform(shape, -bound, bound, random));
    };
    weights_.push_back({add("weight_ih", {4 * hidden, i < directions_ ? inputs : directions_ * hidden}),
                        add("weight_hh", {4 * hidden, hidden}), add("bias_ih", {4 * hidden}),
                        add("bias_hh", {4 * hidden})});
  }
}

Lstm::Result Lstm::operator()(const Tensor& x, const Tensor& h0, const Tensor& c0, const Tensor& lengths) const {
  const LayerScope here = scope();
  const auto count = static_cast<int64_t>(weights_.size());
  for (const Tensor* state : {&h0, &c0})
    ENGINE_CHECK(!*state || (state->rank() == 3 && state->size(0) == count), "Lstm: expected h0 and c0 (", count,
                 ", N, hidden), got ", state->shape());
  const auto state_of = [](const Tensor& all, int64_t i) { return all ? all.slice(i, i + 1).flatten(0, 1) : all; };
  Tensor y = x;
  std::vector<Tensor> directions, h, c;
  for (int64_t i = 0; i < count; ++i) {
    const auto& [w_ih, w_hh, b_ih, b_hh] = weights_[static_cast<size_t>(i)];
    const bool reverse = i % directions_ == 1;
    const auto out = lstm(y, w_ih, w_hh, b_ih, b_hh, state_of(h0, i), state_of(c0, i), {reverse}, lengths);
    directions.push_back(out[0]), h.push_back(out[1]), c.push_back(out[2]);
    if (static_cast<int64_t>(directions.size()) < directions_) continue;
    y = directions_ == 1 ? out[0] : concat(directions, -1);
    directions.clear();
    if (i + 1 < count) y = dropout(y, training() ? options_.dropout : 0);
  }
  const auto stacked = [&](const std::vector<Tensor>& all) { return concat(all, 0).reshape({count, x.size(0), -1}); };
  return {y, stacked(h), stacked(c)};
}

}  // namespace engine::layers
