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
#include <optional>

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
  bool reverse, aligned;  // aligned: lines of H elements may be read as Packs
  int units;              // of a block
  int rows;               // of the batch that a block holds at a time; each thread has one element of rows x units
  int pitch;              // elements of a line in shared memory: H in whole Packs
};

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / kWarp; }

// A block's shared memory: the four parts of the sums of every element, 4 * units lines of weights, lines of states.
template <class T>
struct Memory {
  float* sums;
  T *weights, *states;
  __device__ Memory(const Plan& p, float* memory)
      : sums(memory), weights(reinterpret_cast<T*>(sums + 4 * kThreads)), states(weights + 4 * p.units * p.pitch) {}
};

// Lines of H elements to shared memory, zeros behind each; source(l) is where line l begins. Past the L1 cache, which
// is of no use to what is read once and, but for the barrier's fences, could hold what a line was before another block
// wrote it. Many loads are under way at a time, as each takes the L2 cache's latency.
template <class T, class Source>
__device__ void load_lines(const Plan& p, int lines, T* to, const Source& source) {
  if (!p.aligned) {
    for (int line = warp(); line < lines; line += kWarps)
      for (int k = lane(); k < p.pitch; k += kWarp)
        to[line * p.pitch + k] = k < p.hidden ? __ldcg(source(line) + k) : from_f32<T>(0.0f);
    return;
  }
  constexpr int kDeep = 4, kWide = 2;
  const int packs = p.pitch / kLanes<T>;
  for (int line = warp(); line < lines; line += kDeep * kWarps)
    for (int pack = lane(); pack < packs; pack += kWide * kWarp) {
      uint4 loaded[kDeep][kWide];
      const auto each = [&](const auto& move) {
#pragma unroll
        for (int i = 0; i < kDeep; ++i)
#pragma unroll
          for (int j = 0; j < kWide; ++j)
            if (line + i * kWarps < lines && pack + j * kWarp < packs)
              move(loaded[i][j], line + i * kWarps, (pack + j * kWarp) * kLanes<T>);
      };
      each([&](uint4& pack16, int l, int k) { pack16 = __ldcg(reinterpret_cast<const uint4*>(source(l) + k)); });
      each([&](const uint4& pack16, int l, int k) { *reinterpret_cast<uint4*>(to + l * p.pitch + k) = pack16; });
    }
}

// Lane l gets the sum over the lanes of values[l], in values[0]. Recursive, so that all indices are constants.
template <int kCount>
__device__ inline void add_lanes(float (&values)[kWarp]) {
  constexpr int kHalf = kCount / 2;
  const bool upper = (lane() & kHalf) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const float other = __shfl_xor_sync(kAllLanes, upper ? values[i] : values[i + kHalf], kHalf);
    values[i] = (upper ? values[i + kHalf] : values[i]) + other;
  }
  if constexpr (kHalf > 1) add_lanes<kHalf>(values);
}

// The products of `rows` states with the block's weights; sums[gate * kThreads + row * units + unit]. Forward, a state
// is one line and is multiplied by every line (gate, unit) of the weights; backward it is a line for each gate, which
// is multiplied by the lines of that gate.
template <bool kBackward, class T>
__device__ void multiply(const Plan& p, const Memory<T>& memory, int rows) {
  constexpr int kParts = kBackward ? 4 : 1;
  __syncthreads();  // the states are there
  const int jobs = p.units * ((rows + kRows - 1) / kRows);
  for (int job = warp(); job < jobs; job += kWarps) {
    const int which = job % p.units, first_row = job / p.units * kRows;
    // Forward the four gates of one unit, backward one gate of four units.
    const int first = kBackward ? kLines * which : which, step = kBackward ? 1 : p.units;
    const int part = kBackward ? first / p.units : 0;
    const T *weights[kLines], *states[kRows];
#pragma unroll
    for (int a = 0; a < kLines; ++a) weights[a] = memory.weights + (first + a * step) * p.pitch;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int row = first_row + r < rows ? first_row + r : rows - 1;
      states[r] = memory.states + (row * kParts + part) * p.pitch;
    }
    float sums[kWarp] = {};
    for (int k = lane() * kLanes<T>; k < p.pitch; k += kWarp * kLanes<T>) {
      float w[kLines][kLanes<T>];
#pragma unroll
      for (int a = 0; a < kLines; ++a) {
        const auto pack = load_pack<true, kLanes<T>>(weights[a] + k);
#pragma unroll
        for (int i = 0; i < kLanes<T>; ++i) w[a][i] = to_f32(pack.at[i]);
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const auto pack = load_pack<true, kLanes<T>>(states[r] + k);
#pragma unroll
        for (int i = 0; i < kLanes<T>; ++i)
#pragma unroll
          for (int a = 0; a < kLines; ++a) sums[a * kRows + r] = fmaf(w[a][i], to_f32(pack.at[i]), sums[a * kRows + r]);
      }
    }
    add_lanes<kWarp>(sums);
    const int line = first + lane() / kRows * step, row = first_row + lane() % kRows;
    if (row < rows) memory.sums[line / p.units * kThreads + row * p.units + line % p.units] = sums[0];
  }
  __syncthreads();
}

// The element that a thread has of the rows from `first` on.
struct Element {
  int64_t n;
  int unit;
  bool mine;  // false: none
  __device__ Element(const Plan& p, int first, int rows) {
    const int row = static_cast<int>(threadIdx.x) / p.units;
    n = first + row;
    unit = static_cast<int>(blockIdx.x) * p.units + static_cast<int>(threadIdx.x) % p.units;
    mine = row < rows && unit < p.hidden;
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    forward_kernel(Plan p, const T* w_hh, const T* bias, const T* h0, const float* c0, T* y, T* h_n, float* c_n,
                   T* gates, float* cells) {
  SHARED_DYN(float, dynamic);
  const Memory<T> memory(p, dynamic);
  const int64_t hidden = p.hidden, steps = p.steps;
  load_lines(p, 4 * p.units, memory.weights, [&](int line) {
    const int unit = static_cast<int>(blockIdx.x) * p.units + line % p.units;
    return w_hh + (line / p.units * hidden + (unit < p.hidden ? unit : 0)) * hidden;
  });
  for (int i = 0; i < p.steps; ++i) {
    const int t = p.reverse ? p.steps - 1 - i : i, before = p.reverse ? t + 1 : t - 1;
    for (int first = 0; first < p.batch; first += p.rows) {
      const int rows = p.batch - first < p.rows ? p.batch - first : p.rows;
      const Element e(p, first, rows);
      const int64_t at = (e.n * steps + t) * hidden + e.unit, state_at = e.n * hidden + e.unit;
      T* const of_gates = gates + (e.n * steps + t) * 4 * hidden + e.unit;
      float z[4] = {}, c_before = 0;
      if (e.mine) {  // before the barrier, as nothing of it comes from other blocks
#pragma unroll
        for (int gate = 0; gate < 4; ++gate)
          z[gate] = to_f32(of_gates[gate * hidden]) + to_f32(bias[gate * hidden + e.unit]);
        if (i > 0)
          c_before = cells[(e.n * steps + before) * hidden + e.unit];
        else if (c0 != nullptr)
          c_before = c0[state_at];
      }
      if (i > 0 && first == 0) grid_barrier();
      if (i > 0 || h0 != nullptr) {
        load_lines(p, rows, memory.states, [&](int line) {
          const int64_t n = first + line;
          return i > 0 ? y + (n * steps + before) * hidden : h0 + n * hidden;
        });
        multiply<false>(p, memory, rows);
#pragma unroll
        for (int gate = 0; gate < 4; ++gate)
          if (e.mine) z[gate] += memory.sums[gate * kThreads + threadIdx.x];
      }
      if (!e.mine) continue;
      const lstm_cell::State state = lstm_cell::forward(z, c_before);
#pragma unroll
      for (int gate = 0; gate < 4; ++gate) of_gates[gate * hidden] = from_f32<T>(z[gate]);
      cells[at] = state.c;
      y[at] = from_f32<T>(state.h);
      if (i < p.steps - 1) continue;
      h_n[state_at] = from_f32<T>(state.h);
      c_n[state_at] = state.c;
    }
  }
}

// Columns of w_hh as lines: line (gate, unit) has w_hh[gate * H + k][unit] for every k. units is a multiple of kLines.
template <class T>
__device__ void load_columns(const Plan& p, const T* w_hh, T* to) {
  for (int k = static_cast<int>(threadIdx.x); k < p.pitch; k += kThreads)
    for (int first = 0; first < p.units; first += kLines) {
      T values[4][kLines];  // loads under way
#pragma unroll
      for (int gate = 0; gate < 4; ++gate)
#pragma unroll
        for (int a = 0; a < kLines; ++a) {
          const int unit = static_cast<int>(blockIdx.x) * p.units + first + a;
          const bool inside = k < p.hidden && unit < p.hidden;
          values[gate][a] = inside ? w_hh[(int64_t{gate} * p.hidden + k) * p.hidden + unit] : from_f32<T>(0.0f);
        }
#pragma unroll
      for (int gate = 0; gate < 4; ++gate)
#pragma unroll
        for (int a = 0; a < kLines; ++a) to[(gate * p.units + first + a) * p.pitch + k] = values[gate][a];
    }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    backward_kernel(Plan p, const T* w_hh, const float* c0, const T* gates, const float* cells, const T* dy,
                    const T* dh_n, const float* dc_n, T* dgates, T* dh0, float* dc) {
  SHARED_DYN(float, dynamic);
  const Memory<T> memory(p, dynamic);
  const int64_t hidden = p.hidden, steps = p.steps;
  load_columns(p, w_hh, memory.weights);
  const int rounds = dh0 != nullptr ? p.steps + 1 : p.steps;  // one more, without cells, for dh0
  for (int i = 0; i < rounds; ++i) {
    const int t = p.reverse ? i : p.steps - 1 - i, before = p.reverse ? t + 1 : t - 1,
              after = p.reverse ? t - 1 : t + 1;
    for (int first = 0; first < p.batch; first += p.rows) {
      const int rows = p.batch - first < p.rows ? p.batch - first : p.rows;
      const Element e(p, first, rows);
      const bool cell = e.mine && i < p.steps;
      const int64_t at = (e.n * steps + t) * hidden + e.unit, state_at = e.n * hidden + e.unit;
      const int64_t gates_at = (e.n * steps + t) * 4 * hidden + e.unit;
      float gate[4] = {}, c_before = 0, c = 0, dh = 0, dc_now = 0;
      if (cell) {  // before the barrier, as nothing of it comes from other blocks
#pragma unroll
        for (int which = 0; which < 4; ++which) gate[which] = to_f32(gates[gates_at + which * hidden]);
        c = cells[at];
        if (i < p.steps - 1)
          c_before = cells[(e.n * steps + before) * hidden + e.unit];
        else if (c0 != nullptr)
          c_before = c0[state_at];
        if (dy != nullptr) dh = to_f32(dy[at]);
        if (i > 0)
          dc_now = dc[state_at];
        else if (dc_n != nullptr)
          dc_now = dc_n[state_at];
        if (i == 0 && dh_n != nullptr) dh += to_f32(dh_n[state_at]);
      }
      if (i > 0) {
        if (first == 0) grid_barrier();
        load_lines(p, 4 * rows, memory.states,
                   [&](int line) { return dgates + (((first + line / 4) * steps + after) * 4 + line % 4) * hidden; });
        multiply<true>(p, memory, rows);
        if (e.mine) {
          const float* const sums = memory.sums + threadIdx.x;
          dh += sums[0] + sums[kThreads] + sums[2 * kThreads] + sums[3 * kThreads];
        }
      }
      if (cell) {
        float d[4];
        dc[state_at] = lstm_cell::backward(gate, c_before, c, dh, dc_now, d);
#pragma unroll
        for (int which = 0; which < 4; ++which) dgates[gates_at + which * hidden] = from_f32<T>(d[which]);
      } else if (e.mine) {
        dh0[state_at] = from_f32<T>(dh);
      }
    }
  }
}

struct Grid {
  Plan plan;
  unsigned blocks;
  size_t shared_bytes;
};

// As many multiprocessors as there are get a block, and blocks as few units as that allows. Nothing where a block's
// weights and enough states (lines of H elements, `parts` for each row) do not fit in its shared memory, or where the
// multiply-adds of a step take longer than a launch of the loop, whose products use tensor cores (an estimate).
template <class T>
std::optional<Grid> fit(CudaContext& ctx, const Lstm& lstm, const ConstView& cells, int parts) {
  constexpr int64_t kMostProducts = 1 << 20;  // of a block in a step
  const auto up_to = [](int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; };
  const int64_t batch = cells.shape[0], steps = cells.shape[1], hidden = cells.shape[2];
  const int64_t units = up_to(up_to(hidden, ctx.multiprocessors()) / ctx.multiprocessors(), parts == 1 ? 1 : kLines);
  if (batch == 0 || steps >= INT32_MAX || hidden > kMostProducts || batch > kMostProducts / (4 * units * hidden))
    return {};
  const int64_t pitch = up_to(hidden, kLanes<T>), line_bytes = pitch * static_cast<int64_t>(sizeof(T));
  const int64_t fixed = 4 * kThreads * static_cast<int64_t>(sizeof(float)) + 4 * units * line_bytes;
  const int64_t room = ctx.attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - fixed;
  int64_t rows = std::min({batch, kThreads / units, room / (parts * line_bytes)});
  if (rows < std::min<int64_t>(batch, kRows / 2)) return {};
  if (rows < batch && rows > kRows) rows = rows / kRows * kRows;
  return Grid{{static_cast<int>(batch), static_cast<int>(steps), static_cast<int>(hidden), lstm.reverse, false,
               static_cast<int>(units), static_cast<int>(rows), static_cast<int>(pitch)},
              blocks_for(hidden, units),
              static_cast<size_t>(fixed + rows * parts * line_bytes)};
}

}  // namespace

bool run_forward(CudaContext& ctx, const Lstm& p, ConstView w_hh, ConstView b_hh, ConstView h0, ConstView c0, View y,
                 View h_n, View c_n, View gates, View cells) {
  return dispatch_device_float(y.dtype, [&]<class T>() {
    std::optional<Grid> grid = fit<T>(ctx, p, cells, 1);
    if (!grid) return false;
    grid->plan.aligned = aligned16(grid->plan.hidden, w_hh, h0, y);
    return launch_together(ctx, "lstm", forward_kernel<T>, grid->blocks, kThreads, grid->shared_bytes, grid->plan,
                           w_hh.as<T>(), b_hh.as<T>(), optional<T>(h0), optional<float>(c0), y.as<T>(), h_n.as<T>(),
                           c_n.as<float>(), gates.as<T>(), cells.as<float>());
  });
}

bool run_backward(CudaContext& ctx, const Lstm& p, ConstView w_hh, ConstView c0, ConstView gates, ConstView cells,
                  ConstView dy, ConstView dh_n, ConstView dc_n, View dgates, View dh0, View dc0) {
  return dispatch_device_float(gates.dtype, [&]<class T>() {
    std::optional<Grid> grid = fit<T>(ctx, p, cells, 4);
    if (!grid) return false;
    grid->plan.aligned = aligned16(grid->plan.hidden, dgates);
    CudaScratch dc(ctx, dc0.defined() ? 0 : static_cast<size_t>(grid->plan.batch * grid->plan.hidden) * sizeof(float));
    return launch_together(ctx, "lstm", backward_kernel<T>, grid->blocks, kThreads, grid->shared_bytes, grid->plan,
                           w_hh.as<T>(), optional<float>(c0), gates.as<T>(), cells.as<float>(), optional<T>(dy),
                           optional<T>(dh_n), optional<float>(dc_n), dgates.as<T>(), optional<T>(dh0),
                           dc0.defined() ? dc0.as<float>() : dc.as<float>());
  });
}

}  // namespace engine::lstm_persistent
