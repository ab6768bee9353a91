#pragma once

#include "engine/random.h"
#include "layers/module.h"

namespace engine::layers {

// Which keys a query sees.
struct AttentionMask {
  bool causal = false;  // query s sees keys 0 .. s
  Tensor lengths{};     // i64 (N), keys that the queries of each batch see, or undefined: all of them
};

// Several heads of attention between two projections (kernels/attention.h). Parameters, as
// torch.nn.MultiheadAttention names and starts them: in_proj_weight (3E, E), in_proj_bias (3E), out_proj.weight (E, E),
// out_proj.bias (E); rows of in_proj in the order q, k, v. A query that sees no key gives out_proj.bias.
class MultiHeadAttention : public Module {
 public:
  // dropout: of the probabilities, in training.
  MultiHeadAttention(int64_t features, int64_t heads, Random& random, double dropout = 0);
  std::string describe() const override { return concat("MultiHeadAttention of ", heads_, " heads"); }

  // Of x (N, S, E) to itself.
  Tensor operator()(const Tensor& x, const AttentionMask& mask = {}) const;
  // From x (N, S, E) to memory (N, L, E) -> (N, S, E).
  Tensor operator()(const Tensor& x, const Tensor& memory, const AttentionMask& mask = {}) const;

 protected:
  Tensor forward(const Tensor& x) override { return (*this)(x, AttentionMask{}); }

 private:
  AttentionOptions options(const AttentionMask& mask) const;

  int64_t features_, heads_;
  double dropout_;
  Tensor weight_, bias_;
  std::shared_ptr<Module> out_;
};

}  // namespace engine::layers
