// Every public op. Differentiable in its float tensors unless it says otherwise; all tensors of a call are on one
// device. Shapes: N batch, H height, W width, C channels, K output channels; "(..., C)" is any number of axes ending in
// C. Float tensors of one call have one type (f32, f64 or bf16) where nothing else is said. A wrong argument throws an
// Error that names the op, the shapes and what would be right.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/tensor.h"
#include "kernels/conv.h"
#include "kernels/frame.h"
#include "kernels/loss.h"
#include "kernels/lstm.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/pool.h"

namespace engine {

// ---- element by element ----
// b has a's shape, or its shape is the innermost axes of a's, or it has one element.
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor affine(const Tensor& x, double scale, double shift);  // scale x + shift
Tensor abs(const Tensor& x);
Tensor square(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double slope);  // max(x, 0) + slope min(x, 0)
Tensor gelu(const Tensor& x);                      // exact, by the error function
Tensor gelu_tanh(const Tensor& x);                 // its tanh approximation
Tensor silu(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
// f(x + bias), x (..., C), bias (C).
Tensor bias_activation(const Tensor& x, const Tensor& bias, const Unary& f);

// ---- over axes first_axis .. last_axis, both included, which go ----
Tensor sum(const Tensor& x, int first_axis, int last_axis);
Tensor sum(const Tensor& x);  // of everything, shape ()
Tensor mean(const Tensor& x, int first_axis, int last_axis);
Tensor mean(const Tensor& x);
Tensor max(const Tensor& x, int first_axis, int last_axis);  // the gradient goes to the first maximal element
Tensor argmax(const Tensor& x);  // over the innermost axis, (..., C) -> i64 (...); no gradient

// ---- moving elements ----
Tensor permute(const Tensor& x, const std::vector<int>& axes);  // axis i of the result is axis axes[i] of x; copies
Tensor concat(const std::vector<Tensor>& parts, int axis);
Tensor cast(const Tensor& x, DType dtype);  // this very tensor when it has the type already

// ---- products ----
struct Matmul {
  bool transpose_a = false, transpose_b = false;
};
// (..., M, K) x (..., K, N) -> (..., M, N). A transposed argument is given as (..., K, M) or (..., N, K). The outer
// axes are equal, or b has none and is used for all of them.
Tensor matmul(const Tensor& a, const Tensor& b, const Matmul& p = {});
// f(x w^T + bias): x (..., C), w (K, C), bias (K) or undefined -> (..., K).
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const Unary& f = {Unary::affine});

// ---- convolution and pooling (kernels/conv.h, kernels/pool.h) ----
// f(x * w + bias): x (N, H, W, C), w (K, R, S, C / groups), bias (K) or undefined -> (N, P, Q, K). f: affine (none) or
// relu.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2d& p, const Unary& f = {Unary::affine});
// The same of clips: x (N, T, H, W, C), w (K, U, R, S, C / groups) -> (N, O, P, Q, K).
Tensor conv3d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv3d& p, const Unary& f = {Unary::affine});
Tensor max_pool2d(const Tensor& x, const Pool2d& p);  // (N, H, W, C) -> (N, P, Q, C)
Tensor max_pool3d(const Tensor& x, const Pool3d& p);  // (N, T, H, W, C) -> (N, O, P, Q, C)
Tensor average_pool2d(const Tensor& x, const Pool2d& p);
Tensor average_pool3d(const Tensor& x, const Pool3d& p);
// (N, H, W, C) -> (N, rows, columns, C): the mean over rows floor(i H / rows) to ceil((i + 1) H / rows) - 1 for result
// row i, and columns likewise.
Tensor adaptive_average_pool2d(const Tensor& x, int64_t rows, int64_t columns);
Tensor global_average_pool(const Tensor& x);  // (N, ..., C) -> (N, C)

// ---- normalisation (kernels/norm.h) ----
// Over the innermost axis: x (..., C), w and bias (C).
Tensor layer_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const LayerNorm& p = {});
// {layer_norm(sum), sum} in one pass, sum = dropout(x) + residual: op dropout with this probability, to the bit.
std::vector<Tensor> residual_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& w, const Tensor& bias,
                                        const LayerNorm& p = {}, double dropout = 0);
// x (N, ..., C) normalised over each sample's groups of C / groups neighbouring channels; w and bias (C).
Tensor group_norm(const Tensor& x, const Tensor& w, const Tensor& bias, int64_t groups, double eps = 1e-5);
// f(batch_norm(x) + residual): x (N, ..., C), residual of x's shape or undefined, f: affine (none) or relu. Training:
// by the statistics of the batch, and running_mean and running_var (C, f32 or x's f64; no gradient) move towards them.
// Otherwise by the running statistics.
Tensor batch_norm(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool training, const BatchNorm& p = {}, const Tensor& residual = {},
                  const Unary& f = {Unary::affine});

// ---- over the innermost axis ----
Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);

// ---- attention (kernels/attention.h) ----
struct AttentionOptions {
  std::optional<double> scale{};  // of q . k; 1 / sqrt(D) if not given
  bool causal = false;            // query s sees keys 0 .. s only
  Tensor lengths{};               // i64 (N), keys that the queries of each batch see, or undefined: all of them
  double dropout = 0;             // of the probabilities; draws by StepRandom (engine/random.h)
};
// softmax(scale q k^T) v by head: q (N, S, H, D), k and v (N, L, H, D) -> (N, S, H, D). A query without keys gives 0.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});
// The same for q, k and v side by side, (N, S, 3, H, D), as one projection gives them.
Tensor attention_packed(const Tensor& qkv, const AttentionOptions& options = {});

// ---- recurrence (kernels/lstm.h) ----
// One layer, one direction: x (N, T, C), w_ih (4H, C), w_hh (4H, H), b_ih and b_hh (4H), rows in the order of the gates
// i, f, g, o; h0 and c0 (N, H) or undefined (0). Gives y (N, T, H), and h and c (N, H) after the last step. c0 and c
// are f32 for bf16 tensors. lengths: i64 (N), steps of each row, or undefined: all T (below 0 count as 0, beyond T as
// T). A row is computed as if it had no later steps, in either direction; there y and the gradient of x are 0.
std::vector<Tensor> lstm(const Tensor& x, const Tensor& w_ih, const Tensor& w_hh, const Tensor& b_ih,
                         const Tensor& b_hh, const Tensor& h0 = {}, const Tensor& c0 = {}, const Lstm& p = {},
                         const Tensor& lengths = {});

// ---- losses: a mean, shape (), of type f32 (f64 for f64 inputs) (kernels/loss.h) ----
// logits (N, C); labels i64 (N); class_weights (C) f32 (f64 for f64 logits) or undefined. The mean is over the rows
// that count, weighted by the weight of their class. No such row: 0.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropy& p = {},
                     const Tensor& class_weights = {});
// targets (N, C) of the logits' type: a distribution in every row; no gradient.
Tensor soft_cross_entropy(const Tensor& logits, const Tensor& targets);
// With logits, by element: targets (N, C) of the logits' type, each in 0 .. 1, no gradient; positive_weights (C) f32
// (f64 for f64 logits) or undefined: a factor of the targets' part (PyTorch's pos_weight).
Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets, const Tensor& positive_weights = {});
Tensor mse_loss(const Tensor& x, const Tensor& target);
Tensor l1_loss(const Tensor& x, const Tensor& target);  // derivative 0 where x equals target

// ---- random ----
// Each element is 0 with the given probability, else x / (1 - probability). Draws by StepRandom (engine/random.h).
Tensor dropout(const Tensor& x, double probability);

// ---- pixels ----
// (x - mean[c]) / deviation[c] of u8 pixels (..., C), C = mean.size(); mean and deviation in units of 0..255; no
// gradient.
Tensor normalize_frames(const Tensor& x, const std::vector<double>& mean, const std::vector<double>& deviation,
                        DType dtype = DType::f32);
// Pictures in a buffer of u8 `pixels`, as a decoder gives them, through an affine map and a matrix of colours each
// (kernels/frame.h), which crop, resize, rotate and flip them and make them RGB; then as above -> (N, P, Q, K), K >= 3.
// size: {P, Q, K}; channels from 3 on are 0. dtype u8: limited to 0..255 and rounded.
Tensor warp_frames(const Tensor& pixels, std::span<const Picture> pictures, const Shape& size,
                   const std::vector<double>& mean, const std::vector<double>& deviation, DType dtype = DType::f32);
// The same on the CPU, in memory that the caller has: rgb (N, height, width, 3), neither scaled nor shifted.
void warp_frames(std::span<const uint8_t> pixels, std::span<const Picture> pictures, int64_t height, int64_t width,
                 std::span<uint8_t> rgb);

}  // namespace engine
