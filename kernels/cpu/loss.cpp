#include "kernels/loss.h"

#include "kernels/cpu/ordered_sums.h"
#include "kernels/cpu/vector_math.h"

namespace engine {
namespace {

// What one row of logits is compared with: `base` (classes; null: 0), and `extra` more at class `label`.
template <class Q>
struct Target {
  const Q* base;
  int64_t label = 0;
  double extra = 0;
};

// The cross entropy of a row of logits. Unless `gradient` is null it gets `scale` times the derivative. Everything
// after the exponential is double, so that a row that is nearly right keeps its small loss and gradient.
template <class T, class Q>
double row_loss(int64_t classes, const T* x, const Target<Q>& target, double scale, T* gradient) {
  const T max = largest(x, classes);
  const Q* base = target.base;
  const auto power = [x, max](int64_t c) { return vector_math::exp(x[c] - max); };
  const auto below_max = [x, max](int64_t c) { return static_cast<double>(x[c]) - static_cast<double>(max); };
  if (gradient) {
#pragma omp simd
    for (int64_t c = 0; c < classes; ++c) gradient[c] = power(c);
  }
  const double sum = gradient ? pairwise_sum<double>(0, classes, [=](int64_t c) { return gradient[c]; })
                              : pairwise_sum<double>(0, classes, power);
  double total = target.extra, linear = 0;
  if (base) {
    total += pairwise_sum<double>(0, classes, [base](int64_t c) { return base[c]; });
    // A class with target 0 has no part, even where its logit is -infinity.
    linear = pairwise_sum<double>(0, classes, [=](int64_t c) {
      const double product = static_cast<double>(base[c]) * below_max(c);
      return base[c] == 0 ? 0.0 : product;
    });
  }
  if (target.extra != 0) linear += target.extra * below_max(target.label);
  if (gradient) {
    const double share = total / sum;
    const auto slope = [=](int64_t c, double extra) {
      const double wanted = base ? static_cast<double>(base[c]) : 0.0;
      return static_cast<T>(scale * (static_cast<double>(gradient[c]) * share - wanted - extra));
    };
    const T at_label = slope(target.label, target.extra);
#pragma omp simd
    for (int64_t c = 0; c < classes; ++c) gradient[c] = slope(c, 0);
    gradient[target.label] = at_label;
  }
  return total * std::log(sum) - linear;
}

// Sums loss_of_row(r) over the rows, in parallel and in a fixed order.
template <class LossOfRow>
double sum_rows(CpuContext& ctx, int64_t rows, int64_t classes, const LossOfRow& loss_of_row) {
  Scratch scratch(ctx, static_cast<size_t>(rows) * sizeof(double));
  auto* losses = scratch.as<double>();
  parallel_rows(rows, 8 * classes, [&](int64_t r) { losses[r] = loss_of_row(r); });
  return pairwise_sum<double>(0, rows, [losses](int64_t r) { return losses[r]; });
}

void check_labels(const CrossEntropy& p, int64_t rows, int64_t classes, const int64_t* labels) {
  for (int64_t r = 0; r < rows; ++r)
    if (labels[r] != p.ignore_index && (labels[r] < 0 || labels[r] >= classes))
      throw Error(concat("cross_entropy: label ", labels[r], " in row ", r, " is not one of the ", classes,
                         " classes; expected 0 to ", classes - 1, ", or ", p.ignore_index, " for a row to ignore"),
                  exit_code::kData);
}

template <class T, class Slope>
void scaled_slopes(int64_t count, double scale, const T* x, const T* target, T* dx, const Slope& slope) {
  const T factor = static_cast<T>(scale);
  parallel_elements(count, [=](int64_t i) { dx[i] = factor * slope(x[i] - target[i]); });
}

}  // namespace

void cross_entropy_forward(CpuContext& ctx, const CrossEntropy& p, ConstView logits, ConstView labels,
                           ConstView class_weights, View loss, View gradient) {
  const InF32 in_f32(ctx, logits, labels, class_weights, loss, gradient);
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  const int64_t* label = labels.as<int64_t>();
  check_labels(p, rows, classes, label);
  dispatch_float(logits.dtype, [&]<class T>() {
    const T* weights = class_weights.defined() ? class_weights.as<T>() : nullptr;
    const auto weight = [weights](int64_t c) { return weights ? static_cast<double>(weights[c]) : 1.0; };
    const double weight_sum =
        pairwise_sum<double>(0, rows, [&](int64_t r) { return label[r] == p.ignore_index ? 0.0 : weight(label[r]); });
    const double scale = weight_sum == 0 ? 0.0 : 1 / weight_sum;
    Scratch scratch(ctx, static_cast<size_t>(classes) * sizeof(double));
    auto* smooth = p.label_smoothing > 0 ? scratch.as<double>() : nullptr;
    for (int64_t c = 0; smooth && c < classes; ++c)
      smooth[c] = p.label_smoothing / static_cast<double>(classes) * weight(c);
    const T* in = logits.as<T>();
    T* slopes = gradient.defined() ? gradient.as<T>() : nullptr;
    const double sum = sum_rows(ctx, rows, classes, [&](int64_t r) {
      T* row_slopes = slopes ? slopes + r * classes : nullptr;
      if (label[r] == p.ignore_index) {
        if (row_slopes) std::fill(row_slopes, row_slopes + classes, T(0));
        return 0.0;
      }
      const Target<double> target{smooth, label[r], (1 - p.label_smoothing) * weight(label[r])};
      return row_loss(classes, in + r * classes, target, scale, row_slopes);
    });
    *loss.as<T>() = static_cast<T>(scale * sum);
  });
}

void soft_cross_entropy_forward(CpuContext& ctx, ConstView logits, ConstView targets, View loss, View gradient) {
  const InF32 in_f32(ctx, logits, targets, loss, gradient);
  const int64_t rows = logits.shape[0], classes = logits.shape[1];
  dispatch_float(logits.dtype, [&]<class T>() {
    const T *in = logits.as<T>(), *target = targets.as<T>();
    T* slopes = gradient.defined() ? gradient.as<T>() : nullptr;
    const double scale = rows > 0 ? 1 / static_cast<double>(rows) : 0.0;
    const double sum = sum_rows(ctx, rows, classes, [&](int64_t r) {
      const int64_t at = r * classes;
      return row_loss(classes, in + at, Target<T>{target + at}, scale, slopes ? slopes + at : nullptr);
    });
    *loss.as<T>() = static_cast<T>(scale * sum);
  });
}

void binary_cross_entropy_forward(CpuContext& ctx, ConstView logits, ConstView targets, ConstView positive_weights,
                                  View loss, View gradient) {
  const InF32 in_f32(ctx, logits, targets, positive_weights, loss, gradient);
  const int64_t classes = logits.shape[1];
  const auto count = static_cast<double>(logits.elements());
  dispatch_float(logits.dtype, [&]<class T>() {
    const T *x = logits.as<T>(), *target = targets.as<T>();
    const T* weights = positive_weights.defined() ? positive_weights.as<T>() : nullptr;
    T* slopes = gradient.defined() ? gradient.as<T>() : nullptr;
    const double sum = sum_rows(ctx, logits.shape[0], classes, [&](int64_t r) {
      double row = 0;
      for (int64_t c = 0; c < classes; ++c) {
        const int64_t i = r * classes + c;
        const double positive = static_cast<double>(weights ? weights[c] : T(1)) * static_cast<double>(target[i]);
        const double negative = 1 - static_cast<double>(target[i]), logit = static_cast<double>(x[i]);
        const double power = std::exp(-std::abs(logit)), likely = 1 / (1 + power), unlikely = power * likely;
        row += positive * (std::log1p(power) + std::max(-logit, 0.0)) +
               negative * (std::log1p(power) + std::max(logit, 0.0));
        if (slopes)
          slopes[i] = static_cast<T>(
              (logit > 0 ? negative * likely - positive * unlikely : negative * unlikely - positive * likely) / count);
      }
      return row;
    });
    *loss.as<T>() = static_cast<T>(sum / count);
  });
}

void cross_entropy_backward(CpuContext& ctx, ConstView dloss, ConstView gradient, View dlogits) {
  const InF32 in_f32(ctx, dloss, gradient, dlogits);
  dispatch_float(gradient.dtype, [&]<class T>() {
    const T scale = *dloss.as<T>(), *in = gradient.as<T>();
    parallel_elements(gradient.elements(), [=, out = dlogits.as<T>()](int64_t i) { out[i] = scale * in[i]; });
  });
}

void regression_loss_forward(CpuContext& ctx, Regression kind, ConstView x, ConstView target, View loss) {
  const InF32 in_f32(ctx, x, target, loss);
  dispatch_float(x.dtype, [&]<class T>() {
    const T *a = x.as<T>(), *b = target.as<T>();
    const int64_t count = x.elements();
    const auto difference = [=](int64_t i) { return static_cast<double>(a[i]) - static_cast<double>(b[i]); };
    const double sum = kind == Regression::mse
                           ? ordered_sum(ctx, count, [&](int64_t i) { return difference(i) * difference(i); })
                           : ordered_sum(ctx, count, [&](int64_t i) { return std::abs(difference(i)); });
    *loss.as<T>() = static_cast<T>(sum / static_cast<double>(count));
  });
}

void regression_loss_backward(CpuContext& ctx, Regression kind, ConstView x, ConstView target, ConstView dloss,
                              View dx) {
  const InF32 in_f32(ctx, x, target, dloss, dx);
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t count = x.elements();
    const double mean = static_cast<double>(*dloss.as<T>()) / static_cast<double>(count);
    const T *a = x.as<T>(), *b = target.as<T>();
    if (kind == Regression::mse)
      scaled_slopes(count, 2 * mean, a, b, dx.as<T>(), [](T difference) { return difference; });
    else
      scaled_slopes(count, mean, a, b, dx.as<T>(), [](T difference) {
        return difference > 0 ? T(1) : difference < 0 ? T(-1) : T(0);
      });
  });
}

}  // namespace engine
