#pragma once

#include "layers/module.h"

namespace engine::layers {

// Zeroes elements with the given probability in training; does nothing in evaluation.
class Dropout : public Module {
 public:
  explicit Dropout(double probability) : probability_(probability) {
    ENGINE_CHECK(probability >= 0.0 && probability < 1.0, "Dropout: expected a probability in [0, 1), got ",
                 probability);
  }
  std::string describe() const override { return concat("Dropout ", probability_); }

 protected:
  Tensor forward(const Tensor& x) override { return training() && probability_ > 0 ? dropout(x, probability_) : x; }

 private:
  double probability_;
};

}  // namespace engine::layers
