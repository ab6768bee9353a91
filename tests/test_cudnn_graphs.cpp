// cuDNN's plans for convolutions, built for described devices: no GPU is needed (kernels/cuda/cudnn_graph.h).
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "kernels/context.h"
#include "kernels/cuda/cudnn_graph.h"
#include "tests/conv_shapes.h"
#include "tests/places.h"

namespace engine::test {
namespace {

constexpr ConvKey::Pass kPasses[] = {ConvKey::forward, ConvKey::backward_input, ConvKey::backward_weight};

struct Mode {
  std::string name;
  DType dtype;
  F32Products products;
};
const Mode kStrict{"f32", DType::f32, F32Products::strict}, kTf32{"tf32", DType::f32, F32Products::tf32},
    kBf16{"bf16", DType::bf16, F32Products::strict};

DeviceDescription description(const std::string& name) {
  std::ifstream file(test::source_folder() + "/tests/device_descriptions/" + name + ".json");
  REQUIRE(file.good());
  return {std::string(std::istreambuf_iterator<char>(file), {})};
}

// Calls test(build_plan, conv_key), or says why not. A test that takes them as `auto` is not compiled without CUDA.
template <class Test>
void with_cudnn(const Test& test) {
  if constexpr (kWithCuda) {
    test(build_plan,
         [](const ConvShape& s, ConvKey::Pass pass, const Mode& mode, ConvKey::Epilogue epilogue = ConvKey::none) {
           return conv_key(pass, epilogue, s.p, s.x, s.w, s.y(), mode.dtype, mode.products);
         });
  } else {
    MESSAGE("skipped: built without CUDA");
  }
}

// The message of the Error that f throws; empty where it does not.
template <class F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every convolution of the networks has a plan on every described device") {
  with_cudnn([](auto build_plan, auto key_of) {
    for (const std::string name : {"h100", "a100", "b200"}) {
      const DeviceDescription device = description(name);
      for (const Mode& mode : {kStrict, kTf32, kBf16}) {
        int graphs = 0;
        size_t workspace = 0;
        std::set<std::string> engines;
        const auto build = [&](const ConvKey& key) {
          INFO(text_of(key));
          const auto plan = build_plan(key, device);
          CHECK(plan->plan != nullptr);
          CHECK(contains(plan->engine, "\"engineId\":"));
          ++graphs;
          workspace = std::max(workspace, plan->workspace_bytes);
          engines.insert(plan->engine);
        };
        for (const ConvShape& shape : conv_shapes()) {
          for (const ConvKey::Pass pass : kPasses) build(key_of(shape, pass, mode));
          build(key_of(shape, ConvKey::forward, mode, ConvKey::bias_relu));
        }
        MESSAGE(name, " ", mode.name, ": ", graphs, " graphs, ", engines.size(), " engines with their knobs, at most ",
                workspace >> 20, " MiB of workspace");
      }
    }
  });
}

TEST_CASE("a plan follows from its key and the device") {
  with_cudnn([](auto build_plan, auto key_of) {
    const ConvShape shape = image_shape("", 64, 56, 64, 128);
    const DeviceDescription h100 = description("h100"), a100 = description("a100");
    CHECK(h100.name() == "NVIDIA H100 80GB HBM3");
    for (const ConvKey::Pass pass : kPasses) {
      const auto strict = build_plan(key_of(shape, pass, kStrict), h100);
      const auto tf32 = build_plan(key_of(shape, pass, kTf32), h100);
      CHECK(strict->engine != tf32->engine);  // no tensor cores
      CHECK(tf32->engine == build_plan(key_of(shape, pass, kTf32), h100)->engine);
      CHECK(tf32->engine != build_plan(key_of(shape, pass, kTf32), a100)->engine);
    }
    CHECK(key_of(shape, ConvKey::forward, kBf16).tensor_cores);
    CHECK_FALSE(key_of(shape, ConvKey::forward, kStrict).tensor_cores);
  });
}

TEST_CASE("clips that are convolved along time or along their frames alone are images to cuDNN") {
  with_cudnn([](auto, auto key_of) {
    const auto text = [&](const ConvShape& shape) { return text_of(key_of(shape, ConvKey::forward, kStrict)); };
    CHECK(text(clip_shape("", 2, 16, 28, 64, 144, 1, 3, 1, 2)) ==
          "conv2d forward: x (32,28,28,64), w (144,3,3,64), y (32,14,14,144), stride 2x2, padding 1x1, dilation 1x1, "
          "groups 1, f32 (strict)");
    CHECK(text(clip_shape("", 2, 16, 28, 64, 144, 3, 1, 2, 1)) ==
          "conv2d forward: x (2,16,784,64), w (144,3,1,64), y (2,8,784,144), stride 2x1, padding 1x0, dilation 1x1, "
          "groups 1, f32 (strict)");
    CHECK(text(clip_shape("", 2, 16, 28, 64, 144, 1, 1, 2, 1)) ==
          "conv2d forward: x (2,16,784,64), w (144,1,1,64), y (2,8,784,144), stride 2x1, padding 0x0, dilation 1x1, "
          "groups 1, f32 (strict)");
    CHECK(text(clip_shape("", 2, 16, 28, 64, 144, 1, 1, 2, 2)) ==
          "conv3d forward: x (2,16,28,28,64), w (144,1,1,1,64), y (2,8,14,14,144), stride 2x2x2, padding 0x0x0, "
          "dilation 1x1x1, groups 1, f32 (strict)");
  });
}

TEST_CASE("what cuDNN cannot do is refused with the convolution, its shapes and the device") {
  with_cudnn([](auto build_plan, auto key_of) {
    const DeviceDescription device = description("h100");
    ConvKey key = key_of(image_shape("", 8, 14, 32, 48), ConvKey::backward_weight, kBf16);
    key.y[1] = 15;
    const std::string wrong_size = refusal([&] { build_plan(key, device); });
    CHECK(contains(wrong_size, "conv2d backward_weight: x (8,14,14,32), w (48,3,3,32), y (8,15,14,48)"));
    CHECK(contains(wrong_size, "on NVIDIA H100 80GB HBM3"));
    CHECK(contains(wrong_size, "CUDNN_STATUS_BAD_PARAM"));
    key.y[1] = 14;
    CHECK(refusal([&] { build_plan(key, device); }).empty());
    key.dtype = DType::f64;
    CHECK(contains(refusal([&] { build_plan(key, device); }), "expected f32 or bf16, got f64"));
    key.dtype = DType::bf16;
    CHECK(contains(refusal([&] { build_plan(key, {"{\"deviceName\":\"half a device\"}"}); }),
                   "on half a device: cuDNN error"));
  });
}

}  // namespace engine::test
