// --profile: what passes compute and move, by hand; whose they are; and where the time of a step goes.
#include "train/step_profile.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "engine/optimizer_ops.h"
#include "layers/models/registry.h"
#include "tests/training_fixtures.h"
#include "train/op_cost.h"
#include "train/roofline.h"

namespace engine {
namespace {

std::vector<SeenPass> passes_of(const std::function<void()>& work) {
  const auto clock = make_clock(kCpu);
  const size_t origin = clock->mark();
  const PassRecorder recorder(*clock);
  work();
  return recorder.passes(origin);
}

const SeenPass& find(const std::vector<SeenPass>& passes, const std::string& op, bool backward) {
  const auto found = std::ranges::find_if(
      passes, [&](const SeenPass& seen) { return seen.pass.op == op && seen.pass.backward == backward; });
  REQUIRE(found != passes.end());
  return *found;
}

Tensor leaf(const Shape& shape) { return Tensor::full(shape, 0.5).set_requires_grad(); }

struct Cost {
  double flop, bytes;
};
void check_costs(const std::string& op, const std::function<Tensor()>& work, Cost forward, Cost backward) {
  CAPTURE(op);
  const auto passes = passes_of([&] { sum(work()).backward(); });
  const SeenPass &there = find(passes, op, false), &back = find(passes, op, true);
  CHECK(there.pass.flop == forward.flop);
  CHECK(there.bytes == forward.bytes);
  CHECK(back.pass.flop == backward.flop);
  CHECK(back.bytes == backward.bytes);
  CHECK(there.pass.sequence == back.pass.sequence);
}

SeenPass pass(const char* layer, const char* op, bool backward, double begin, double end, double flop, double bytes,
              int64_t inside = -1) {
  OpPass made{op, backward, 1, {}, flop, layer};
  return {made, bytes, begin, end, begin, end, inside};
}

}  // namespace

// Four bytes an element; x, w and y stand for their elements.
TEST_CASE("step profile: operations and bytes of passes, by hand") {
  // x 2x5x6x3 = 180, w 4x3x3x3 = 108, bias 4, y 2x5x6x4 = 240; every y is a sum of 27 products.
  const auto convolution = [](bool wants_dx) {
    return [wants_dx] {
      const Tensor x = wants_dx ? leaf({2, 5, 6, 3}) : Tensor::full({2, 5, 6, 3}, 0.5);
      return conv2d(x, leaf({4, 3, 3, 3}), leaf({4}), {.pad_h = 1, .pad_w = 1});
    };
  };
  check_costs("conv2d", convolution(true), {2 * 240 * 27, 4 * (180 + 108 + 4 + 240)},
              {2 * 2 * 240 * 27, 4 * (240 + 2 * (180 + 108 + 4))});
  check_costs("conv2d", convolution(false), {2 * 240 * 27, 4 * (180 + 108 + 4 + 240)},
              {2 * 240 * 27, 4 * (240 + 180 + 2 * (108 + 4))});
  check_costs("linear",
              [] {
                return linear(leaf({3, 5}), leaf({7, 5}), {});
              },
              {2 * 21 * 5, 4 * (15 + 35 + 21)}, {2 * 2 * 21 * 5, 4 * (21 + 2 * (15 + 35))});
  check_costs("matmul",
              [] {
                return matmul(leaf({2, 3, 4}), leaf({4, 5}));
              },
              {2 * 30 * 4, 4 * (24 + 20 + 30)}, {2 * 2 * 30 * 4, 4 * (30 + 2 * (24 + 20))});
  // q and y 1x2x2x4 = 16, k and v 1x3x2x4 = 24: two products of 2 heads of 2x3x4, and four in the backward pass.
  check_costs("attention",
              [] {
                return attention(leaf({1, 2, 2, 4}), leaf({1, 3, 2, 4}), leaf({1, 3, 2, 4}));
              },
              {2 * 2 * 48, 4 * (16 + 24 + 24 + 16)}, {4 * 2 * 48, 4 * (16 + 2 * (16 + 24 + 24))});
  check_costs("attention_packed",
              [] {
                return attention_packed(leaf({1, 3, 3, 2, 4}));
              },
              {2 * 2 * 72, 4 * (72 + 24)}, {4 * 2 * 72, 4 * (24 + 2 * 72)});
  // x 2x3x5 = 30, weights 16x5 = 80 and 16x4 = 64, biases 16 and 16, y 2x3x4 = 24, last states 8 and 8.
  check_costs("lstm",
              [] {
                return lstm(leaf({2, 3, 5}), leaf({16, 5}), leaf({16, 4}), leaf({16}), leaf({16}))[0];
              },
              {2 * 6 * 16 * 9, 4 * (30 + 80 + 64 + 32 + 24 + 16)},
              {2 * 2 * 6 * 16 * 9, 4 * (24 + 2 * (30 + 80 + 64 + 32))});
  check_costs("layer_norm",
              [] {
                return layer_norm(leaf({6, 8}), leaf({8}), leaf({8}));
              },
              {0, 4 * (48 + 8 + 8 + 48)}, {0, 4 * (48 + 2 * (48 + 8 + 8))});
  // Backward depends on the sum of x and the residual, which stands for both.
  check_costs("residual_layer_norm",
              [] {
                return residual_layer_norm(leaf({6, 8}), leaf({6, 8}), leaf({8}), leaf({8}), {}, 0)[0];
              },
              {0, 4 * (48 + 48 + 8 + 8 + 2 * 48)}, {0, 4 * (48 + (48 + 8 + 8) + (48 + 48 + 8 + 8))});
  check_costs("max_pool2d", [] { return max_pool2d(leaf({1, 4, 4, 2}), {}); }, {0, 4 * (32 + 8)}, {0, 4 * (8 + 32)});
  check_costs("relu", [] { return relu(leaf({11})); }, {0, 4 * 22}, {0, 4 * 33});
  check_costs("affine", [] { return affine(leaf({11}), 2, 3); }, {0, 4 * 22}, {0, 4 * 22});
  // The gradient of a is the one that arrived; that of b is its sum.
  check_costs("add", [] { return add(leaf({2, 3}), leaf({3})); }, {0, 4 * (6 + 3 + 6)}, {0, 4 * (6 + 3)});
  check_costs("add", [] { return add(leaf({2, 3}), leaf({2, 3})); }, {0, 4 * 18}, {0, 0});
}

TEST_CASE("step profile: bytes of an update") {
  const auto values = [] { return Tensor::full({10}, 0.5); };
  const auto passes =
      passes_of([&] { adam_update({}, StepScalars::make(kCpu), values(), values(), values(), values()); });
  CHECK(find(passes, "adam_update", false).bytes == 4 * 10 * (4 + 3));
}

TEST_CASE("step profile: products belong to a layer of the network, forward and backward") {
  for (const auto& [model, size] : std::vector<std::pair<std::string, std::string>>{
           {"sora-fusion", "tiny"}, {"sora-serial", "tiny"}, {"sora-cnn", ""}, {"resnet18", ""}, {"r2plus1d_18", ""}}) {
    CAPTURE(model);
    ModelFile file = fixtures::description(3, 2, 32);
    file.model = model;
    if (!size.empty()) file.model_options["size"] = size;
    Classifier classifier(file);
    std::set<std::string> paths;
    classifier.network().visit([&](const std::string& path, layers::Module&) { paths.insert(path); });
    const Batch batch = fixtures::noise_batch(file, 2);
    const auto passes = passes_of([&] { sum(classifier.logits(batch.frames)).backward(); });
    std::map<uint64_t, std::string> forward;
    std::set<std::string> seen;
    for (const SeenPass& each : passes) {
      CAPTURE(each.pass.op);
      const std::string layer = each.pass.layer;
      CHECK(paths.contains(layer));
      if (each.pass.flop > 0) CHECK(layer != "");
      seen.insert(layer);
      if (each.pass.flop > 0 && !each.pass.backward) forward[each.pass.sequence] = layer;
      if (each.pass.flop > 0 && each.pass.backward) CHECK(forward[each.pass.sequence] == layer);
    }
    for (const NamedTensor& parameter : classifier.network().parameters()) {
      CAPTURE(parameter.name);
      CHECK(seen.contains(parameter.name.substr(0, parameter.name.rfind('.'))));
    }
    CHECK(std::string(current_layer) == "");
  }
}

TEST_CASE("step profile: a window takes the steps behind the warm-up, and whoever listened before hears all") {
  struct Heard : Profiler {
    int64_t begun = 0, ended = 0, told = 0;
    void begin(const OpPass&) override { ++begun; }
    void end() override { ++ended; }
    void operands(const char*, std::span<const int64_t>, std::span<const int64_t>) override { ++told; }
  } heard;
  profiler = &heard;
  const Tensor x = Tensor::full({5}, 0.5);
  constexpr int64_t kSteps = 3;
  {
    ProfileWindow window(kCpu, kSteps);
    CHECK(!may_record);
    int64_t steps = 0;
    for (; !window.done(); ++steps) {
      relu(x);
      waiting_for_clips([] { return 0; });
      exp(x);
      window.step();
    }
    CHECK(steps == ProfileWindow::kWarmUp + kSteps);
    CHECK(heard.begun == 3 * steps);
    CHECK(heard.ended == heard.begun);
    CHECK(heard.told == 2 * steps);
    const StepProfile& profile = window.result();
    CHECK(profile.steps == kSteps);
    CHECK(profile.step_ends.size() == kSteps);
    CHECK(profile.passes.size() == 3 * kSteps);
    CHECK(profile.passes[1].pass.op == kWaitForClips);
    double last = 0;
    for (const SeenPass& seen : profile.passes) {
      CHECK(seen.begin >= last);
      CHECK(seen.end >= seen.begin);
      last = seen.end;
    }
    CHECK(last <= profile.seconds);
    CHECK(profile.unprofiled_seconds > 0);
  }
  CHECK(may_record);
  CHECK(profiler.load() == &heard);
  profiler = nullptr;
  {
    ProfileWindow window(kCpu, kSteps);
    window.step();
    CHECK(window.result().steps == 0);
    CHECK(to_text(roofline(window.result(), {1, 1, 1})) == "profile: there were no steps behind the warm-up\n");
  }
}

TEST_CASE("roofline: the rows, waiting and what is between are the step") {
  // Two steps of 10 s on a machine of 100 FLOP/s and 10 bytes/s, on which an op costs 0.1 s.
  const Ceilings ceilings{.bytes_per_second = 10, .flop_per_second = 100, .op_seconds = 0.1};
  StepProfile profile{
      .device = kCpu, .steps = 2, .seconds = 20, .unprofiled_seconds = 9, .passes = {}, .step_ends = {10, 20}};
  for (const double at : {0.0, 10.0}) {
    profile.passes.push_back(pass("", kWaitForClips, false, at, at + 1, 0, 0));
    profile.passes.push_back(pass("cnn.conv1", "conv2d", false, at + 1, at + 3, 100, 1));
    const int64_t outer = std::ssize(profile.passes);
    profile.passes.push_back(pass("head", "outer", true, at + 3, at + 8, 0, 20));
    profile.passes.push_back(pass("head", "inner", true, at + 4, at + 4.5, 0, 0, outer));
    profile.passes.push_back(pass("cnn.conv1", "conv2d", true, at + 8, at + 9, 50, 2));
  }
  const Roofline found = roofline(profile, ceilings);
  CHECK(found.step == doctest::Approx(10));
  CHECK(found.waiting == doctest::Approx(1));
  CHECK(found.between == doctest::Approx(1));
  CHECK(found.ops == 4);
  REQUIRE(found.rows.size() == 3);
  double sum = found.waiting + found.between;
  for (const RooflineRow& row : found.rows) sum += row.seconds();
  CHECK(sum == doctest::Approx(found.step));
  const RooflineRow &outer = found.rows[0], &convolution = found.rows[1], &inner = found.rows[2];
  CHECK(outer.op == "outer");
  CHECK(outer.backward == doctest::Approx(4.5));
  CHECK(std::string(outer.bound()) == "memory");
  CHECK(outer.of_ceiling() == doctest::Approx(2 / 4.5));
  CHECK(convolution.layer == "cnn.conv1");
  CHECK(convolution.calls == 2);
  CHECK(convolution.forward == doctest::Approx(2));
  CHECK(convolution.backward == doctest::Approx(1));
  CHECK(convolution.flop == 150);
  CHECK(std::string(convolution.bound()) == "products");
  CHECK(convolution.of_ceiling() == doctest::Approx((1 + 0.5) / 3));
  CHECK(inner.backward == doctest::Approx(0.5));
  CHECK(std::string(inner.bound()) == "calls");

  const std::vector<std::string> advice = worth_fixing(found);
  REQUIRE(advice.size() == 3);
  CHECK(advice[0].starts_with("outer of head: 4.5e+03 ms (45.0 % of the step) at 44.4 % of its ceiling"));
  CHECK(advice[1].starts_with("conv2d of cnn.conv1: 3e+03 ms (30.0 % of the step) at 50.0 % of its ceiling"));
  CHECK(advice[2].starts_with("waiting for clips: 1e+03 ms (10.0 % of the step)"));

  const std::string text = to_text(found, 2);
  CAPTURE(text);
  CHECK(text.starts_with("profile of 2 steps on cpu: 10000.000 ms a step (9000.000 before the profile)\n"));
  CHECK(text.find("\n1 more ") != std::string::npos);
  const auto json = to_json(found);
  CHECK(json["rows"].size() == 3);
  CHECK(json["rows"][1]["flop"] == 150);

  const auto trace = nlohmann::json::parse(chrome_trace(profile));
  size_t complete = 0;
  for (const auto& event : trace["traceEvents"]) {
    complete += event["ph"] == "X" ? 1 : 0;
    if (event["ph"] == "X") CHECK(event["dur"].get<double>() >= 0);
  }
  CHECK(complete == profile.passes.size() + 2);
  CHECK(trace["traceEvents"].back()["name"] == "conv2d backward");
  CHECK(trace["traceEvents"].back()["args"]["layer"] == "cnn.conv1");
  CHECK(trace["traceEvents"].back()["ts"] == doctest::Approx(18e6));
}

TEST_CASE("ceilings: measured, and more than nothing") {
  const Ceilings ceilings = measure_ceilings(kCpu, DType::f32, true);
  CHECK(ceilings.bytes_per_second > 0);
  CHECK(ceilings.flop_per_second > 0);
  CHECK(ceilings.op_seconds > 0);
}

}  // namespace engine
