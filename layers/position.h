#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

// Tells tokens where they are: x (N, places..., features) + table (places..., features), with one axis of places for
// each axis of time or space: (T), (h, w), (T, h, w) or (T, h * w).
class PositionalEncoding : public Module {
 public:
  // Sinusoids (Vaswani et al., arXiv 1706.03762, 3.5), for any number of places. Each of k axes has about a k-th of the
  // pairs of features to itself, m say: pair j of place p is the sine and cosine of p / 10000^(j / m). features is
  // even.
  PositionalEncoding() = default;
  // Learned: the sum over the axes of a vector per place, normal with deviation 0.02 at first. Parameters: axis0
  // (places[0], features), axis1, ...; x may have fewer places, not more.
  PositionalEncoding(const Shape& places, int64_t features, Random& random);
  std::string describe() const override { return concat("PositionalEncoding, ", learned_.size(), " axes learned"); }

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  std::vector<Tensor> learned_;
  Tensor sinusoids_;  // the last table used
};

}  // namespace engine::layers
