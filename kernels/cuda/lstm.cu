// The cell of the LSTM. Traffic in bytes per element of h for f32 / bf16: forward 60 / 36 (the gates' two parts read,
// the gates written, c read and written, h written), backward 52 / 36. At the sizes of a step (a batch by H) bound by
// the latency of a launch.
#include "kernels/lstm.h"

#include "kernels/cuda/activation.cuh"
#include "kernels/lstm_sequence.h"

namespace engine {
namespace {

constexpr int kThreads = 256;

// A view (N, columns); without data where it is not given.
template <class T>
struct Rows {
  T* data = nullptr;
  int64_t stride = 0;

  template <class V>
  explicit Rows(const V& v) {
    if (v.defined()) data = v.template as<std::remove_const_t<T>>(), stride = v.strides[0];
  }
  __device__ T* row(int64_t n) const { return data + n * stride; }
  // Element k of row n, 0 of what is not given.
  __device__ float value(int64_t n, int64_t k) const { return data == nullptr ? 0.0f : to_f32(row(n)[k]); }
};

template <class T>
__global__ void cell_forward_kernel(int64_t count, int64_t hidden, Rows<const T> recurrent, const T* bias,
                                    Rows<const float> c_before, Rows<T> gates, Rows<float> c, Rows<T> h) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const int64_t n = index / hidden, k = index % hidden;
  T* const of_row = gates.row(n) + k;
  float z[4];
#pragma unroll
  for (int gate = 0; gate < 4; ++gate) {
    const int64_t at = gate * hidden;
    z[gate] = to_f32(of_row[at]) + recurrent.value(n, at + k) + to_f32(bias[at + k]);
    z[gate] = gate == 2 ? tanhf(z[gate]) : activation::sigmoid(z[gate]);
    of_row[at] = from_f32<T>(z[gate]);
  }
  const float cell = z[1] * c_before.value(n, k) + z[0] * z[2];
  c.row(n)[k] = cell;
  h.row(n)[k] = from_f32<T>(z[3] * tanhf(cell));
}

template <class T>
__global__ void cell_backward_kernel(int64_t count, int64_t hidden, Rows<const T> gates, Rows<const float> c_before,
                                     Rows<const float> c, Rows<const T> dy, Rows<const T> dh, Rows<float> dc,
                                     Rows<T> dgates) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const int64_t n = index / hidden, k = index % hidden;
  const float i = gates.value(n, k), f = gates.value(n, hidden + k), g = gates.value(n, 2 * hidden + k);
  const float o = gates.value(n, 3 * hidden + k), tanh_c = tanhf(c.value(n, k));
  const float from_h = dy.value(n, k) + dh.value(n, k);
  const float from_c = dc.value(n, k) + from_h * o * (1 - tanh_c * tanh_c);
  T* const to = dgates.row(n) + k;
  to[0] = from_f32<T>(from_c * g * i * (1 - i));
  to[hidden] = from_f32<T>(from_c * c_before.value(n, k) * f * (1 - f));
  to[2 * hidden] = from_f32<T>(from_c * i * (1 - g * g));
  to[3 * hidden] = from_f32<T>(from_h * tanh_c * o * (1 - o));
  dc.row(n)[k] = from_c * f;
}

}  // namespace

void lstm_cell_forward(CudaContext& ctx, ConstView recurrent, ConstView bias, ConstView c_before, View gates, View c,
                       View h) {
  dispatch_device_float(gates.dtype, [&]<class T>() {
    launch(ctx, "lstm", cell_forward_kernel<T>, blocks_for(h.elements(), kThreads), kThreads, 0, h.elements(),
           h.shape[1], Rows<const T>(recurrent), bias.as<T>(), Rows<const float>(c_before), Rows<T>(gates),
           Rows<float>(c), Rows<T>(h));
  });
}

void lstm_cell_backward(CudaContext& ctx, ConstView gates, ConstView c_before, ConstView c, ConstView dy, ConstView dh,
                        View dc, View dgates) {
  dispatch_device_float(gates.dtype, [&]<class T>() {
    launch(ctx, "lstm", cell_backward_kernel<T>, blocks_for(c.elements(), kThreads), kThreads, 0, c.elements(),
           c.shape[1], Rows<const T>(gates), Rows<const float>(c_before), Rows<const float>(c), Rows<const T>(dy),
           Rows<const T>(dh), Rows<float>(dc), Rows<T>(dgates));
  });
}

void lstm_forward(CudaContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView b_ih,
                  ConstView b_hh, ConstView h0, ConstView c0, View y, View h_n, View c_n, View gates, View cells) {
  lstm_sequence::forward(ctx, p, x, w_ih, w_hh, b_ih, b_hh, h0, c0, y, h_n, c_n, gates, cells);
}

void lstm_backward(CudaContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView h0,
                   ConstView c0, ConstView y, ConstView gates, ConstView cells, ConstView dy, ConstView dh_n,
                   ConstView dc_n, View dx, View dw_ih, View dw_hh, View db, View dh0, View dc0) {
  lstm_sequence::backward(ctx, p, x, w_ih, w_hh, h0, c0, y, gates, cells, dy, dh_n, dc_n, dx, dw_ih, dw_hh, db, dh0,
                          dc0);
}

}  // namespace engine
