#include "kernels/lstm.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/lstm_sequence.h"

namespace engine {
namespace {

using vector_math::sigmoid, vector_math::tanh;

// Row n of a view (N, columns); nullptr of one that is not given.
template <class T, class V>
auto* row_of(const V& v, int64_t n) {
  return v.defined() ? v.template as<T>() + n * v.strides[0] : nullptr;
}

// Calls body(n, whether it takes step t) for every row n; `hidden` is H.
template <class Body>
void for_each_row(int64_t rows, int64_t hidden, const ConstView& lengths, int64_t t, const Body& body) {
  const int64_t* const known = optional<int64_t>(lengths);
  parallel_rows(rows, 16 * hidden, [&](int64_t n) { body(n, known == nullptr || t < known[n]); });
}

// to = from, or 0 where that is not given.
template <class T>
void assign(int64_t count, const T* from, T* to) {
  for (int64_t k = 0; k < count; ++k) to[k] = from ? from[k] : T(0);
}

template <class T>
void forward_row(int64_t hidden, const T* recurrent, const T* bias, const T* before, T* gates, T* c, T* h) {
#pragma omp simd
  for (int64_t k = 0; k < 4 * hidden; ++k) gates[k] += (recurrent ? recurrent[k] : T(0)) + bias[k];
  T *i = gates, *f = i + hidden, *g = f + hidden, *o = g + hidden;
#pragma omp simd
  for (int64_t k = 0; k < hidden; ++k) {
    i[k] = sigmoid(i[k]);
    f[k] = sigmoid(f[k]);
    g[k] = tanh(g[k]);
    o[k] = sigmoid(o[k]);
    c[k] = f[k] * (before ? before[k] : T(0)) + i[k] * g[k];
    h[k] = o[k] * tanh(c[k]);
  }
}

template <class T>
void backward_row(int64_t hidden, const T* gates, const T* before, const T* c, const T* dy, const T* recurrent, T* dh,
                  T* dc, T* dgates) {
  const T *i = gates, *f = i + hidden, *g = f + hidden, *o = g + hidden;
  T *di = dgates, *df = di + hidden, *dg = df + hidden, *d_o = dg + hidden;
#pragma omp simd
  for (int64_t k = 0; k < hidden; ++k) {
    const T from_h = (dy ? dy[k] : T(0)) + (recurrent ? recurrent[k] : T(0)) + dh[k], tanh_c = tanh(c[k]);
    const T from_c = dc[k] + from_h * o[k] * (1 - tanh_c * tanh_c);
    di[k] = from_c * g[k] * i[k] * (1 - i[k]);
    df[k] = from_c * (before ? before[k] : T(0)) * f[k] * (1 - f[k]);
    dg[k] = from_c * i[k] * (1 - g[k] * g[k]);
    d_o[k] = from_h * tanh_c * o[k] * (1 - o[k]);
    dc[k] = from_c * f[k];
    dh[k] = 0;
  }
}

}  // namespace

void lstm_cell_forward(CpuContext&, ConstView recurrent, ConstView bias, ConstView h_before, ConstView c_before,
                       ConstView lengths, int64_t t, View gates, View c, View h, View y) {
  dispatch_float(gates.dtype, [&]<class T>() {
    const int64_t hidden = h.shape[1];
    for_each_row(h.shape[0], hidden, lengths, t, [&](int64_t n, bool taken) {
      T *const c_row = row_of<T>(c, n), *const h_row = row_of<T>(h, n);
      const T* const before = row_of<T>(c_before, n);
      if (taken) {
        forward_row(hidden, row_of<T>(recurrent, n), bias.as<T>(), before, row_of<T>(gates, n), c_row, h_row);
      } else {
        assign(hidden, before, c_row);
        assign(hidden, row_of<T>(h_before, n), h_row);
      }
      if (y.defined()) assign<T>(hidden, taken ? h_row : nullptr, row_of<T>(y, n));
    });
  });
}

void lstm_cell_backward(CpuContext&, ConstView gates, ConstView c_before, ConstView c, ConstView dy,
                        ConstView recurrent, ConstView lengths, int64_t t, View dh, View dc, View dgates) {
  dispatch_float(gates.dtype, [&]<class T>() {
    const int64_t hidden = c.shape[1];
    for_each_row(c.shape[0], hidden, lengths, t, [&](int64_t n, bool taken) {
      const T* const product = row_of<T>(recurrent, n);
      T* const dh_row = row_of<T>(dh, n);
      if (taken)
        return backward_row(hidden, row_of<T>(gates, n), row_of<T>(c_before, n), row_of<T>(c, n), row_of<T>(dy, n),
                            product, dh_row, row_of<T>(dc, n), row_of<T>(dgates, n));
      std::fill_n(row_of<T>(dgates, n), 4 * hidden, T(0));
      for (int64_t k = 0; product && k < hidden; ++k) dh_row[k] += product[k];
    });
  });
}

void lstm_forward(CpuContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView b_ih,
                  ConstView b_hh, ConstView h0, ConstView c0, ConstView lengths, View states, View h_n, View c_n,
                  View gates, View cells, View y) {
  const InF32 in_f32(ctx, x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, states, h_n, c_n, gates, cells, y);
  lstm_sequence::project_inputs(ctx, x, w_ih, b_ih, gates);
  // A product takes a right side as it is faster than a transposed one; of few, transposing them costs more.
  const bool many = w_hh.shape[1] >= 256;
  const ScratchArray right(ctx, w_hh.dtype, many ? Shape{w_hh.shape[1], w_hh.shape[0]} : Shape{0, 0});
  if (many) copy(ctx, transposed(w_hh), right.view());
  lstm_sequence::run_forward(ctx, p, many ? transposed(right.view()) : w_hh, b_hh, h0, c0, lengths, states, h_n, c_n,
                             gates, cells, y);
}

void lstm_backward(CpuContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView h0,
                   ConstView c0, ConstView lengths, ConstView states, ConstView gates, ConstView cells, ConstView dy,
                   ConstView dh_n, ConstView dc_n, View dx, View dw_ih, View dw_hh, View db, View dh0, View dc0) {
  const InF32 in_f32(ctx, x, w_ih, w_hh, h0, c0, lengths, states, gates, cells, dy, dh_n, dc_n, dx, dw_ih, dw_hh, db,
                     dh0, dc0);
  const ScratchArray dgates(ctx, x.dtype, gates.shape);
  lstm_sequence::run_backward(ctx, p, w_hh, c0, lengths, gates, cells, dy, dh_n, dc_n, dgates.view(), dh0, dc0);
  lstm_sequence::weight_gradients(ctx, p, x, w_ih, h0, states, dgates.view(), dx, dw_ih, dw_hh, db);
}

}  // namespace engine
