// The LSTM's loop over time as one launch (kernels/cuda/lstm_persistent.cu) against the loop of
// kernels/lstm_sequence.h. The case table compares small sizes with f64; here are those that need several blocks, a
// batch in several parts, and lines longer than what the lanes of a warp take at a time.
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/recording.h"
#include "kernels/cuda/lstm_persistent.h"
#include "kernels/lstm_sequence.h"
#include "tests/cuda_device.h"
#include "tests/op_check.h"

namespace engine::test {
namespace {

struct Problem {
  int64_t n, t, h;
  bool h0 = false, c0 = false, reverse = false;
  bool dy = true, dh_n = true, dc_n = true;  // those that are given
  int64_t offset = 0;                        // of h0, w_hh and gates in their memory, in elements
  bool lengths = false;                      // -1 to T + 1
};

// Inputs and results on CUDA; results start as NaN.
struct Run {
  Lstm p;
  Tensor x, w_ih, b_ih, w_hh, b_hh, h0, c0, lengths, dy, dh_n, dc_n;
  Tensor states, h_n, c_n, gates, cells, y, dgates, dh0, dc0;
  bool taken = true;

  Run(const Problem& s, DType dtype) : p{s.reverse} {
    constexpr int64_t kInputs = 3;
    Random random(static_cast<uint64_t>(s.n + 100 * s.h));
    const DType cell = DType::f32;
    const auto draw = [&](const Shape& shape, DType type, double deviation, bool given = true) {
      const Tensor drawn = normal(shape, 0, deviation, random, type);
      return given ? placed(drawn, kCuda, s.offset) : Tensor();
    };
    const auto poisoned = [&](const Shape& shape, DType type, bool wanted = true) {
      const Tensor nan = Tensor::full(shape, std::numeric_limits<double>::quiet_NaN(), type);
      return wanted ? placed(nan, kCuda, s.offset) : Tensor();
    };
    const Shape state{s.n, s.h}, all_h{s.n, s.t, s.h}, all{s.n, s.t, 4 * s.h};
    x = draw({s.n, s.t, kInputs}, dtype, 1);
    w_ih = draw({4 * s.h, kInputs}, dtype, 0.5);
    w_hh = draw({4 * s.h, s.h}, dtype, 1 / std::sqrt(static_cast<double>(s.h)));
    b_ih = draw({4 * s.h}, dtype, 0.5), b_hh = draw({4 * s.h}, dtype, 0.5);
    h0 = draw(state, dtype, 0.5, s.h0), c0 = draw(state, cell, 0.5, s.c0);
    dy = draw(all_h, dtype, 1, s.dy), dh_n = draw(state, dtype, 1, s.dh_n), dc_n = draw(state, cell, 1, s.dc_n);
    if (s.lengths) {
      std::vector<int64_t> steps;
      for (int64_t n = 0; n < s.n; ++n) steps.push_back((5 * n + 4) % (s.t + 3) - 1);
      lengths = Tensor::from(steps, {s.n}).to(kCuda);
    }
    states = poisoned(all_h, dtype), y = poisoned(all_h, dtype, s.lengths), h_n = poisoned(state, dtype),
    c_n = poisoned(state, cell);
    gates = poisoned(all, dtype), cells = poisoned(all_h, cell), dgates = poisoned(all, dtype);
    dh0 = poisoned(state, dtype, s.h0), dc0 = poisoned(state, cell, s.c0);
  }

  void by_loop() {
    on(kCuda, [&](auto& ctx) {
      lstm_sequence::project_inputs(ctx, x, w_ih, b_ih, gates);
      lstm_sequence::run_forward(ctx, p, w_hh, b_hh, h0, c0, lengths, states, h_n, c_n, gates, cells, y);
      lstm_sequence::run_backward(ctx, p, w_hh, c0, lengths, gates, cells, dy, dh_n, dc_n, dgates, dh0, dc0);
    });
  }
  // Backward is given what the forward pass of `saved` left.
  void by_one_launch(const Run& saved) {
    on(kCuda, [&](auto& ctx) {
      if constexpr (std::is_same_v<decltype(ctx), CudaContext&>) {
        lstm_sequence::project_inputs(ctx, x, w_ih, b_ih, gates);
        taken = lstm_persistent::run_forward(ctx, p, w_hh, b_hh, h0, c0, lengths, states, h_n, c_n, gates, cells, y) &&
                lstm_persistent::run_backward(ctx, p, w_hh, c0, lengths, saved.gates, saved.cells, dy, dh_n, dc_n,
                                              dgates, dh0, dc0);
      }
    });
  }

  Tensors outputs() const { return on_cpu({states, h_n, c_n, gates, cells, y}); }
  Tensors gradients() const { return on_cpu({dgates, dh0, dc0}); }

 private:
  static Tensors on_cpu(const Tensors& all) {
    Tensors some;
    for (const Tensor& each : all)
      if (each) some.push_back(each.to(kCpu));
    return some;
  }
};

void check_close(const Tensors& got, const Tensors& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("result ", i);
    const double difference = relative_l2(cast(got[i], DType::f64), cast(expected[i], DType::f64));
    CHECK(difference <= tolerance);  // not of NaN
  }
}

void check_same_bytes(const Tensors& got, const Tensors& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("result ", i);
    CHECK(std::memcmp(got[i].memory(), expected[i].memory(), got[i].bytes()) == 0);
  }
}

const Problem kProblems[] = {
    {3, 5, 64},
    {3, 5, 64, true, true, true},
    {40, 3, 64, true, true},                              // rows in three parts
    {19, 3, 48, false, true, true},                       // the last part is not whole
    {9, 6, 35, true, false, true},                        // nothing is a multiple of 16 bytes
    {17, 2, 40, true, true, false, true, true, true, 1},  // nothing starts at one
    {70, 2, 5},
    {1, 1, 1},
    {1, 4, 1, true, true},
    {5, 1, 7, false, true},
    {5, 1, 7, true, false, true},
    {6, 3, 132, true, true},  // lines longer than 32 times 16 bytes
    {4, 3, 24, true, true, false, true, false, false},
    {4, 3, 24, true, true, false, false, true, false},
    {4, 3, 24, false, false, true, false, false, true},
    {11, 5, 40, true, true, false, true, true, true, 0, true},
    {11, 5, 40, true, true, true, true, true, true, 0, true},
    {40, 4, 64, false, false, false, true, true, false, 0, true},  // rows in three parts
    {9, 6, 35, true, false, true, true, true, false, 1, true},
    {8, 1, 7, false, true, true, false, true, true, 0, true},
};

}  // namespace

TEST_CASE("CUDA: the LSTM's steps in one launch give what the loop gives, twice the same bytes, and when replayed") {
  if (!have_device()) return;
  for (const Problem& s : kProblems)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      INFO("N ", s.n, " T ", s.t, " H ", s.h, s.h0 ? ", h0" : "", s.c0 ? ", c0" : "", s.reverse ? ", reverse" : "",
           ", ", name_of(dtype));
      Run loop(s, dtype), once(s, dtype), again(s, dtype), recorded(s, dtype);
      loop.by_loop();
      once.by_one_launch(loop);
      again.by_one_launch(loop);
      REQUIRE(once.taken);
      // The bounds of the case table; the loop rounds the products of a step to bf16 where one launch does not.
      check_close(once.outputs(), loop.outputs(), dtype == DType::f32 ? 1e-5 : 1e-2);
      check_close(once.gradients(), loop.gradients(), dtype == DType::f32 ? 1e-5 : 2e-2);
      check_same_bytes(again.outputs(), once.outputs());
      check_same_bytes(again.gradients(), once.gradients());
      const auto recording = record_work(kCuda, [&] { recorded.by_one_launch(loop); });
      for (int replay = 0; replay < 2; ++replay) {
        recording->replay();
        check_same_bytes(recorded.outputs(), once.outputs());
        check_same_bytes(recorded.gradients(), once.gradients());
      }
    }
}

TEST_CASE("CUDA: the bits of the LSTM's steps in one launch do not depend on where its arguments begin") {
  if (!have_device()) return;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Problem at_start{11, 3, 40, true, true};
    Problem later = at_start;
    later.offset = 1;
    Run loop(at_start, dtype), aligned(at_start, dtype), offset(later, dtype);
    loop.by_loop();
    aligned.by_one_launch(loop);
    offset.by_one_launch(loop);
    check_same_bytes(offset.outputs(), aligned.outputs());
    check_same_bytes(offset.gradients(), aligned.gradients());
  }
}

TEST_CASE(
    "CUDA: the LSTM's steps are not one launch without samples, or with so many that products are the larger part") {
  if (!have_device()) return;
  for (const int64_t samples : {0, 8000}) {
    const Problem s{samples, 1, 35, true, true};
    Run run(s, DType::f32);
    const Tensors before = run.outputs();
    on(kCuda, [&](auto& ctx) {
      if constexpr (std::is_same_v<decltype(ctx), CudaContext&>)
        CHECK(!lstm_persistent::run_forward(ctx, run.p, run.w_hh, run.b_hh, run.h0, run.c0, {}, run.states, run.h_n,
                                            run.c_n, run.gates, run.cells, {}));
    });
    check_same_bytes(run.outputs(), before);
    Run loop(s, DType::f32);
    loop.by_loop();
    on(kCuda, [&](auto& ctx) {
      lstm_forward(ctx, run.p, run.x, run.w_ih, run.w_hh, run.b_ih, run.b_hh, run.h0, run.c0, {}, run.states, run.h_n,
                   run.c_n, run.gates, run.cells, {});
    });
    check_same_bytes(run.outputs(), loop.outputs());
  }
}

}  // namespace engine::test
