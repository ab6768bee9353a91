// cuDNN's plans for attention, built for described devices: no GPU is needed (kernels/cuda/sdpa_graph.h).
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <vector>

#include "kernels/context.h"
#include "kernels/cuda/sdpa_graph.h"

namespace engine::test {
namespace {

DeviceDescription description(const std::string& name) {
  std::ifstream file(std::string(ENGINE_SOURCE_DIR "/tests/device_descriptions/") + name + ".json");
  REQUIRE(file.good());
  return {std::string(std::istreambuf_iterator<char>(file), {})};
}

// Calls test(build), or says why not. A test that takes it as `auto` is not compiled without CUDA.
template <class Test>
void with_cudnn(const Test& test) {
  if constexpr (!kWithCuda) {
    MESSAGE("skipped: built without CUDA");
  } else if (dlopen("libcuda.so.1", RTLD_LAZY) == nullptr) {
    MESSAGE("skipped: no libcuda.so.1, of a driver or the toolkit's stub, is to be found");
  } else {
    test([](const SdpaKey& key, const DeviceDescription& device) { return build_sdpa_plan(key, device, false); });
  }
}

// Of attention (packed: of parts of (N, S, 3, H, D)), its gradients like it.
SdpaKey key_of(SdpaKey::Pass pass, int64_t heads, int64_t queries, int64_t keys, int64_t depth, bool packed = false) {
  const int64_t width = heads * depth;
  const auto strides = [&](int64_t rows, int64_t parts) {
    return SdpaKey::Strides{rows * parts * width, parts * width, depth};
  };
  const SdpaKey::Strides q = strides(queries, packed ? 3 : 1), k = strides(keys, packed ? 3 : 1);
  SdpaKey key{.pass = pass, .batch = 4, .heads = heads, .queries = queries, .keys = keys, .depth = depth};
  key.strides = {q, k, k};
  if (pass == SdpaKey::backward) key.strides = {q, k, k, q, k, k};
  key.scale = 0.125f;
  return key;
}

std::vector<SdpaKey> keys() {
  std::vector<SdpaKey> list;
  for (const auto pass : {SdpaKey::forward, SdpaKey::backward})
    for (const bool causal : {false, true})
      for (const bool lengths : {false, true}) {
        const auto add = [&](SdpaKey key) {
          key.causal = causal;
          key.lengths = lengths;
          list.push_back(key);
        };
        for (const bool packed : {false, true})
          for (const int64_t rows : {196, 256, 784, 1568})
            for (const auto& [heads, depth] : {std::pair{2, 32}, {3, 64}, {8, 64}})
              add(key_of(pass, heads, rows, rows, depth, packed));
        add(key_of(pass, 2, 130, 131, 24));
        add(key_of(pass, 2, 5, 300, 8));
        add(key_of(pass, 2, 1, 300, 64));
        add(key_of(pass, 1, 150, 4, 40));
        add(key_of(pass, 4, 1569, 197, 128));
      }
  return list;
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

TEST_CASE("attention has a plan on every described device") {
  with_cudnn([](auto build) {
    for (const std::string name : {"h100", "a100", "b200"}) {
      const DeviceDescription device = description(name);
      int graphs = 0;
      std::set<std::string> engines;
      for (const SdpaKey& key : keys()) {
        const std::string why = refusal([&] { engines.insert(build(key, device)->engine); });
        CHECK(why == "");
        ++graphs;
      }
      MESSAGE(name, ": ", graphs, " graphs, ", engines.size(), " engines with their knobs");
    }
  });
}

TEST_CASE("wide heads have a plan on Hopper") {
  with_cudnn([](auto build) {
    const DeviceDescription h100 = description("h100"), a100 = description("a100");
    for (const auto pass : {SdpaKey::forward, SdpaKey::backward})
      CHECK(refusal([&] { build(key_of(pass, 2, 196, 196, 256), h100); }) == "");
    CHECK(refusal([&] { build(key_of(SdpaKey::backward, 2, 196, 196, 256), a100); }) != "");
  });
}

TEST_CASE("a plan of attention follows from its key and the device") {
  with_cudnn([](auto build) {
    const DeviceDescription h100 = description("h100"), b200 = description("b200");
    for (const auto pass : {SdpaKey::forward, SdpaKey::backward}) {
      const SdpaKey key = key_of(pass, 8, 784, 784, 64, true);
      CHECK(build(key, h100)->engine == build(key, h100)->engine);
      CHECK(build(key, h100)->engine != build(key, b200)->engine);
    }
  });
}

TEST_CASE("what cuDNN's attention cannot do is refused with the problem and the device") {
  with_cudnn([](auto build) {
    const DeviceDescription device = description("h100");
    const std::string odd = refusal([&] { build(key_of(SdpaKey::backward, 2, 196, 150, 12), device); });
    CHECK(contains(odd, "attention backward: N 4 S 196 L 150 H 2 D 12, on NVIDIA H100 80GB HBM3: "));
    CHECK(contains(odd, "multiple of 8"));
    SdpaKey misaligned = key_of(SdpaKey::forward, 2, 196, 196, 32);
    misaligned.strides[SdpaRole::k][1] += 4;
    CHECK(contains(refusal([&] { build(misaligned, device); }), "16-byte alignment"));
    misaligned.strides[SdpaRole::k][1] += 4;
    CHECK(refusal([&] { build(misaligned, device); }) == "");
    CHECK(contains(refusal([&] { build(misaligned, {"{\"deviceName\":\"half a device\"}"}); }), "on half a device: "));
  });
}

}  // namespace engine::test
