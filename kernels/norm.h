// Normalisation. Statistics, weights and their gradients are f32 where x is bf16, else of x's type.
#pragma once

#include "kernels/dropout.h"
#include "kernels/pointwise.h"

namespace engine {

// Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450) of each row x (rows..., C):
//   y = (x - mean) rstd w + bias, mean and variance (divided by C) over the row, rstd = 1 / sqrt(variance + eps).
struct LayerNorm {
  double eps = 1e-5;
};

// w, bias (C); mean, rstd (rows). With `residual` (x's shape): dropout(x) + residual (kernels/dropout.h) is normalised,
// and written to `sum` as well; without one both are undefined, and so is `step` where the probability is 0. What is
// dropped is rounded to x's type before it is added: fused or not, the bits are the same.
ENGINE_KERNEL(layer_norm_forward, const LayerNorm& p, const Dropout& d, ConstView step, ConstView x, ConstView residual,
              ConstView w, ConstView bias, View y, View sum, View mean, View rstd);

// x: what was normalised. dsum: a further gradient of x that is added into its gradient, or undefined. Without dropout
// (probability 0) dx is the gradient of x, and dresidual undefined; with it dresidual is, and dx what dropout makes of
// dresidual. dx, dresidual, dw, dbias are assigned.
ENGINE_KERNEL(layer_norm_backward, const Dropout& d, ConstView step, ConstView x, ConstView w, ConstView mean,
              ConstView rstd, ConstView dy, ConstView dsum, View dx, View dresidual, View dw, View dbias);

// Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) per channel of x (N, ..., C), count = elements / C:
//   y = f( (x - mean) rstd w + bias + residual ).
// The running statistics move by running += momentum (batch - running), where the batch's variance is divided by count
// - 1.
struct BatchNorm {
  double eps = 1e-5;
  double momentum = 0.1;
};

// f: affine with alpha 1 and beta 0 (nothing), or relu. residual may be undefined. mean and rstd (C) are assigned what
// normalises x: in training the batch's, to which running_mean and running_var (C) are moved in place; otherwise what
// these two say (where there are rows: without any, nothing is normalised).
ENGINE_KERNEL(batch_norm_forward, const BatchNorm& p, const Unary& f, bool training, ConstView x, ConstView residual,
              ConstView w, ConstView bias, View y, View mean, View rstd, View running_mean, View running_var);

// y: of forward where f was relu, else undefined. dresidual: defined where f was relu and there was a residual, which
// then gets its gradient (without relu that is dy). training: mean and rstd depend on x; otherwise they are constants.
// dx, dresidual, dw, dbias are assigned.
ENGINE_KERNEL(batch_norm_backward, bool training, ConstView x, ConstView y, ConstView w, ConstView bias, ConstView mean,
              ConstView rstd, ConstView dy, View dx, View dresidual, View dw, View dbias);

}  // namespace engine
