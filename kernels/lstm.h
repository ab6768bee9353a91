// Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 9, 1997; with the forget gate of Gers,
// Schmidhuber and Cummins, Neural Computation 12, 2000): one layer, one direction, in PyTorch's convention of weights
// and gates. Cells and their gradients are f32 where x is bf16, else of x's type.
#pragma once

#include "kernels/context.h"

namespace engine {

struct Lstm {
  bool reverse = false;  // from the last time to the first
};

// For t = 0 .. T-1 (or T-1 .. 0), from the states h and c of the step before (at first h0 and c0, or 0 if undefined):
//   i, f, o = sigmoid, g = tanh of the four parts, in the order i, f, g, o, of x[t] w_ih^T + b_ih + h w_hh^T + b_hh
//   c = f c + i g,   h = o tanh(c) = y[t]
// x (N, T, C), w_ih (4H, C), w_hh (4H, H), b_ih and b_hh (4H), h0 and y's last step h_n (N, H), y (N, T, H), of one
// float type; c0 and c_n (N, H), cells (N, T, H), of the cells' type. T, C and H are not 0; everything is contiguous.
// gates (N, T, 4H), of x's type, holds i, f, g and o, cells every c, and states (N, T, H), of x's type, every h: what
// backward needs.
//
// lengths, i64 (N), read when the kernel runs: row n takes the steps t < lengths[n] only, as if it had no others (at
// most T; none where it is below 0). At the others h and c stay as they are and y is 0; what x holds there has no
// influence if it is finite. Undefined: all steps; then y is undefined, too, as states is the same.
ENGINE_KERNEL(lstm_forward, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView b_ih, ConstView b_hh,
              ConstView h0, ConstView c0, ConstView lengths, View states, View h_n, View c_n, View gates, View cells,
              View y);

// From the gradients of y, h_n and c_n, each of which may be undefined (0). Assigns the gradients of x, w_ih, w_hh, of
// b_ih (which b_hh shares), h0 and c0; those that are undefined are not wanted.
ENGINE_KERNEL(lstm_backward, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView h0, ConstView c0,
              ConstView lengths, ConstView states, ConstView gates, ConstView cells, ConstView dy, ConstView dh_n,
              ConstView dc_n, View dx, View dw_ih, View dw_hh, View db, View dh0, View dc0);

// Step t of it; rows may be any distance apart, elements of a row are neighbours. On the CPU f32 or f64. gates (N, 4H):
// in, what x and b_ih give; out, i, f, g and o of gates + recurrent + bias. recurrent (N, 4H), h_before and c_before
// (N, H) may be undefined (0); bias is (4H). Rows that do not take the step get h = h_before and c = c_before. y: h or,
// in such rows, 0; it may be undefined.
ENGINE_KERNEL(lstm_cell_forward, ConstView recurrent, ConstView bias, ConstView h_before, ConstView c_before,
              ConstView lengths, int64_t t, View gates, View c, View h, View y);

// dgates (N, 4H): the gradient of what the gates are functions of. The gradient of h is dy + recurrent + dh, that of c
// dc (N, H), of the cells' type; dy and recurrent may be undefined. Out: dh = 0 and in dc the gradient of c_before. In
// rows that do not take the step dgates = 0, recurrent is added to dh, and dc stays.
ENGINE_KERNEL(lstm_cell_backward, ConstView gates, ConstView c_before, ConstView c, ConstView dy, ConstView recurrent,
              ConstView lengths, int64_t t, View dh, View dc, View dgates);

}  // namespace engine
