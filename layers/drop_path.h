#pragma once

#include "layers/dropout.h"

namespace engine::layers {

// Stochastic depth (Huang et al., arXiv 1603.09382), for the branch of a residual sum: in training each sample of x
// (N, ...) is 0 as a whole with the given probability, else x / (1 - probability). Draws as op dropout does.
class DropPath : public Dropout {
 public:
  using Dropout::Dropout;
  std::string describe() const override { return Dropout::describe() + " of whole samples"; }

 protected:
  Tensor forward(const Tensor& x) override {
    if (!training()) return x;
    const Tensor factors = Dropout::forward(Tensor::full({x.size(0), 1, 1}, 1.0, x.dtype(), x.device()));
    return matmul(factors, x.reshape({x.size(0), 1, -1})).reshape(x.shape());
  }
};

}  // namespace engine::layers
