// The LSTM, and its cell for one step. Traffic of the cell in bytes per element of h for f32 / bf16: forward 60 / 36
// (the gates' two parts read, the gates written, c read and written, h written), backward 60 / 40. At the sizes of a
// step (a batch by H) bound by the latency of a launch, so the steps of one call are one launch where that is possible
// (kernels/cuda/lstm_persistent.h).
#include "kernels/cuda/lstm_cell.cuh"
#include "kernels/cuda/lstm_persistent.h"
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
                                    Rows<const T> h_before, Rows<const float> c_before, const int64_t* lengths,
                                    int64_t t, Rows<T> gates, Rows<float> c, Rows<T> h, Rows<T> y) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const int64_t n = index / hidden, k = index % hidden;
  const bool taken = lengths == nullptr || t < lengths[n];
  float cell = c_before.value(n, k), state = taken ? 0.0f : h_before.value(n, k);
  if (taken) {
    T* const of_row = gates.row(n) + k;
    float gate[4];
    for (int g = 0; g < 4; ++g) {
      const int64_t at = g * hidden;
      gate[g] = to_f32(of_row[at]) + recurrent.value(n, at + k) + to_f32(bias[at + k]);
    }
    cell = lstm_cell::forward(gate, cell);
    state = gate[3] * tanhf(cell);
    for (int g = 0; g < 4; ++g) of_row[g * hidden] = from_f32<T>(gate[g]);
  }
  c.row(n)[k] = cell;
  h.row(n)[k] = from_f32<T>(state);
  if (y.data != nullptr) y.row(n)[k] = from_f32<T>(taken ? state : 0.0f);
}

template <class T>
__global__ void cell_backward_kernel(int64_t count, int64_t hidden, Rows<const T> gates, Rows<const float> c_before,
                                     Rows<const float> c, Rows<const T> dy, Rows<const T> recurrent,
                                     const int64_t* lengths, int64_t t, Rows<T> dh, Rows<float> dc, Rows<T> dgates) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const int64_t n = index / hidden, k = index % hidden;
  const bool taken = lengths == nullptr || t < lengths[n];
  float gate[4] = {}, from_h = recurrent.value(n, k) + dh.value(n, k);
  if (taken) {
    for (int g = 0; g < 4; ++g) gate[g] = gates.value(n, g * hidden + k);
    from_h += dy.value(n, k);
    dc.row(n)[k] = lstm_cell::backward(gate, c_before.value(n, k), c.value(n, k), from_h, dc.value(n, k));
  }
  dh.row(n)[k] = from_f32<T>(taken ? 0.0f : from_h);
  for (int g = 0; g < 4; ++g) dgates.row(n)[g * hidden + k] = from_f32<T>(gate[g]);
}

}  // namespace

void lstm_cell_forward(CudaContext& ctx, ConstView recurrent, ConstView bias, ConstView h_before, ConstView c_before,
                       ConstView lengths, int64_t t, View gates, View c, View h, View y) {
  dispatch_device_float(gates.dtype, [&]<class T>() {
    launch(ctx, "lstm", cell_forward_kernel<T>, blocks_for(h.elements(), kThreads), kThreads, 0, h.elements(),
           h.shape[1], recurrent, bias, h_before, c_before, lengths, t, gates, c, h, y);
  });
}

void lstm_cell_backward(CudaContext& ctx, ConstView gates, ConstView c_before, ConstView c, ConstView dy,
                        ConstView recurrent, ConstView lengths, int64_t t, View dh, View dc, View dgates) {
  dispatch_device_float(gates.dtype, [&]<class T>() {
    launch(ctx, "lstm", cell_backward_kernel<T>, blocks_for(c.elements(), kThreads), kThreads, 0, c.elements(),
           c.shape[1], gates, c_before, c, dy, recurrent, lengths, t, dh, dc, dgates);
  });
}

void lstm_forward(CudaContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView b_ih,
                  ConstView b_hh, ConstView h0, ConstView c0, ConstView lengths, View states, View h_n, View c_n,
                  View gates, View cells, View y) {
  lstm_sequence::project_inputs(ctx, x, w_ih, b_ih, gates);
  if (!lstm_persistent::run_forward(ctx, p, w_hh, b_hh, h0, c0, lengths, states, h_n, c_n, gates, cells, y))
    lstm_sequence::run_forward(ctx, p, w_hh, b_hh, h0, c0, lengths, states, h_n, c_n, gates, cells, y);
}

void lstm_backward(CudaContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView h0,
                   ConstView c0, ConstView lengths, ConstView states, ConstView gates, ConstView cells, ConstView dy,
                   ConstView dh_n, ConstView dc_n, View dx, View dw_ih, View dw_hh, View db, View dh0, View dc0) {
  const ScratchArray all(ctx, x.dtype, gates.shape);
  const View& dgates = all.view();
  if (!lstm_persistent::run_backward(ctx, p, w_hh, c0, lengths, gates, cells, dy, dh_n, dc_n, dgates, dh0, dc0))
    lstm_sequence::run_backward(ctx, p, w_hh, c0, lengths, gates, cells, dy, dh_n, dc_n, dgates, dh0, dc0);
  lstm_sequence::weight_gradients(ctx, p, x, w_ih, h0, states, dgates, dx, dw_ih, dw_hh, db);
}

}  // namespace engine
