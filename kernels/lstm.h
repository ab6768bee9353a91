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
// gates (N, T, 4H), of x's type, holds i, f, g and o, and cells every c: what backward needs.
void lstm_forward(CpuContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView b_ih,
                  ConstView b_hh, ConstView h0, ConstView c0, View y, View h_n, View c_n, View gates, View cells);
void lstm_forward(CudaContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView b_ih,
                  ConstView b_hh, ConstView h0, ConstView c0, View y, View h_n, View c_n, View gates, View cells);

// From the gradients of y, h_n and c_n, each of which may be undefined (0). Assigns the gradients of x, w_ih, w_hh, of
// b_ih (which b_hh shares), h0 and c0; those that are undefined are not wanted.
void lstm_backward(CpuContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView h0,
                   ConstView c0, ConstView y, ConstView gates, ConstView cells, ConstView dy, ConstView dh_n,
                   ConstView dc_n, View dx, View dw_ih, View dw_hh, View db, View dh0, View dc0);
void lstm_backward(CudaContext& ctx, const Lstm& p, ConstView x, ConstView w_ih, ConstView w_hh, ConstView h0,
                   ConstView c0, ConstView y, ConstView gates, ConstView cells, ConstView dy, ConstView dh_n,
                   ConstView dc_n, View dx, View dw_ih, View dw_hh, View db, View dh0, View dc0);

// One step of it; rows may be any distance apart, elements of a row are neighbours. gates (N, 4H): in, what x and b_ih
// give; out, i, f, g and o of gates + recurrent + bias. recurrent (N, 4H) may be undefined, and c_before (N, H); bias
// is (4H).
void lstm_cell_forward(CpuContext& ctx, ConstView recurrent, ConstView bias, ConstView c_before, View gates, View c,
                       View h);
void lstm_cell_forward(CudaContext& ctx, ConstView recurrent, ConstView bias, ConstView c_before, View gates, View c,
                       View h);

// dgates (N, 4H): the gradient of what the gates are functions of. The gradient of h is dy + dh, each of which may be
// undefined. dc (N, H), of the cells' type: in, the gradient of c from later steps; out, that of c_before.
void lstm_cell_backward(CpuContext& ctx, ConstView gates, ConstView c_before, ConstView c, ConstView dy, ConstView dh,
                        View dc, View dgates);
void lstm_cell_backward(CudaContext& ctx, ConstView gates, ConstView c_before, ConstView c, ConstView dy, ConstView dh,
                        View dc, View dgates);

}  // namespace engine
