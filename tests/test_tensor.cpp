#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/ops.h"
#include "kernels/copy.h"
#include "kernels/cpu/context.h"

namespace engine {

TEST_CASE("shapes: sizes, negative axes, limits") {
  const Shape shape{2, 3, 5};
  CHECK(shape.rank() == 3);
  CHECK(shape.elements() == 30);
  CHECK(shape[-1] == 5);
  CHECK(contiguous_strides(shape) == Shape{15, 5, 1});
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{4, 0}.elements() == 0);
  CHECK(concat(shape) == "(2,3,5)");
  CHECK_THROWS_WITH(shape[3], "shape: axis 3 of a tensor with 3 axes");
  CHECK_THROWS_WITH((Shape{1, 1, 1, 1, 1, 1, 1}), "shape: at most 6 axes");
  CHECK_THROWS_WITH(Shape{-1}, "shape: size -1 of axis 0 is negative");
}

TEST_CASE("bf16 rounds to nearest, ties to even, and keeps NaN and infinities") {
  CHECK(static_cast<float>(bf16(1.0f)) == 1.0f);
  CHECK(static_cast<float>(bf16(1.0f + 0x1p-8f)) == 1.0f);                    // a tie: down to even
  CHECK(static_cast<float>(bf16(1.0f + 3 * 0x1p-8f)) == 1.0f + 2 * 0x1p-7f);  // a tie: up to even
  CHECK(static_cast<float>(bf16(1.0f + 0x1p-8f + 0x1p-20f)) == 1.0f + 0x1p-7f);
  CHECK(std::isnan(static_cast<float>(bf16(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isinf(static_cast<float>(bf16(std::numeric_limits<float>::max()))));  // rounds up past the largest
  CHECK(bf16(-std::numeric_limits<float>::infinity()).bits == 0xff80);
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {  // every bf16 survives the way through float
    bf16 value;
    value.bits = static_cast<uint16_t>(bits);
    const bf16 again(static_cast<float>(value));
    if (!std::isnan(static_cast<float>(value))) REQUIRE(again.bits == value.bits);
  }
}

TEST_CASE("creation, element access, conversion between all types") {
  const Tensor x = Tensor::from<float>({1.5f, -2.0f, 3.25f, 100.0f});
  CHECK(x.shape() == Shape{4});
  CHECK(x.values<float>()[2] == 3.25f);
  CHECK_THROWS_WITH(x.values<double>(), "values: the tensor is f32, not f64");
  for (const DType from : kAllDTypes)
    for (const DType to : kAllDTypes) {
      const Tensor source = cast(Tensor::from<float>({1, 2, 3, 100}), from);
      const Tensor back = cast(cast(source, to), DType::f64);
      CHECK(back.values<double>()[3] == 100.0);
    }
  CHECK(Tensor::full({2, 2}, 7, DType::i64).values<int64_t>()[3] == 7);
  CHECK(Tensor::full({1}, 2.5).item() == 2.5);
  CHECK_THROWS_WITH(x.item(), "item: expected one element, got shape (4)");
  CHECK_THROWS_WITH(Tensor::from(std::vector<float>{1, 2}, {3}), "Tensor::from: 2 values for shape (3) (3 elements)");
  CHECK_THROWS_WITH(Tensor().shape(), "tensor: used before it was given a value (it is undefined)");
}

TEST_CASE("views share memory; copies do not") {
  const Tensor x = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {3, 2});
  const Tensor rows = x.slice(1, 3), flat = x.reshape({-1}), copy = x.clone();
  rows.values<float>()[0] = 20;
  CHECK(x.values<float>()[2] == 20);
  CHECK(flat.values<float>()[2] == 20);
  CHECK(copy.values<float>()[2] == 2);
  CHECK(x.flatten(0, -1).shape() == Shape{6});
  CHECK(Tensor::zeros({2, 3, 4}).flatten(1, 2).shape() == Shape{2, 12});
  CHECK(x.to(kCpu).is(x));
}

TEST_CASE("a device that is not there is refused in one sentence") {
  if (cuda_available()) return;
  CHECK_THROWS_WITH(Tensor::zeros({1}, DType::f32, {DeviceType::cuda, 0}), doctest::Contains("device cuda:0"));
}

TEST_CASE("printing shows shape, type and the corners") {
  CHECK(to_string(Tensor::from(std::vector<float>{1, 2.5, -3, 4}, {2, 2})) ==
        "Tensor (2,2) f32 cpu\n[[1 2.5],\n [-3 4]]");
  CHECK(to_string(Tensor::full({}, 3, DType::i64)) == "Tensor () i64 cpu\n3");
  CHECK(to_string(Tensor()) == "Tensor(undefined)");
  const std::string large = to_string(Tensor::zeros({100, 100}));
  CHECK(large.find("...") != std::string::npos);
  CHECK(large.size() < 300);
  CHECK(to_string(Tensor::zeros({0, 3})) == "Tensor (0,3) f32 cpu\n[]");
}

TEST_CASE("empty tensors pass through ops") {
  const Tensor none = Tensor::zeros({0, 4});
  CHECK(relu(none).shape() == Shape{0, 4});
  CHECK(sum(none, 0, 0).values<float>()[3] == 0.0f);
  CHECK(add(none, Tensor::zeros({4})).elements() == 0);
}

TEST_CASE("checking mode finds a write past the end") {
  CpuContext context;
  context.set_checking(true);
  auto* memory = static_cast<unsigned char*>(context.allocate(100));
  CHECK(memory[0] == 0xFF);
  memory[100] = 1;
  context.deallocate(memory, 100);
  CHECK(context.guard_violations() == 1);
  auto* again = static_cast<unsigned char*>(context.allocate(100));
  again[-1] = 1;
  context.deallocate(again, 100);
  CHECK(context.guard_violations() == 2);
}

}  // namespace engine
