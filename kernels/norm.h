// Normalisation. Statistics, weights and their gradients are f32 where x is bf16, else of x's type.
#pragma once

#include "kernels/context.h"
#include "kernels/pointwise.h"

namespace engine {

// Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450) of each row x (rows..., C):
//   y = (x - mean) rstd w + bias, mean and variance (divided by C) over the row, rstd = 1 / sqrt(variance + eps).
struct LayerNorm {
  double eps = 1e-5;
};

// w, bias (C); mean, rstd (rows). With `residual` (x's shape): x + residual is normalised, and written to `sum` as
// well; both are undefined without.
void layer_norm_forward(CpuContext& ctx, const LayerNorm& p, ConstView x, ConstView residual, ConstView w,
                        ConstView bias, View y, View sum, View mean, View rstd);
void layer_norm_forward(CudaContext& ctx, const LayerNorm& p, ConstView x, ConstView residual, ConstView w,
                        ConstView bias, View y, View sum, View mean, View rstd);

// x: what was normalised. dsum: a further gradient of x that is added into dx, or undefined. dx, dw, dbias are
// assigned.
void layer_norm_backward(CpuContext& ctx, ConstView x, ConstView w, ConstView mean, ConstView rstd, ConstView dy,
                         ConstView dsum, View dx, View dw, View dbias);
void layer_norm_backward(CudaContext& ctx, ConstView x, ConstView w, ConstView mean, ConstView rstd, ConstView dy,
                         ConstView dsum, View dx, View dw, View dbias);

// Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) per channel of x (N, ..., C), count = elements / C:
//   y = f( (x - mean) rstd w + bias + residual ).
// The running statistics move by running += momentum (batch - running), where the batch's variance is divided by count
// - 1.
struct BatchNorm {
  double eps = 1e-5;
  double momentum = 0.1;
};

// Training: mean and rstd (C) of the batch are computed and written, running_mean and running_var (C) are updated in
// place. residual may be undefined. f: affine with alpha 1 and beta 0 (nothing), or relu.
void batch_norm_forward_training(CpuContext& ctx, const BatchNorm& p, const Unary& f, ConstView x, ConstView residual,
                                 ConstView w, ConstView bias, View y, View mean, View rstd, View running_mean,
                                 View running_var);
void batch_norm_forward_training(CudaContext& ctx, const BatchNorm& p, const Unary& f, ConstView x, ConstView residual,
                                 ConstView w, ConstView bias, View y, View mean, View rstd, View running_mean,
                                 View running_var);

// Evaluation: by the running statistics.
void batch_norm_forward_inference(CpuContext& ctx, const BatchNorm& p, const Unary& f, ConstView x, ConstView residual,
                                  ConstView w, ConstView bias, ConstView running_mean, ConstView running_var, View y);
void batch_norm_forward_inference(CudaContext& ctx, const BatchNorm& p, const Unary& f, ConstView x, ConstView residual,
                                  ConstView w, ConstView bias, ConstView running_mean, ConstView running_var, View y);

// dy: the gradient before f, that is of (x - mean) rstd w + bias + residual (so it is the residual's gradient as well).
// batch_statistics: mean and rstd were computed from x (training) and depend on it; otherwise they are constants.
void batch_norm_backward(CpuContext& ctx, bool batch_statistics, ConstView x, ConstView w, ConstView mean,
                         ConstView rstd, ConstView dy, View dx, View dw, View dbias);
void batch_norm_backward(CudaContext& ctx, bool batch_statistics, ConstView x, ConstView w, ConstView mean,
                         ConstView rstd, ConstView dy, View dx, View dw, View dbias);

}  // namespace engine
