// Weights of PyTorch's models, there and back.
#include "io/torch_weights.h"

#include <doctest/doctest.h>

#include <cstring>

#include "engine/random.h"
#include "layers/models/i3d.h"
#include "layers/models/vgg.h"

namespace engine {
namespace {

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.memory(), b.memory(), a.bytes()) == 0;
}

void check_there_and_back(const layers::VideoModel& model) {
  std::vector<NamedTensor> state = model.parameters();
  for (const NamedTensor& each : model.buffers()) state.push_back(each);
  const auto theirs = to_torch(state, model.flattened_inputs());
  const auto back = from_torch(theirs, model.flattened_inputs());
  CHECK(theirs.size() == state.size() + model.buffers().size() / 2);
  REQUIRE(back.size() == state.size());
  for (size_t i = 0; i < state.size(); ++i) {
    INFO(state[i].name);
    CHECK(back[i].name == state[i].name);
    CHECK(same_bytes(back[i].tensor, state[i].tensor));
  }
}

}  // namespace

TEST_CASE("weights of convolutions, element by element; other tensors are the same") {
  Random random(1);
  const Tensor image = uniform({4, 3, 5, 2}, -1, 1, random), clip = uniform({3, 2, 4, 5, 6}, -1, 1, random);
  const Tensor position = uniform({1, 2, 3, 4}, -1, 1, random), linear = uniform({5, 6}, -1, 1, random);
  const auto ours = from_torch({{"a.weight", image}, {"weight", clip}, {"position", position}, {"b.weight", linear}});
  REQUIRE(ours.size() == 4);
  REQUIRE(ours[0].tensor.shape() == Shape{4, 5, 2, 3});
  REQUIRE(ours[1].tensor.shape() == Shape{3, 4, 5, 6, 2});
  for (int64_t k = 0; k < 4; ++k)
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t r = 0; r < 5; ++r)
        for (int64_t s = 0; s < 2; ++s)
          CHECK(ours[0].tensor.values<float>()[static_cast<size_t>(((k * 5 + r) * 2 + s) * 3 + c)] ==
                image.values<float>()[static_cast<size_t>(((k * 3 + c) * 5 + r) * 2 + s)]);
  CHECK(ours[1].tensor.values<float>()[((1 * 4 + 2) * 5 + 3) * 12 + 4 * 2 + 1] ==
        clip.values<float>()[((1 * 2 + 1) * 4 + 2) * 30 + 3 * 6 + 4]);
  CHECK(same_bytes(ours[2].tensor, position));
  CHECK(same_bytes(ours[3].tensor, linear));
  const auto theirs = to_torch(ours);
  CHECK(same_bytes(theirs[0].tensor, image));
  CHECK(same_bytes(theirs[1].tensor, clip));
}

TEST_CASE("a flattened map's columns change places") {
  Random random(2);
  const FlattenedInputs flattened{{"fc.weight", {2, 3, 4}}};
  const Tensor theirs = uniform({5, 24}, -1, 1, random, DType::bf16);
  const auto ours = from_torch({{"fc.weight", theirs}, {"other.weight", theirs}}, flattened);
  const auto bits = [](const Tensor& x, int64_t i) { return static_cast<const uint16_t*>(x.memory())[i]; };
  for (int64_t k = 0; k < 5; ++k)
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t h = 0; h < 3; ++h)
        for (int64_t w = 0; w < 4; ++w)
          CHECK(bits(ours[0].tensor, k * 24 + (h * 4 + w) * 2 + c) == bits(theirs, k * 24 + (c * 3 + h) * 4 + w));
  CHECK(same_bytes(ours[1].tensor, theirs));
  CHECK(same_bytes(to_torch(ours, flattened)[0].tensor, theirs));
  CHECK_THROWS_WITH(from_torch({{"fc.weight", uniform({5, 23}, -1, 1, random)}}, flattened),
                    "weight 'fc.weight': expected (K,24), which sees a flattened map (2,3,4), got (5,23)");
}

TEST_CASE("the counters of batch norms are dropped, and written as 0") {
  const Tensor one = Tensor::full({3}, 1.0);
  const auto ours = from_torch({{"bn.running_var", one}, {"bn.num_batches_tracked", Tensor::from<int64_t>({7})}});
  REQUIRE(ours.size() == 1);
  CHECK(ours[0].name == "bn.running_var");
  const auto theirs = to_torch({{"bn.running_var", one}, {"running_var", one}, {"weight", one}});
  REQUIRE(theirs.size() == 5);
  CHECK(theirs[1].name == "bn.num_batches_tracked");
  CHECK(theirs[1].tensor.shape() == Shape{});
  CHECK(theirs[1].tensor.values<int64_t>()[0] == 0);
  CHECK(theirs[3].name == "num_batches_tracked");
}

TEST_CASE("whole models, there and back to the bit") {
  Random random(3);
  const layers::ModelOptions options{.outputs = 4};
  check_there_and_back(layers::Vgg(options, random, 11, 3));
  check_there_and_back(layers::I3d(options, random));
}

}  // namespace engine
