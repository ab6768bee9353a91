// Losses: means, one element of type f32 (f64 for f64 inputs). The sums are taken in double.
#pragma once

#include "kernels/context.h"

namespace engine {

// With class weights w (1 where none are given), C classes and smoothing s, a row with label y loses
//   (1 - s) w[y] (-log p[y]) + s/C sum over c of w[c] (-log p[c]),  p = softmax(logits),
// and the mean divides the sum of the rows that count by the sum of their w[y]: what PyTorch computes.
struct CrossEntropy {
  double label_smoothing = 0.0;  // 0 <= s < 1: the target becomes (1 - s) one_hot + s / C
  int64_t ignore_index = -1;     // rows with this label count for nothing
};

// logits (N, C) float, labels (N) i64, class_weights (C) of the loss's type or undefined. `gradient` (N, C) of the
// loss's type gets d loss / d logits; undefined: not wanted. Where no row counts, both are 0. The CPU checks the labels
// and throws for one that is neither a class nor the ignore index; CUDA gives NaN.
ENGINE_KERNEL(cross_entropy_forward, const CrossEntropy& p, ConstView logits, ConstView labels, ConstView class_weights,
              View loss, View gradient);

// The same with a row of targets (N, C), of the logits' type, for every row: -sum over c of target[c] log p[c].
ENGINE_KERNEL(soft_cross_entropy_forward, ConstView logits, ConstView targets, View loss, View gradient);

// The mean over all elements of w[c] t (-log p) + (1 - t) (-log(1 - p)), p = sigmoid(logit): what PyTorch computes with
// pos_weight w (1 where none are given). targets t of the logits' shape and type, each in 0 .. 1; at least one element;
// positive_weights w (C) of the loss's type or undefined; `gradient` as above.
ENGINE_KERNEL(binary_cross_entropy_forward, ConstView logits, ConstView targets, ConstView positive_weights, View loss,
              View gradient);

// Of all three: dlogits = dloss gradient; dloss one element of the loss's type, `gradient` from forward.
ENGINE_KERNEL(cross_entropy_backward, ConstView dloss, ConstView gradient, View dlogits);

// mse: mean of (x - target)^2; l1: mean of |x - target|, derivative 0 where they are equal.
enum class Regression : uint8_t { mse, l1 };

// x, target, dx: one shape and float type, at least one element. loss, dloss: one element.
ENGINE_KERNEL(regression_loss_forward, Regression kind, ConstView x, ConstView target, View loss);

// The gradient of target is -dx.
ENGINE_KERNEL(regression_loss_backward, Regression kind, ConstView x, ConstView target, ConstView dloss, View dx);

}  // namespace engine
