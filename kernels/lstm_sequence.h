// The parts of kernels/lstm.h, written once for all contexts: one product for the inputs of all steps, the loop over
// time with a product and a cell per step, and products over all steps for the gradients of the weights. A context may
// have a faster loop, of which this one is the oracle.
#pragma once

#include "kernels/copy.h"
#include "kernels/lstm.h"
#include "kernels/matmul.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"
#include "kernels/scratch.h"

namespace engine::lstm_sequence {

// Steps [first, first + count) of v (N, T, C).
inline View steps_of(const View& v, int64_t first, int64_t count) {
  return View(static_cast<char*>(v.memory()) + first * v.strides[1] * size_of(v.dtype), v.dtype,
              {v.shape[0], count, v.shape[2]}, v.strides);
}
// Step t: (N, C).
inline View step_of(const View& v, int64_t t) {
  return View(steps_of(v, t, 1).memory(), v.dtype, {v.shape[0], v.shape[2]}, {v.strides[0], 1});
}
inline ConstView step_of(const ConstView& v, int64_t t) {
  return step_of(View(const_cast<void*>(v.data), v.dtype, v.shape, v.strides), t);
}
// All steps of a contiguous array as the rows of one matrix.
inline View rows_of(const View& v) { return View(v.memory(), v.dtype, {v.shape[0] * v.shape[1], v.shape[2]}); }
inline ConstView rows_of(const ConstView& v) { return {v.data, v.dtype, {v.shape[0] * v.shape[1], v.shape[2]}}; }

template <class Context>
void multiply(Context& ctx, const ConstView& a, const ConstView& b, const View& y, const ConstView& bias = {}) {
  matmul(ctx, {Unary::affine}, a, b, bias, y);
}

// gates = x w_ih^T + b_ih for all steps.
template <class Context>
void project_inputs(Context& ctx, const ConstView& x, const ConstView& w_ih, const ConstView& b_ih, const View& gates) {
  multiply(ctx, rows_of(x), transposed(w_ih), rows_of(gates), b_ih);
}

// to = from, or 0 where that is not given.
template <class Context>
void assign(Context& ctx, const ConstView& from, const View& to) {
  if (from.defined())
    copy(ctx, from, to);
  else
    fill(ctx, to, 0.0);
}

// The loop over time. gates: in, what project_inputs() gives; out, i, f, g and o.
template <class Context>
void run_forward(Context& ctx, const Lstm& p, const ConstView& w_hh, const ConstView& b_hh, const ConstView& h0,
                 const ConstView& c0, const ConstView& lengths, const View& states, const View& h_n, const View& c_n,
                 const View& gates, const View& cells, const View& y) {
  const int64_t steps = states.shape[1];
  const ScratchArray recurrent(ctx, states.dtype, {states.shape[0], gates.shape[2]});
  ConstView h = h0, c = c0;
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = p.reverse ? steps - 1 - i : i;
    if (h.defined()) multiply(ctx, h, transposed(w_hh), recurrent.view());
    lstm_cell_forward(ctx, h.defined() ? recurrent.view() : View(), b_hh, h, c, lengths, t, step_of(gates, t),
                      step_of(cells, t), step_of(states, t), y.defined() ? step_of(y, t) : y);
    h = step_of(states, t);
    c = step_of(cells, t);
  }
  copy(ctx, h, h_n);
  copy(ctx, c, c_n);
}

// The loop over time, from its end. Assigns dgates (N, T, 4H), the gradient of what the gates are functions of, and dh0
// and dc0 where they are wanted.
template <class Context>
void run_backward(Context& ctx, const Lstm& p, const ConstView& w_hh, const ConstView& c0, const ConstView& lengths,
                  const ConstView& gates, const ConstView& cells, const ConstView& dy, const ConstView& dh_n,
                  const ConstView& dc_n, const View& dgates, const View& dh0, const View& dc0) {
  const int64_t steps = cells.shape[1];
  const Shape state{cells.shape[0], cells.shape[2]};
  const ScratchArray dh_memory(ctx, gates.dtype, state), dc_memory(ctx, cells.dtype, state);
  const ScratchArray recurrent(ctx, gates.dtype, state);
  const View &dh = dh0.defined() ? dh0 : dh_memory.view(), &dc = dc0.defined() ? dc0 : dc_memory.view();
  assign(ctx, dh_n, dh);
  assign(ctx, dc_n, dc);
  for (int64_t i = steps - 1; i >= 0; --i) {
    const int64_t t = p.reverse ? steps - 1 - i : i, before = p.reverse ? t + 1 : t - 1;
    lstm_cell_backward(ctx, step_of(gates, t), i > 0 ? step_of(cells, before) : c0, step_of(cells, t),
                       dy.defined() ? step_of(dy, t) : dy, i < steps - 1 ? recurrent.view() : View(), lengths, t, dh,
                       dc, step_of(dgates, t));
    if (i > 0 || dh0.defined()) multiply(ctx, step_of(dgates, t), w_hh, recurrent.view());
  }
  if (dh0.defined()) binary_forward(ctx, Binary::add, dh0, recurrent.view(), dh0);
}

// h before every step, as a contiguous (N, T, H).
template <class Context>
void assign_states_before(Context& ctx, const Lstm& p, const ConstView& h0, const ConstView& states,
                          const View& before) {
  const int64_t steps = states.shape[1], first = p.reverse ? steps - 1 : 0;
  const View all(const_cast<void*>(states.data), states.dtype, states.shape, states.strides);
  if (h0.defined())
    copy(ctx, h0, step_of(before, first));
  else
    fill(ctx, before, 0.0);
  copy(ctx, steps_of(all, p.reverse ? 1 : 0, steps - 1), steps_of(before, p.reverse ? 0 : 1, steps - 1));
}

// The gradients of x, the weights and the bias, those that are wanted.
template <class Context>
void weight_gradients(Context& ctx, const Lstm& p, const ConstView& x, const ConstView& w_ih, const ConstView& h0,
                      const ConstView& states, const ConstView& dgates, const View& dx, const View& dw_ih,
                      const View& dw_hh, const View& db) {
  if (dx.defined()) multiply(ctx, rows_of(dgates), w_ih, rows_of(dx));
  if (dw_ih.defined()) multiply(ctx, transposed(rows_of(dgates)), rows_of(x), dw_ih);
  if (dw_hh.defined()) {
    const ScratchArray before(ctx, states.dtype, states.shape);
    assign_states_before(ctx, p, h0, states, before.view());
    multiply(ctx, transposed(rows_of(dgates)), rows_of(before.view()), dw_hh);
  }
  if (db.defined()) reduce_forward(ctx, {Reduce::sum, 0, 1}, rows_of(dgates), db);
}

}  // namespace engine::lstm_sequence
