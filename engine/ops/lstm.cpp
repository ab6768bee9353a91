#include "kernels/lstm.h"

#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine {
namespace {

void check_state(const char* what, const Tensor& state, const Shape& shape, DType dtype) {
  ENGINE_CHECK(!state || (state.shape() == shape && state.dtype() == dtype), "lstm: expected ", what, " ", shape, " ",
               dtype, ", got ", state ? state.shape() : Shape{}, " ", state ? state.dtype() : dtype);
}

void check_lstm(const Tensor& x, const Tensor& w_ih, const Tensor& w_hh, const Tensor& b_ih, const Tensor& b_hh,
                const Tensor& h0, const Tensor& c0, const Tensor& lengths) {
  ENGINE_CHECK(is_float(x.dtype()) && x.rank() == 3 && x.size(1) > 0 && x.size(2) > 0,
               "lstm: expected a float tensor (N, T, C) with T > 0 and C > 0, got ", x.shape(), " ", x.dtype());
  for (const Tensor* each : {&w_ih, &w_hh, &b_ih, &b_hh})
    ENGINE_CHECK(each->dtype() == x.dtype(), "lstm: expected weights of x's type ", x.dtype(), ", got ", each->dtype());
  const int64_t hidden = w_hh.rank() == 2 ? w_hh.size(1) : 0;
  const Shape input_weights{4 * hidden, x.size(2)}, state_weights{4 * hidden, hidden};
  ENGINE_CHECK(hidden > 0 && w_ih.shape() == input_weights && w_hh.shape() == state_weights,
               "lstm: expected w_ih (4H, C) and w_hh (4H, H) for x ", x.shape(), ", got ", w_ih.shape(), " and ",
               w_hh.shape());
  ENGINE_CHECK(b_ih.shape() == Shape{4 * hidden} && b_hh.shape() == Shape{4 * hidden}, "lstm: expected b_ih and b_hh (",
               4 * hidden, "), got ", b_ih.shape(), " and ", b_hh.shape());
  check_state("h0", h0, {x.size(0), hidden}, x.dtype());
  check_state("c0", c0, {x.size(0), hidden}, wide_type(x.dtype()));
  check_state("lengths", lengths, {x.size(0)}, DType::i64);
  ENGINE_CHECK(!lengths || lengths.device() == x.device(), "lstm: lengths on ", lengths.device(), ", x on ",
               x.device());
}

Tensor like_if(bool wanted, const Tensor& x) { return wanted ? Tensor::empty_like(x) : Tensor(); }

}  // namespace

std::vector<Tensor> lstm(const Tensor& x, const Tensor& w_ih, const Tensor& w_hh, const Tensor& b_ih,
                         const Tensor& b_hh, const Tensor& h0, const Tensor& c0, const Lstm& p, const Tensor& lengths) {
  check_lstm(x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths);
  const int64_t batch = x.size(0), steps = x.size(1), hidden = w_hh.size(1);
  const ProfiledPass pass = forward_pass("lstm", x, 8.0 * batch * steps * hidden * (x.size(2) + hidden));
  const auto made = [&](const Shape& shape, DType dtype) { return Tensor::empty(shape, dtype, x.device()); };
  const Tensor states = made({batch, steps, hidden}, x.dtype()), y = lengths ? Tensor::empty_like(states) : states;
  const Tensor h_n = made({batch, hidden}, x.dtype()), c_n = made({batch, hidden}, wide_type(x.dtype()));
  const Tensor gates = made({batch, steps, 4 * hidden}, x.dtype()),
               cells = made({batch, steps, hidden}, wide_type(x.dtype()));
  compute(x.device(), [&](auto& ctx) {
    lstm_forward(ctx, p, x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, states, h_n, c_n, gates, cells,
                 lengths ? y : Tensor());
  });
  return record("lstm", {x, w_ih, w_hh, b_ih, b_hh, h0, c0}, {y, h_n, c_n},
                [=, x = x.detach(), w_ih = w_ih.detach(), w_hh = w_hh.detach(), h0 = h0.detach(), c0 = c0.detach(),
                 states = states.detach(), x_wanted = needs_grad(x), w_ih_wanted = needs_grad(w_ih),
                 w_hh_wanted = needs_grad(w_hh), bias_wanted = needs_grad(b_ih) || needs_grad(b_hh),
                 h0_wanted = needs_grad(h0), c0_wanted = needs_grad(c0)](const Grads& d) {
                  const Tensor dx = like_if(x_wanted, x), dw_ih = like_if(w_ih_wanted, w_ih);
                  const Tensor dw_hh = like_if(w_hh_wanted, w_hh), dh0 = like_if(h0_wanted, h0);
                  const Tensor dc0 = like_if(c0_wanted, c0);
                  const Tensor db = bias_wanted ? Tensor::empty({w_hh.size(0)}, x.dtype(), x.device()) : Tensor();
                  compute(x.device(), [&](auto& ctx) {
                    lstm_backward(ctx, p, x, w_ih, w_hh, h0, c0, lengths, states, gates, cells, d[0], d[1], d[2], dx,
                                  dw_ih, dw_hh, db, dh0, dc0);
                  });
                  return Grads{dx, dw_ih, dw_hh, db, db, dh0, dc0};
                });
}

}  // namespace engine
