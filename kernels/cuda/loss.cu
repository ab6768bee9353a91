// Losses. Traffic in bytes per element for f32 / bf16: cross_entropy_forward 8 / 6 (each logit is read once and its
// gradient, f32, written), soft_cross_entropy_forward and binary_cross_entropy_forward 12 / 8, cross_entropy_backward 8
// / 6, regression_loss_forward 8 / 4, regression_loss_backward 12 / 6. Bound by memory where the input is large, by the
// launches for the few rows of a classifier: these are one.
#include "kernels/loss.h"

#include "kernels/cuda/map.cuh"
#include "kernels/cuda/rows.cuh"

namespace engine {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMostBlocks = 528;  // a fixed number, so that the order of additions depends on the shape alone
constexpr unsigned kTurns = 4;         // of one block, before more blocks and the launches to join them pay

// What a row of logits is compared with: factor() times the pack that base() gives, and extra(row) more at class
// label(row).
struct Labels {
  const int64_t* labels;
  const float* weights;  // of the classes; null: 1
  double smoothing;
  int64_t ignore_index;
  int classes;

  __device__ bool counts(int64_t row) const { return labels[row] != ignore_index; }
  __device__ int label(int64_t row) const { return is_class(row) ? static_cast<int>(labels[row]) : 0; }
  __device__ double weight(int64_t row) const {
    if (!counts(row)) return 0;
    if (!is_class(row)) return NAN;
    return weights ? static_cast<double>(weights[labels[row]]) : 1.0;
  }
  __device__ double extra(int64_t row) const { return (1 - smoothing) * weight(row); }
  __device__ double factor() const { return smoothing / classes; }
  template <class R>
  __device__ void base(const R& rows, int64_t, int column, float (&to)[R::kCount]) const {
    if (weights != nullptr) return rows.load(weights, column, to);
#pragma unroll
    for (int i = 0; i < R::kCount; ++i) to[i] = rows.inside(column + i) ? 1.0f : 0.0f;
  }

 private:
  __device__ bool is_class(int64_t row) const { return labels[row] >= 0 && labels[row] < classes; }
};

template <class T>
struct SoftTargets {
  const T* targets;

  __device__ bool counts(int64_t) const { return true; }
  __device__ int label(int64_t) const { return 0; }
  __device__ double weight(int64_t) const { return 1; }
  __device__ double extra(int64_t) const { return 0; }
  __device__ double factor() const { return 1; }
  template <class R>
  __device__ void base(const R& rows, int64_t row, int column, float (&to)[R::kCount]) const {
    rows.load(targets + row * rows.columns, column, to);
  }
};

// The sum of the rows' weights; every thread of the block gets it.
__device__ inline double sum_weights(const Labels& targets, int64_t rows) {
  double sum = 0;
  for (int64_t row = threadIdx.x; row < rows; row += blockDim.x) sum += targets.weight(row);
  return block_reduce(sum, 0.0, Sum{});
}
template <class T>
__device__ double sum_weights(const SoftTargets<T>&, int64_t rows) {
  return static_cast<double>(rows);
}

__global__ void sum_weights_kernel(Labels targets, int64_t rows, double* weights) {
  const double sum = sum_weights(targets, rows);
  if (threadIdx.x == 0) *weights = sum;
}

// The sum of a double of every thread of the grid: to `loss` where there is one block, else one part per block to
// `parts`, which add_parts_kernel adds up.
__device__ inline void add_threads(double value, double* parts, float* loss) {
  const double sum = block_reduce(value, 0.0, Sum{});
  if (threadIdx.x > 0) return;
  if (gridDim.x == 1)
    *loss = static_cast<float>(sum);
  else
    parts[blockIdx.x] = sum;
}
__global__ void add_parts_kernel(int64_t count, const double* parts, float* loss) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
  add_threads(sum, nullptr, loss);
}

// Every row's loss and, unless `gradient` is null, its derivative, both divided by the sum of the rows' weights:
// *weights, or found by each block where `weights` is null. Everything after the exponential is double, so that a row
// that is nearly right keeps its small loss and gradient.
template <class R, class Targets>
__global__ void __launch_bounds__(R::kMostThreads, 1)
    cross_entropy_kernel(R rows, Targets targets, const typename R::T* logits, const double* weights, double* parts,
                         float* loss, float* gradient) {
  const double divisor = weights ? *weights : sum_weights(targets, rows.rows), scale = divisor == 0 ? 0 : 1 / divisor;
  const double factor = targets.factor();
  double loss_sum = 0;
  for (int64_t first = int64_t{blockIdx.x} * rows.per_block; first < rows.rows;
       first += int64_t{gridDim.x} * rows.per_block) {
    const int64_t row = first + rows.row_in_block(), at = row * rows.columns;
    const bool is_row = row < rows.rows;
    float v[R::kSlots][R::kCount] = {};
    const float max = load_logits(rows, is_row, logits + at, v);

    // The sums of e^(x - max), of the target, and of the target times x - max.
    double sums[3] = {0, 0, 0};
    if (is_row)
      rows.each_pack([&](int slot, int column) {
        float base[R::kCount];
        targets.base(rows, row, column, base);
        if (!R::kKeeps) rows.load(logits + at, column, v[slot], kLowestLogit);
#pragma unroll
        for (int i = 0; i < R::kCount; ++i) {
          const double target = factor * static_cast<double>(base[i]);
          const double below_max = static_cast<double>(v[slot][i]) - static_cast<double>(max);
          v[slot][i] = expf(v[slot][i] - max);
          sums[0] += static_cast<double>(v[slot][i]);
          sums[1] += target;
          // A class with target 0 has no part, even where its logit is -infinity.
          sums[2] = target == 0 ? sums[2] : fma(target, below_max, sums[2]);
        }
      });
    rows.reduce(sums, 0.0, Sum{});
    if (!is_row) continue;

    const bool counts = targets.counts(row);
    const int label = targets.label(row);
    const double extra = targets.extra(row);
    sums[1] += extra;
    if (extra != 0)
      sums[2] = fma(extra, static_cast<double>(to_f32(logits[at + label])) - static_cast<double>(max), sums[2]);
    if (counts && rows.thread() == 0) loss_sum += fma(sums[1], log(sums[0]), -sums[2]);
    if (gradient == nullptr) continue;
    const double share = sums[1] / sums[0];
    rows.each_pack([&](int slot, int column) {
      float base[R::kCount], out[R::kCount];
      targets.base(rows, row, column, base);
      if (!R::kKeeps) rows.load(logits + at, column, v[slot], kLowestLogit);
#pragma unroll
      for (int i = 0; i < R::kCount; ++i) {
        const double power = static_cast<double>(R::kKeeps ? v[slot][i] : expf(v[slot][i] - max));
        const double target = fma(factor, static_cast<double>(base[i]), column + i == label ? extra : 0.0);
        out[i] = counts ? static_cast<float>(scale * fma(power, share, -target)) : 0.0f;
      }
      rows.store(gradient + at, column, out);
    });
  }
  add_threads(scale * loss_sum, parts, loss);
}

template <class T, class Targets>
void cross_entropy(CudaContext& ctx, const char* name, const Targets& targets, bool aligned, const ConstView& logits,
                   const View& loss, const View& gradient) {
  with_rows<T, 8>(logits.shape[0], logits.shape[1], aligned, [&]<class R>(const R& rows) {
    const unsigned blocks = rows.grid() <= kTurns ? 1 : std::min(rows.grid(), kMostBlocks);
    CudaScratch scratch(ctx, (1 + size_t{blocks}) * sizeof(double));
    double *parts = scratch.as<double>(), *weights = nullptr;
    if constexpr (std::is_same_v<Targets, Labels>)
      if (blocks > 1) {
        weights = parts + blocks;
        launch(ctx, name, sum_weights_kernel, 1, 1024, 0, targets, rows.rows, weights);
      }
    launch(ctx, name, cross_entropy_kernel<R, Targets>, blocks, rows.block(), 0, rows, targets, logits, weights, parts,
           loss, gradient);
    if (blocks > 1) launch(ctx, name, add_parts_kernel, 1, kThreads, 0, blocks, parts, loss);
  });
}

struct Scaled {
  const float* scale;
  __device__ float operator()(float x) const { return *scale * x; }
};

struct Squared {
  static constexpr float kSlope = 2;
  __device__ static double add(double sum, double difference) { return fma(difference, difference, sum); }
  __device__ static float slope(float difference) { return difference; }
};
struct Absolute {
  static constexpr float kSlope = 1;
  __device__ static double add(double sum, double difference) { return sum + fabs(difference); }
  __device__ static float slope(float difference) { return difference > 0 ? 1.0f : difference < 0 ? -1.0f : 0.0f; }
};

template <class F>
struct SlopeOfDifference {
  const float* dloss;
  float factor;
  __device__ float operator()(float x, float target) const { return factor * *dloss * F::slope(x - target); }
};

// Terms of a mean over elements. term(sum, i, x, target) adds element i's loss to `sum` and returns its derivative.
template <class F>
struct RegressionTerm {
  __device__ float operator()(double& sum, int64_t, float x, float target) const {
    sum = F::add(sum, static_cast<double>(x) - static_cast<double>(target));
    return 0;
  }
};
struct BinaryTerm {
  int64_t classes;
  float mean;            // 1 / elements
  const float* weights;  // of the classes; null: 1
  __device__ float operator()(double& sum, int64_t i, float x, float target) const {
    const float positive = weights == nullptr ? target : weights[i % classes] * target, negative = 1 - target;
    const float power = expf(-fabsf(x)), likely = 1 / (1 + power), unlikely = power * likely, rest = log1pf(power);
    sum += static_cast<double>(fmaf(positive, rest + fmaxf(-x, 0.0f), negative * (rest + fmaxf(x, 0.0f))));
    return mean *
           (x > 0 ? fmaf(negative, likely, -(positive * unlikely)) : fmaf(negative, unlikely, -(positive * likely)));
  }
};

template <bool kAligned, class Term, class T>
__global__ void mean_kernel(int64_t count, Term term, const T* x, const T* target, double* parts, float* loss,
                            float* gradient) {
  constexpr int kCount = kLanes<T>;
  double sum = 0;
  const int64_t step = int64_t{gridDim.x} * kThreads * kCount;
  for (int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kCount; first < count; first += step) {
    if (first + kCount <= count) {
      const auto a = load_pack<kAligned, kCount>(x + first), b = load_pack<kAligned, kCount>(target + first);
      Pack<float, kCount> slopes;
#pragma unroll
      for (int i = 0; i < kCount; ++i) slopes.at[i] = term(sum, first + i, to_f32(a.at[i]), to_f32(b.at[i]));
      if (gradient != nullptr) store_pack<kAligned, kCount>(gradient + first, slopes);
    } else {
      for (int64_t i = first; i < count; ++i) {
        const float slope = term(sum, i, to_f32(x[i]), to_f32(target[i]));
        if (gradient != nullptr) gradient[i] = slope;
      }
    }
  }
  add_threads(sum / static_cast<double>(count), parts, loss);
}

template <class Term>
void mean_of(CudaContext& ctx, const char* name, const Term& term, const ConstView& x, const ConstView& target,
             const View& loss, const View& gradient) {
  dispatch_device_float(x.dtype, [&]<class T>() {
    const int64_t count = x.elements();
    const unsigned blocks = std::min(blocks_for(count, kTurns * kThreads * kLanes<T>), kMostBlocks);
    CudaScratch parts(ctx, blocks * sizeof(double));
    dispatch_bool(aligned16(kLanes<T>, x, target, gradient), [&]<bool kAligned>() {
      launch(ctx, name, mean_kernel<kAligned, Term, T>, blocks, kThreads, 0, count, term, x, target, parts, loss,
             gradient);
    });
    if (blocks > 1) launch(ctx, name, add_parts_kernel, 1, kThreads, 0, blocks, parts, loss);
  });
}

template <class F>
void regression_backward(CudaContext& ctx, const ConstView& x, const ConstView& target, const ConstView& dloss,
                         const View& dx) {
  dispatch_device_float(x.dtype, [&]<class T>() {
    const int64_t count = x.elements();
    map(ctx, "regression_loss_backward", count,
        SlopeOfDifference<F>{dloss.as<float>(), F::kSlope / static_cast<float>(count)}, dx.as<T>(), x.as<T>(),
        target.as<T>());
  });
}

}  // namespace

void cross_entropy_forward(CudaContext& ctx, const CrossEntropy& p, ConstView logits, ConstView labels,
                           ConstView class_weights, View loss, View gradient) {
  const int64_t classes = logits.shape[1];
  const Labels targets{labels.as<int64_t>(), optional<float>(class_weights), p.label_smoothing, p.ignore_index,
                       static_cast<int>(classes)};
  dispatch_device_float(logits.dtype, [&]<class T>() {
    cross_entropy<T>(ctx, "cross_entropy_forward", targets, aligned16(classes, logits, class_weights, gradient), logits,
                     loss, gradient);
  });
}

void soft_cross_entropy_forward(CudaContext& ctx, ConstView logits, ConstView targets, View loss, View gradient) {
  dispatch_device_float(logits.dtype, [&]<class T>() {
    cross_entropy<T>(ctx, "soft_cross_entropy_forward", SoftTargets<T>{targets.as<T>()},
                     aligned16(logits.shape[1], logits, targets, gradient), logits, loss, gradient);
  });
}

void binary_cross_entropy_forward(CudaContext& ctx, ConstView logits, ConstView targets, ConstView positive_weights,
                                  View loss, View gradient) {
  const BinaryTerm term{logits.shape[1], 1 / static_cast<float>(logits.elements()), optional<float>(positive_weights)};
  mean_of(ctx, "binary_cross_entropy_forward", term, logits, targets, loss, gradient);
}

void cross_entropy_backward(CudaContext& ctx, ConstView dloss, ConstView gradient, View dlogits) {
  dispatch_device_float(dlogits.dtype, [&]<class T>() {
    map(ctx, "cross_entropy_backward", gradient.elements(), Scaled{dloss.as<float>()}, dlogits.as<T>(),
        gradient.as<float>());
  });
}

void regression_loss_forward(CudaContext& ctx, Regression kind, ConstView x, ConstView target, View loss) {
  const char* const name = "regression_loss_forward";
  kind == Regression::mse ? mean_of(ctx, name, RegressionTerm<Squared>{}, x, target, loss, {})
                          : mean_of(ctx, name, RegressionTerm<Absolute>{}, x, target, loss, {});
}

void regression_loss_backward(CudaContext& ctx, Regression kind, ConstView x, ConstView target, ConstView dloss,
                              View dx) {
  kind == Regression::mse ? regression_backward<Squared>(ctx, x, target, dloss, dx)
                          : regression_backward<Absolute>(ctx, x, target, dloss, dx);
}

}  // namespace engine
