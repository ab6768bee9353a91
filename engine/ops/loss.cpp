#include "kernels/loss.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {
namespace {

void check_logits(const char* name, const Tensor& logits) {
  ENGINE_CHECK(is_float(logits.dtype()) && logits.rank() == 2 && logits.size(1) > 0, name,
               ": expected float logits (N, C) with C > 0, got ", logits.shape(), " ", logits.dtype());
}

void check_pair(const char* name, const Tensor& x, const Tensor& target) {
  ENGINE_CHECK(is_float(x.dtype()) && x.shape() == target.shape() && x.dtype() == target.dtype(), name,
               ": expected x and a target of one shape and float type, got ", x.shape(), " ", x.dtype(), " and ",
               target.shape(), " ", target.dtype());
}

void check_weights(const char* name, const char* what, const Tensor& logits, const Tensor& weights) {
  ENGINE_CHECK(!weights || (weights.shape() == Shape{logits.size(1)} && weights.dtype() == wide_type(logits.dtype())),
               name, ": expected ", what, " weights (", logits.size(1), ") ", wide_type(logits.dtype()), " for logits ",
               logits.shape(), " ", logits.dtype(), ", got ", weights.shape(), " ", weights.dtype());
}

// forward(ctx, loss, gradient) computes the loss of `logits` and, where it is wanted, its gradient.
template <class Forward>
Tensor entropy_loss(const char* name, const Tensor& logits, const Forward& forward) {
  const ProfiledPass pass = forward_pass(name, logits);
  const Tensor loss = Tensor::empty({}, wide_type(logits.dtype()), logits.device());
  const Tensor gradient =
      needs_grad(logits) ? Tensor::empty(logits.shape(), wide_type(logits.dtype()), logits.device()) : Tensor();
  compute(logits.device(), [&](auto& ctx) { forward(ctx, loss, gradient); });
  return record(name, {logits}, loss, [gradient, dtype = logits.dtype()](const Grads& dy) {
    return Grads{computed(gradient.shape(), dtype, gradient.device(),
                          [&](auto& ctx, View dx) { cross_entropy_backward(ctx, dy[0], gradient, dx); })};
  });
}

Tensor regression_loss(const char* name, Regression kind, const Tensor& x, const Tensor& target) {
  check_pair(name, x, target);
  ENGINE_CHECK(x.elements() > 0, name, ": the mean of nothing is not defined, got x ", x.shape());
  const ProfiledPass pass = forward_pass(name, x);
  const Tensor loss = computed({}, wide_type(x.dtype()), x.device(),
                               [&](auto& ctx, View to) { regression_loss_forward(ctx, kind, x, target, to); });
  return record(name, {x, target}, loss,
                [kind, x = x.detach(), target = target.detach(), wanted = needs_grad(target)](const Grads& dy) {
                  const Tensor dx = computed_like(
                      x, [&](auto& ctx, View to) { regression_loss_backward(ctx, kind, x, target, dy[0], to); });
                  return Grads{dx, wanted ? negated(dx) : Tensor()};
                });
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropy& p, const Tensor& class_weights) {
  check_logits("cross_entropy", logits);
  ENGINE_CHECK(labels.shape() == Shape{logits.size(0)} && labels.dtype() == DType::i64,
               "cross_entropy: expected labels (", logits.size(0), ") i64 for logits ", logits.shape(), ", got ",
               labels.shape(), " ", labels.dtype());
  ENGINE_CHECK(p.label_smoothing >= 0 && p.label_smoothing < 1,
               "cross_entropy: label smoothing must be at least 0 and less than 1, got ", p.label_smoothing);
  check_weights("cross_entropy", "class", logits, class_weights);
  return entropy_loss("cross_entropy", logits, [&](auto& ctx, const Tensor& loss, const Tensor& gradient) {
    cross_entropy_forward(ctx, p, logits, labels, class_weights, loss, gradient);
  });
}

Tensor soft_cross_entropy(const Tensor& logits, const Tensor& targets) {
  check_logits("soft_cross_entropy", logits);
  check_pair("soft_cross_entropy", logits, targets);
  return entropy_loss("soft_cross_entropy", logits, [&](auto& ctx, const Tensor& loss, const Tensor& gradient) {
    soft_cross_entropy_forward(ctx, logits, targets, loss, gradient);
  });
}

Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets, const Tensor& positive_weights) {
  const char* const name = "binary_cross_entropy";
  check_logits(name, logits);
  check_pair(name, logits, targets);
  check_weights(name, "positive", logits, positive_weights);
  ENGINE_CHECK(logits.elements() > 0, name, ": the mean of nothing is not defined, got logits ", logits.shape());
  return entropy_loss(name, logits, [&](auto& ctx, const Tensor& loss, const Tensor& gradient) {
    binary_cross_entropy_forward(ctx, logits, targets, positive_weights, loss, gradient);
  });
}

Tensor mse_loss(const Tensor& x, const Tensor& target) {
  return regression_loss("mse_loss", Regression::mse, x, target);
}
Tensor l1_loss(const Tensor& x, const Tensor& target) { return regression_loss("l1_loss", Regression::l1, x, target); }

}  // namespace engine
