// Normalisation fused with what stands around it gives the bytes of the ops one after the other.
#include <cstring>

#include "engine/ops.h"
#include "engine/random.h"
#include "engine/recording.h"
#include "tests/cuda_device.h"

namespace engine::test {
namespace {

using Tensors = std::vector<Tensor>;

void begin_step(const Tensor& step) {
  StepRandom::current().set_seed(77);
  StepRandom::current().begin_step(step);
}

// The outputs of f and the gradients of its inputs where the outputs' are `seeds` (an undefined one is not used), on
// the CPU. `offset`: how many elements after the start of their memory the inputs begin.
template <class F>
Tensors run(const F& f, const Tensors& inputs, const Tensors& seeds, Device device, int64_t offset = 0) {
  begin_step(Tensor::from<int64_t>({int64_t{9} << 32 | 4}).to(device));
  Tensors leaves, results;
  for (const Tensor& input : inputs) {
    leaves.push_back(placed(input, device, offset).detach());
    leaves.back().set_requires_grad();
  }
  const Tensors outputs = f(leaves);
  Tensor total;  // of every output, weighted by its seed
  for (size_t i = 0; i < outputs.size(); ++i) {
    results.push_back(outputs[i].detach().to(kCpu));
    if (!seeds[i]) continue;
    const Tensor part = sum(mul(outputs[i], seeds[i].to(device)));
    total = total ? add(total, part) : part;
  }
  total.backward();
  for (const Tensor& leaf : leaves) results.push_back(leaf.grad() ? leaf.grad().to(kCpu) : Tensor());
  return results;
}

void check_same(const Tensors& got, const Tensors& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("result ", i);
    REQUIRE(got[i].defined() == expected[i].defined());
    CHECK((!got[i] || std::memcmp(got[i].memory(), expected[i].memory(), got[i].bytes()) == 0));
  }
}

// Calls check(device, dtype) for every pair that has kernels.
template <class Check>
void for_each_type(const Check& check) {
  for (const Device device : devices())
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      if (device.type == DeviceType::cuda && dtype == DType::f64) continue;
      INFO(device, " ", name_of(dtype));
      check(device, dtype);
    }
}

DType parameters_of(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

}  // namespace

TEST_CASE("residual_layer_norm with dropout gives the bytes of dropout and residual_layer_norm") {
  const auto fused = [](const Tensors& in) { return residual_layer_norm(in[0], in[1], in[2], in[3], {1e-3}, 0.3); };
  const auto composed = [](const Tensors& in) {
    return residual_layer_norm(dropout(in[0], 0.3), in[1], in[2], in[3], {1e-3});
  };
  Random random(1);
  for_each_type([&](Device device, DType dtype) {
    // One element, rows that share a block, a warp, a block, that no thread keeps; whole packs and not.
    for (const Shape& shape :
         {Shape{1}, {3, 5, 17}, {260, 31}, {37, 48}, {4, 130}, {9, 384}, {3, 1040}, {5, 1042}, {2, 8200}, {2, 8451}}) {
      const auto draw = [&](const Shape& s, DType type) { return cast(normal(s, 0.5, 1, random), type); };
      const Shape channels{shape[-1]};
      const Tensors inputs{draw(shape, dtype), draw(shape, dtype), draw(channels, parameters_of(dtype)),
                           draw(channels, parameters_of(dtype))};
      const Tensor dy = draw(shape, dtype), dsum = draw(shape, dtype);
      INFO(shape);
      for (const Tensors& seeds : {Tensors{dy, dsum}, {dy, {}}, {{}, dsum}}) {
        const Tensors expected = run(composed, inputs, seeds, device);
        check_same(run(fused, inputs, seeds, device), expected);
        if (seeds[0] && seeds[1]) check_same(run(fused, inputs, seeds, device, 1), expected);
      }
    }
  });
}

TEST_CASE("residual_layer_norm takes one draw where it drops, else none") {
  const Tensor x = Tensor::full({6, 11}, 1.0), w = Tensor::full({11}, 1.0);
  const auto following = [&](double probability) {
    begin_step(Tensor::from<int64_t>({3}));
    residual_layer_norm(x, x, w, w, {}, probability);
    return StepRandom::current().next_stream();
  };
  CHECK(following(0) == 0);
  CHECK(following(0.1) == 1);
}

TEST_CASE("CUDA: a recorded residual_layer_norm draws afresh at every step, as the eager one does") {
  if (!have_device()) return;
  const Shape shape{65, 136};
  Random random(2);
  const auto draw = [&](const Shape& s) { return normal(s, 0, 1, random).to(kCuda); };
  const Tensor x = draw(shape), residual = draw(shape), w = draw({136}), bias = draw({136}), seed = draw(shape);
  const Tensor step = Tensor::zeros({1}, DType::i64, kCuda), y = Tensor::zeros(shape, DType::f32, kCuda),
               dx = Tensor::zeros(shape, DType::f32, kCuda);
  x.set_requires_grad();
  const auto work = [&] {
    begin_step(step);
    x.zero_grad();
    const Tensor out = residual_layer_norm(x, residual, w, bias, {}, 0.4)[0];
    out.backward(seed);
    y.copy_from(out.detach());
    dx.copy_from(x.grad());
  };
  work();
  const std::unique_ptr<Recording> recording = record_work(kCuda, work);
  Tensors before;
  for (int64_t number = 1; number < 4; ++number) {
    step.copy_from(Tensor::from<int64_t>({number}));
    recording->replay();
    const Tensors replayed{y.to(kCpu), dx.to(kCpu)};
    work();
    check_same(replayed, {y.to(kCpu), dx.to(kCpu)});
    for (size_t i = 0; i < before.size(); ++i)
      CHECK(std::memcmp(replayed[i].memory(), before[i].memory(), before[i].bytes()) != 0);
    before = replayed;
  }
}

TEST_CASE("batch_norm with relu gives the bytes of batch_norm and relu") {
  Random random(3);
  for_each_type([&](Device device, DType dtype) {
    for (const Shape& shape : {Shape{9, 1}, {300, 3}, {2, 9, 11, 17}, {131, 64}, {131, 136}, {1100, 40}})
      for (const bool training : {true, false})
        for (const bool has_residual : {false, true}) {
          const auto draw = [&](const Shape& s, DType type) { return cast(normal(s, 0.2, 1, random), type); };
          const Shape channels{shape[-1]};
          const DType type = parameters_of(dtype);
          Tensors inputs{draw(shape, dtype), draw(channels, type), draw(channels, type)};
          if (has_residual) inputs.push_back(draw(shape, dtype));
          const Tensor running_mean = draw(channels, type), running_var = cast(uniform(channels, 0.5, 2, random), type);
          const auto norm = [&](const Tensors& in, const Unary& f) {
            return batch_norm(in[0], in[1], in[2], running_mean.clone().to(device), running_var.clone().to(device),
                              training, {}, has_residual ? in[3] : Tensor(), f);
          };
          const auto fused = [&](const Tensors& in) { return Tensors{norm(in, {Unary::relu})}; };
          const auto composed = [&](const Tensors& in) { return Tensors{relu(norm(in, {Unary::affine}))}; };
          const Tensors seeds{draw(shape, dtype)};
          INFO(shape, training ? " training" : " inference", has_residual ? ", residual" : "");
          const Tensors expected = run(composed, inputs, seeds, device);
          check_same(run(fused, inputs, seeds, device), expected);
          check_same(run(fused, inputs, seeds, device, 1), expected);
        }
  });
}

}  // namespace engine::test
