#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

// y = f(x weight^T + bias): x (..., inputs) -> (..., outputs). Parameters: weight (outputs, inputs), bias (outputs).
class Linear : public Module {
 public:
  struct Options {
    bool bias = true;
    Unary activation = {Unary::affine};
  };
  Linear(int64_t inputs, int64_t outputs, Random& random);
  Linear(int64_t inputs, int64_t outputs, Random& random, const Options& options);

  std::string describe() const override;

 protected:
  Tensor forward(const Tensor& x) override { return linear(x, weight_, bias_, options_.activation); }

 private:
  Options options_;
  Tensor weight_, bias_;
};

}  // namespace engine::layers
