// The LSTM's loop over time as one launch in which the weights stay on the chip (Diamos et al., Persistent RNNs:
// Stashing Recurrent Weights On-Chip, ICML 2016). A block owns some hidden units with all four gates of each, so that
// their cells are its own, and keeps its part of w_hh in shared memory for all steps. In a step it brings the batch's h
// of the step before (backward: the gates' gradients of the step after), which all blocks wrote, to shared memory,
// multiplies, does its cells, and meets all other blocks at a barrier of the grid.
//
// A warp multiplies 4 lines of weights by 8 rows of the batch: what it loads of one is used for all of the other. Its
// lanes share the sum over k, 16 bytes of k at a time, and shuffles add up the lanes; backward, a sum is the four
// gates' in their order. So the order of a sum depends on H alone.
//
// Traffic in bytes per element of h and step, f32 / bf16: forward 44 / 26, backward 52 / 34, and from the L2 cache
// forward 4 / 2, backward 16 / 8 times the number of blocks. Bound by the barrier at small sizes, by f32 multiply-adds
// and the shared memory that feeds them at large ones; backward also by the L2 cache.
// An estimate, not a measurement, for an H100, bf16, H 512 and a batch of 32: of a step forward 4 us (barrier 1.3, h
// 0.6, products 1.7, cells 0.3), backward 6 us (the gradients of all gates 2.5).
#include "kernels/cuda/lstm_cell.cuh"
#include "kernels/cuda/lstm_persistent.h"

namespace engine::lstm_persistent {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kRows = 8;   // of the batch that a warp multiplies at a time,
constexpr int kLines = 4;  // by as many lines of weights: a sum for every lane
static_assert(kRows * kLines == kWarp);

struct Plan {
  int batch, steps, hidden;
  bool reverse;
  int units;  // of a block
  int rows;   // of the batch at a time; a thread has one element of rows x units
  int pitch;  // elements of a line in shared memory: H in whole Packs
};

// As in kernels/lstm.h, null where not given; h is states there, gates_out is dgates backward.
template <class T>
struct Arrays {
  const T *w_hh{}, *bias{}, *h0{}, *gates{}, *dy{}, *dh_n{};
  const float *c0{}, *cells{}, *dc_n{};
  const int64_t* lengths{};
  T *gates_out{}, *h{}, *y{}, *h_n{}, *dh0{};
  float *cells_out{}, *c_n{}, *dc{};
};

// Lines of H elements to shared memory, zeros behind each, by elements or 16 bytes; those of line l stand `stride`
// apart from source(l) on. Past the L1 cache, which is of no use to what is read once and, but for the barrier's
// fences, could hold what a line was before another block wrote it. Many loads are under way, as each takes the L2
// cache's latency.
template <class Chunk, class T, class Source>
__device__ void load_lines(const Plan& p, int lines, T* to, int stride, const Source& source) {
  constexpr int kCount = sizeof(Chunk) / sizeof(T), kUnderWay = 8;
  for (int line = warp(), k = lane() * kCount; line < lines;) {
    Chunk loaded[kUnderWay] = {};
    int at[kUnderWay];
#pragma unroll
    for (int i = 0; i < kUnderWay; ++i) {
      at[i] = line < lines && k < p.pitch ? line * p.pitch + k : -1;
      if (at[i] >= 0 && k < p.hidden) loaded[i] = __ldcg(reinterpret_cast<const Chunk*>(source(line) + k * stride));
      k += kWarp * kCount;
      if (k >= p.pitch) k = lane() * kCount, line += kWarps;
    }
#pragma unroll
    for (int i = 0; i < kUnderWay; ++i)
      if (at[i] >= 0) *reinterpret_cast<Chunk*>(to + at[i]) = loaded[i];
  }
}

// Lane l gets the sum over the lanes of values[l], in values[0]. Recursive, so that all indices are constants.
template <int kHalf>
__device__ inline void add_lanes(float (&values)[kWarp]) {
  const bool upper = (lane() & kHalf) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const float given = upper ? values[i] : values[i + kHalf];
    values[i] = (upper ? values[i + kHalf] : values[i]) + __shfl_xor_sync(kAllLanes, given, kHalf);
  }
  if constexpr (kHalf > 1) add_lanes<kHalf / 2>(values);
}

// The products of `rows` states with the block's weights: sums[gate * kThreads + row * units + unit]. Forward, a state
// is one line and is multiplied by every line (gate, unit) of the weights; backward it is a line for each gate, which
// is multiplied by the lines of that gate.
template <bool kBackward, class T>
__device__ void multiply(const Plan& p, const T* weights, const T* states, int rows, float* sums) {
  for (int job = warp(); job < p.units * ((rows + kRows - 1) / kRows); job += kWarps) {
    const int which = job % p.units, first_row = job / p.units * kRows;
    // Forward the four gates of one unit, backward one gate of four units.
    const int first = kBackward ? kLines * which : which, step = kBackward ? 1 : p.units;
    const int part = kBackward ? first / p.units : 0, parts = kBackward ? 4 : 1;
    float values[kWarp] = {};
    for (int k = lane() * kLanes<T>; k < p.pitch; k += kWarp * kLanes<T>) {
      Pack<T> w[kLines];
#pragma unroll
      for (int a = 0; a < kLines; ++a) w[a] = load_pack<true, kLanes<T>>(weights + (first + a * step) * p.pitch + k);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int row = first_row + r < rows ? first_row + r : rows - 1;
        const auto state = load_pack<true, kLanes<T>>(states + (row * parts + part) * p.pitch + k);
#pragma unroll
        for (int i = 0; i < kLanes<T>; ++i)
#pragma unroll
          for (int a = 0; a < kLines; ++a)
            values[a * kRows + r] = fmaf(to_f32(w[a].at[i]), to_f32(state.at[i]), values[a * kRows + r]);
      }
    }
    add_lanes<kWarp / 2>(values);
    const int line = first + lane() / kRows * step, row = first_row + lane() % kRows;
    if (row < rows) sums[line / p.units * kThreads + row * p.units + line % p.units] = values[0];
  }
}

// kAligned: lines of H elements begin at multiples of 16 bytes.
template <class T, bool kBackward, bool kAligned>
__global__ void __launch_bounds__(kThreads, 1) kernel(Plan p, Arrays<T> a) {
  constexpr int kParts = kBackward ? 4 : 1;  // lines of a state
  using Chunk = std::conditional_t<kAligned, uint4, T>;
  SHARED_DYN(float, sums);
  T* const weights = reinterpret_cast<T*>(sums + 4 * kThreads);
  T* const states = weights + 4 * p.units * p.pitch;
  const int thread = static_cast<int>(threadIdx.x), row = thread / p.units;
  const int first_unit = static_cast<int>(blockIdx.x) * p.units, unit = first_unit + thread % p.units;
  const int64_t hidden = p.hidden, steps = p.steps;
  // Rows of w_hh, backward columns. A unit beyond H has those of another one; nobody reads its sums.
  load_lines<std::conditional_t<kBackward, T, Chunk>>(p, 4 * p.units, weights, kBackward ? p.hidden : 1, [&](int line) {
    const int owner = first_unit + line % p.units < p.hidden ? first_unit + line % p.units : first_unit;
    const int64_t gate = line / p.units;
    return a.w_hh + (kBackward ? gate * hidden * hidden + owner : (gate * hidden + owner) * hidden);
  });
  const int rounds = kBackward && a.dh0 != nullptr ? p.steps + 1 : p.steps;
  for (int round = 0; round < rounds; ++round) {
    const int step = kBackward ? p.steps - 1 - round : round;  // -1: only gradients of h0 are left
    const int t = p.reverse ? p.steps - 1 - step : step, next = p.reverse ? -1 : 1;
    for (int first = 0; first < p.batch; first += p.rows) {
      const int rows = p.batch - first < p.rows ? p.batch - first : p.rows;
      const int64_t n = first + row, in_state = n * hidden + unit, at = (n * steps + t) * hidden + unit;
      const int64_t at_gates = 4 * (at - unit) + unit;
      const bool mine = row < rows && unit < p.hidden, cell = mine && step >= 0;
      const int64_t given = mine && a.lengths != nullptr ? a.lengths[n] : steps;
      const int64_t length = given < 0 ? 0 : given < steps ? given : steps;
      const bool taken = cell && t < length;
      float gate[4] = {}, c_before = 0, c = 0, dh = 0, dc = 0;
      if (cell) {  // before the barrier, as nothing of it comes from other blocks
        for (int g = 0; g < 4; ++g) gate[g] = to_f32(a.gates[at_gates + g * hidden]);
        if (step > 0 || a.c0 != nullptr) c_before = step > 0 ? a.cells[at - next * hidden] : a.c0[in_state];
        if constexpr (kBackward) {
          c = a.cells[at];
          if (taken && a.dy != nullptr) dh = to_f32(a.dy[at]);
          if (round > 0 || a.dc_n != nullptr) dc = (round > 0 ? a.dc : a.dc_n)[in_state];
        } else {
          for (int g = 0; g < 4; ++g) gate[g] += to_f32(a.bias[g * hidden + unit]);
        }
      }
      // The gradient of h_n reaches a row at the last step that it takes; before its first is the gradient of h0.
      const bool last = kBackward && mine && t == (p.reverse ? 0 : length - 1);
      const bool before_first = kBackward && mine && t == (p.reverse ? length : -1);
      if (last && a.dh_n != nullptr) dh += to_f32(a.dh_n[in_state]);
      if (round > 0 && first == 0) grid_barrier();
      if (round > 0 || (!kBackward && a.h0 != nullptr)) {
        load_lines<Chunk>(p, rows * kParts, states, 1, [&](int line) -> const T* {
          const int64_t sample = first + line / kParts;
          if (kBackward) return a.gates_out + ((sample * steps + t + next) * 4 + line % kParts) * hidden;
          return round > 0 ? a.h + (sample * steps + t - next) * hidden : a.h0 + sample * hidden;
        });
        __syncthreads();
        multiply<kBackward>(p, weights, states, rows, sums);
        __syncthreads();
        for (int g = 0; g < 4 && mine; ++g) (kBackward ? dh : gate[g]) += sums[g * kThreads + thread];
      }
      if (before_first && a.dh0 != nullptr) a.dh0[in_state] = from_f32<T>(dh);
      if (!cell) continue;
      if constexpr (kBackward) {
        if (taken) dc = lstm_cell::backward(gate, c_before, c, dh, dc);
        for (int g = 0; g < 4 && !taken; ++g) gate[g] = 0;
        a.dc[in_state] = dc;
      } else {
        float h = 0;
        if (taken)
          c = lstm_cell::forward(gate, c_before), h = gate[3] * tanhf(c);
        else if (c = c_before; step > 0 || a.h0 != nullptr)
          h = to_f32(step > 0 ? a.h[at - next * hidden] : a.h0[in_state]);
        a.cells_out[at] = c, a.h[at] = from_f32<T>(h);
        if (a.y != nullptr) a.y[at] = from_f32<T>(taken ? h : 0.0f);
        if (round == p.steps - 1) a.h_n[in_state] = from_f32<T>(h), a.c_n[in_state] = c;
      }
      for (int g = 0; g < 4 && (kBackward || taken); ++g) a.gates_out[at_gates + g * hidden] = from_f32<T>(gate[g]);
    }
  }
}

// As many multiprocessors as there are get a block, and blocks as few units as that allows. False where a block's
// weights and enough states do not fit in its shared memory, or where the products of a step take longer than a launch
// of the loop, whose products use tensor cores (an estimate).
template <class T, bool kBackward>
bool run(CudaContext& ctx, const Lstm& lstm, const ConstView& cells, bool aligned, const Arrays<T>& arrays) {
  constexpr int kMostProducts = 1 << 20;  // multiply-adds of a block in a step
  if (cells.shape[0] == 0 || *std::max_element(cells.shape.begin(), cells.shape.end()) > kMostProducts) return false;
  const auto up_to = [](int value, int multiple) { return (value + multiple - 1) / multiple * multiple; };
  const int batch = static_cast<int>(cells.shape[0]), steps = static_cast<int>(cells.shape[1]);
  const int hidden = static_cast<int>(cells.shape[2]), multiprocessors = ctx.multiprocessors();
  const int units = up_to(up_to(hidden, multiprocessors) / multiprocessors, kBackward ? kLines : 1);
  if (int64_t{4} * units * hidden > kMostProducts / batch) return false;
  const int pitch = up_to(hidden, kLanes<T>), line_bytes = pitch * static_cast<int>(sizeof(T));
  const int state_bytes = (kBackward ? 4 : 1) * line_bytes, fixed_bytes = 4 * (kThreads * 4 + units * line_bytes);
  const int room = ctx.attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - fixed_bytes;
  int rows = std::min({batch, kThreads / units, room / state_bytes});
  if (rows < std::min(batch, kRows / 2)) return false;
  if (rows < batch && rows > kRows) rows -= rows % kRows;
  const Plan p{batch, steps, hidden, lstm.reverse, units, rows, pitch};
  return dispatch_bool(aligned, [&]<bool kAligned>() {
    return launch_together(ctx, "lstm", kernel<T, kBackward, kAligned>, blocks_for(hidden, units), kThreads,
                           static_cast<size_t>(fixed_bytes + rows * state_bytes), p, arrays);
  });
}

}  // namespace

bool run_forward(CudaContext& ctx, const Lstm& p, ConstView w_hh, ConstView b_hh, ConstView h0, ConstView c0,
                 ConstView lengths, View states, View h_n, View c_n, View gates, View cells, View y) {
  return dispatch_device_float(states.dtype, [&]<class T>() {
    Arrays<T> a;
    a.w_hh = w_hh.as<T>(), a.bias = b_hh.as<T>(), a.h0 = optional<T>(h0), a.c0 = optional<float>(c0);
    a.gates = a.gates_out = gates.as<T>(), a.cells = a.cells_out = cells.as<float>();
    a.lengths = optional<int64_t>(lengths), a.h = states.as<T>(), a.y = optional<T>(y);
    a.h_n = h_n.as<T>(), a.c_n = c_n.as<float>();
    return run<T, false>(ctx, p, cells, aligned16(states.shape[2], w_hh, h0, states), a);
  });
}

bool run_backward(CudaContext& ctx, const Lstm& p, ConstView w_hh, ConstView c0, ConstView lengths, ConstView gates,
                  ConstView cells, ConstView dy, ConstView dh_n, ConstView dc_n, View dgates, View dh0, View dc0) {
  CudaScratch dc(ctx, dc0.defined() ? 0 : static_cast<size_t>(cells.shape[0] * cells.shape[2]) * sizeof(float));
  return dispatch_device_float(gates.dtype, [&]<class T>() {
    Arrays<T> a;
    a.w_hh = w_hh.as<T>(), a.gates = gates.as<T>(), a.cells = cells.as<float>(), a.c0 = optional<float>(c0);
    a.lengths = optional<int64_t>(lengths), a.dy = optional<T>(dy), a.dh_n = optional<T>(dh_n),
    a.dc_n = optional<float>(dc_n);
    a.gates_out = dgates.as<T>(), a.dh0 = optional<T>(dh0), a.dc = dc0.defined() ? dc0.as<float>() : dc.as<float>();
    return run<T, true>(ctx, p, cells, aligned16(cells.shape[2], dgates), a);
  });
}

}  // namespace engine::lstm_persistent
