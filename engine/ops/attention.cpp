#include "kernels/attention.h"

#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/dropout.h"

namespace engine {
namespace {

// What forward and backward take beside q, k and v.
struct Call {
  Attention p;
  Tensor lengths, step, y, lse;

  // q (N, S, H, D), k (N, L, H, D) and v like k, as views.
  Call(const char* name, const ConstView& q, const ConstView& k, Device device, const AttentionOptions& options)
      : lengths(options.lengths) {
    for (const ConstView* x : {&q, &k})
      ENGINE_CHECK(x->shape[1] > 0 && x->shape[3] > 0, name, ": q ", q.shape, " and k ", k.shape,
                   " must hold at least one query, one key and D > 0");
    ENGINE_CHECK(!lengths || (lengths.dtype() == DType::i64 && lengths.shape() == Shape{q.shape[0]}), name,
                 ": expected lengths (", q.shape[0], ") i64, got ", lengths.shape(), " ", lengths.dtype());
    const DrawnDropout drop = draw_dropout(name, options.dropout, device);
    p = {options.scale.value_or(1 / std::sqrt(static_cast<double>(q.shape[3]))), options.causal, drop.p};
    step = drop.step;
    lse = Tensor::empty({q.shape[0], q.shape[2], q.shape[1]}, wide_type(q.dtype), device);
  }

  Tensor forward(const ConstView& q, const ConstView& k, const ConstView& v) {
    const Tensor result = Tensor::empty(q.shape, q.dtype, lse.device());
    compute(lse.device(), [&](auto& ctx) { attention_forward(ctx, p, q, k, v, lengths, step, result, lse); });
    y = result.detach();
    return result;
  }
  void backward(const ConstView& q, const ConstView& k, const ConstView& v, const Tensor& dy, const View& dq,
                const View& dk, const View& dv) const {
    compute(lse.device(),
            [&](auto& ctx) { attention_backward(ctx, p, q, k, v, lengths, step, y, lse, dy, dq, dk, dv); });
  }
};

// q, k or v (part 0, 1 or 2) in qkv (N, S, 3, H, D).
View part_of(const Tensor& qkv, int64_t part) {
  const int64_t width = qkv.size(3) * qkv.size(4);
  return View(static_cast<char*>(qkv.memory()) + part * width * size_of(qkv.dtype()), qkv.dtype(),
              {qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4)},
              {qkv.size(1) * 3 * width, 3 * width, qkv.size(4), 1});
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  ENGINE_CHECK(is_float(q.dtype()) && k.dtype() == q.dtype() && v.dtype() == q.dtype(),
               "attention: expected tensors of one float type, got q ", q.dtype(), ", k ", k.dtype(), ", v ",
               v.dtype());
  ENGINE_CHECK(q.rank() == 4 && k.rank() == 4 && k.shape() == v.shape() && k.size(0) == q.size(0) &&
                   k.size(2) == q.size(2) && k.size(3) == q.size(3),
               "attention: expected q (N, S, H, D), k and v (N, L, H, D), got ", q.shape(), ", ", k.shape(), " and ",
               v.shape());
  const ProfiledPass pass = forward_pass("attention", q, 4.0 * q.elements() * k.size(1));
  Call call("attention", q, k, q.device(), options);
  const Tensor y = call.forward(q, k, v);
  return record("attention", {q, k, v}, y, [call, q = q.detach(), k = k.detach(), v = v.detach()](const Grads& dy) {
    const Tensor dq = Tensor::empty_like(q), dk = Tensor::empty_like(k), dv = Tensor::empty_like(v);
    call.backward(q, k, v, dy[0], dq, dk, dv);
    return Grads{dq, dk, dv};
  });
}

Tensor attention_packed(const Tensor& qkv, const AttentionOptions& options) {
  ENGINE_CHECK(is_float(qkv.dtype()) && qkv.rank() == 5 && qkv.size(2) == 3,
               "attention_packed: expected a float tensor (N, S, 3, H, D), got ", qkv.shape(), " ", qkv.dtype());
  const ProfiledPass pass = forward_pass("attention_packed", qkv, 4.0 / 3 * qkv.elements() * qkv.size(1));
  Call call("attention_packed", part_of(qkv, 0), part_of(qkv, 1), qkv.device(), options);
  const Tensor y = call.forward(part_of(qkv, 0), part_of(qkv, 1), part_of(qkv, 2));
  return record("attention_packed", {qkv}, y, [call, qkv = qkv.detach()](const Grads& dy) {
    const Tensor dqkv = Tensor::empty_like(qkv);
    call.backward(part_of(qkv, 0), part_of(qkv, 1), part_of(qkv, 2), dy[0], part_of(dqkv, 0), part_of(dqkv, 1),
                  part_of(dqkv, 2));
    return Grads{dqkv};
  });
}

}  // namespace engine
