#include "kernels/norm.h"

#include <cmath>

#include "kernels/cpu/ordered_sums.h"

namespace engine {
namespace {

// The mean of x and 1 / sqrt(variance + eps). In two passes, and by differences from one of the values, so that a mean
// far from 0 costs no digits.
template <class T>
std::pair<T, T> moments_of(const T* x, int64_t count, double eps) {
  const T pivot = x[0];
  const T offset = pairwise_sum<T>(0, count, [=](int64_t i) { return x[i] - pivot; }) / static_cast<T>(count);
  const T mean = pivot + offset;
  const T squares = pairwise_sum<T>(0, count, [x, mean](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  return {mean, 1 / std::sqrt(squares / static_cast<T>(count) + static_cast<T>(eps))};
}

// The mean of every channel and, `channels` further on, the sum of squared differences from it, of x (rows, channels),
// in double. Each piece of
// rows is read from memory once: sums of differences from its first row give its mean, from which the squared
// differences are taken while the piece is in the cache.
template <class T>
void channel_moments(CpuContext& ctx, int64_t rows, int64_t channels, const T* x, double* mean) {
  const int64_t pieces = pieces_of(rows);
  Scratch scratch(ctx, static_cast<size_t>(2 * pieces * channels) * sizeof(T));
  T* partial = scratch.as<T>();
  for_each_piece(rows, channels, [&](int64_t piece, int64_t first, int64_t last) {
    T *offset = partial + 2 * piece * channels, *square = offset + channels;
    const T *pivot = x + first * channels, inverse = 1 / static_cast<T>(last - first);
    std::fill(offset, offset + 2 * channels, T(0));
    for (int64_t r = first; r < last; ++r)
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) offset[c] += x[r * channels + c] - pivot[c];
    for (int64_t c = 0; c < channels; ++c) offset[c] *= inverse;
    for (int64_t r = first; r < last; ++r)
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const T difference = x[r * channels + c] - pivot[c] - offset[c];
        square[c] += difference * difference;
      }
  });
  const auto rows_in = [&](int64_t piece) {
    return static_cast<double>(std::min(kRowsPerPiece, rows - piece * kRowsPerPiece));
  };
  const auto mean_in = [&](int64_t piece, int64_t c) {
    return double{x[piece * kRowsPerPiece * channels + c]} + double{partial[2 * piece * channels + c]};
  };
  std::fill(mean, mean + 2 * channels, 0.0);
  for (int64_t piece = 0; piece < pieces; ++piece)
    for (int64_t c = 0; c < channels; ++c) mean[c] += rows_in(piece) / static_cast<double>(rows) * mean_in(piece, c);
  for (int64_t piece = 0; piece < pieces; ++piece)
    for (int64_t c = 0; c < channels; ++c) {
      const double off = mean_in(piece, c) - mean[c];
      mean[channels + c] += static_cast<double>(partial[(2 * piece + 1) * channels + c]) + rows_in(piece) * off * off;
    }
}

}  // namespace

void layer_norm_forward(CpuContext& ctx, const LayerNorm& p, const Dropout& d, ConstView step, ConstView x,
                        ConstView residual, ConstView w, ConstView bias, View y, View sum, View mean, View rstd) {
  if (d.probability > 0) {
    dropout(ctx, d, step, x, sum);
    return layer_norm_forward(ctx, p, {}, {}, sum, residual, w, bias, y, sum, mean, rstd);
  }
  const InF32 in_f32(ctx, x, residual, w, bias, y, sum, mean, rstd);
  const int64_t columns = x.shape[-1], rows = mean.elements();
  dispatch_float(x.dtype, [&]<class T>() {
    const T *in = x.as<T>(), *add = optional<T>(residual), *weight = w.as<T>(), *shift = bias.as<T>();
    T *out = y.as<T>(), *total = add ? sum.as<T>() : nullptr, *means = mean.as<T>(), *rstds = rstd.as<T>();
    parallel_rows(rows, columns, [&](int64_t r) {
      const T* row = in + r * columns;
      if (add) {
        T* added = total + r * columns;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) added[c] = row[c] + add[r * columns + c];
        row = added;
      }
      const auto [m, s] = moments_of(row, columns, p.eps);
      means[r] = m, rstds[r] = s;
      T* result = out + r * columns;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) result[c] = (row[c] - m) * s * weight[c] + shift[c];
    });
  });
}

void layer_norm_backward(CpuContext& ctx, const Dropout& d, ConstView step, ConstView x, ConstView w, ConstView mean,
                         ConstView rstd, ConstView dy, ConstView dsum, View dx, View dresidual, View dw, View dbias) {
  if (d.probability > 0) {
    layer_norm_backward(ctx, {}, {}, x, w, mean, rstd, dy, dsum, dresidual, {}, dw, dbias);
    return dropout(ctx, d, step, dresidual, dx);
  }
  const InF32 in_f32(ctx, x, w, mean, rstd, dy, dsum, dx, dresidual, dw, dbias);
  const int64_t columns = x.shape[-1], rows = mean.elements();
  dispatch_float(x.dtype, [&]<class T>() {
    const T *weight = w.as<T>(), *further = optional<T>(dsum), share = 1 / static_cast<T>(columns);
    const std::array results{dw.as<T>(), dbias.as<T>()};
    sum_pieces(ctx, rows, columns, results, [&](int64_t first, int64_t last, T* sums) {
      T* sums_bias = sums + columns;
      for (int64_t r = first; r < last; ++r) {
        const T *in = x.as<T>() + r * columns, *g = dy.as<T>() + r * columns, m = mean.as<T>()[r], s = rstd.as<T>()[r];
        T* out = dx.as<T>() + r * columns;
        const T mean_g = share * pairwise_sum<T>(0, columns, [=](int64_t i) { return g[i] * weight[i]; });
        const T mean_gx =
            share * pairwise_sum<T>(0, columns, [=](int64_t i) { return g[i] * weight[i] * ((in[i] - m) * s); });
#pragma omp simd
        for (int64_t i = 0; i < columns; ++i) {
          const T normalised = (in[i] - m) * s;
          sums[i] += g[i] * normalised;
          sums_bias[i] += g[i];
          out[i] = s * (g[i] * weight[i] - mean_g - normalised * mean_gx);
        }
        if (!further) continue;
#pragma omp simd
        for (int64_t i = 0; i < columns; ++i) out[i] += further[r * columns + i];
      }
    });
  });
}

void batch_norm_forward(CpuContext& ctx, const BatchNorm& p, const Unary& f, bool training, ConstView x,
                        ConstView residual, ConstView w, ConstView bias, View y, View mean, View rstd,
                        View running_mean, View running_var) {
  const InF32 in_f32(ctx, x, residual, w, bias, y, mean, rstd, running_mean, running_var);
  const int64_t channels = x.shape[-1], rows = x.elements() / channels;
  dispatch_float(x.dtype, [&]<class T>() {
    Scratch moments(ctx, static_cast<size_t>(2 * channels) * sizeof(double));
    auto *means = moments.as<double>(), *squares = means + channels;
    if (training) channel_moments(ctx, rows, channels, x.as<T>(), means);
    Scratch scales(ctx, static_cast<size_t>(channels) * sizeof(T));
    T *scale = scales.as<T>(), *m = mean.as<T>(), *s = rstd.as<T>();
    T *moving_mean = running_mean.as<T>(), *moving_var = running_var.as<T>();
    const auto count = static_cast<double>(rows);
    for (int64_t c = 0; c < channels; ++c) {
      const double inverse = 1 / std::sqrt((training ? squares[c] / count : moving_var[c]) + p.eps);
      m[c] = training ? static_cast<T>(means[c]) : moving_mean[c];
      s[c] = static_cast<T>(inverse);
      scale[c] = static_cast<T>(inverse * w.as<T>()[c]);
      if (!training) continue;
      moving_mean[c] += static_cast<T>(p.momentum * (means[c] - moving_mean[c]));
      moving_var[c] += static_cast<T>(p.momentum * (squares[c] / (count - 1) - moving_var[c]));
    }
    const T *residuals = optional<T>(residual), *shift = bias.as<T>();
    const bool relu = f.op == Unary::relu;
    parallel_rows(rows, channels, [&](int64_t r) {
      const T *in = x.as<T>() + r * channels, *add = residuals ? residuals + r * channels : nullptr;
      T* out = y.as<T>() + r * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const T value = (in[c] - m[c]) * scale[c] + shift[c] + (add ? add[c] : T(0));
        out[c] = relu && value < 0 ? T(0) : value;
      }
    });
  });
}

void batch_norm_backward(CpuContext& ctx, bool training, ConstView x, ConstView y, ConstView w, ConstView bias,
                         ConstView mean, ConstView rstd, ConstView dy, View dx, View dresidual, View dw, View dbias) {
  const InF32 in_f32(ctx, x, y, w, bias, mean, rstd, dy, dx, dresidual, dw, dbias);
  const int64_t channels = x.shape[-1], rows = x.elements() / channels;
  dispatch_float(x.dtype, [&]<class T>() {
    const T *in = x.as<T>(), *result = optional<T>(y), *m = mean.as<T>(), *s = rstd.as<T>();
    T *out = dx.as<T>(), *before = dresidual.defined() ? dresidual.as<T>() : out;  // the gradient before relu
    // Sums of dy and of dy (x - mean) rstd, the gradients of bias and w.
    const std::array sums{dbias.as<T>(), dw.as<T>()};
    sum_pieces(ctx, rows, channels, sums, [&](int64_t first, int64_t last, T* g) {
      T* gx = g + channels;
      for (int64_t r = first; r < last; ++r) {
        const T *upstream = dy.as<T>() + r * channels, *row = in + r * channels;
        if (result) {
#pragma omp simd
          for (int64_t i = r * channels; i < (r + 1) * channels; ++i)
            before[i] = dy.as<T>()[i] * (result[i] > 0 ? T(1) : T(0));
          upstream = before + r * channels;
        }
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          g[c] += upstream[c];
          gx[c] += upstream[c] * ((row[c] - m[c]) * s[c]);
        }
      }
    });
    // dx = w rstd (dy - mean(dy) - normalised mean(dy normalised)); constant statistics have no part in it.
    const T share = training ? 1 / static_cast<T>(rows) : T(0);
    const T *g = sums[0], *gx = sums[1], *weight = w.as<T>(), *upstream = result ? before : dy.as<T>();
    parallel_rows(rows, channels, [&](int64_t r) {
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t i = r * channels + c;
        const T normalised = (in[i] - m[c]) * s[c];
        out[i] = weight[c] * s[c] * (upstream[i] - share * g[c] - normalised * (share * gx[c]));
      }
    });
  });
}

}  // namespace engine
