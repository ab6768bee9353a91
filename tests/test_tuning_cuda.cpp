// Plans of convolutions and products (engine/plans.h): chosen, timed, kept and given back. The libraries are the
// stand-ins of tests/fake_cuda, whose candidates take made-up times and of which one is wrong.
#include <algorithm>
#include <map>
#include <sstream>

#include "engine/ops.h"
#include "engine/plans.h"
#include "engine/random.h"
#include "engine/recording.h"
#include "tests/cuda_device.h"
#include "tests/fake_cuda/fake_cuda.h"
#include "tests/whole_numbers.h"

namespace engine::test {
namespace {

using fake_cuda::faults;

constexpr Device kOther{DeviceType::cuda, 1};  // a context that has chosen nothing

// The order of cuBLASLt's algorithms by time in the stand-in: the third takes the least and is wrong, the fifth
// follows.
constexpr const char *kWrong = "0000000000000002", *kFastest = "0000000000000004", *kFirst = "0000000000000000";

// No plan is in use and nothing is tuned, before and after.
struct Fresh {
  fake_cuda::Faults before = faults();
  Fresh() {
    faults().devices = 2;
    clear();
  }
  ~Fresh() {
    clear();
    faults() = before;
  }
  static void clear() {
    tune_plans = false;
    for (const Device device : {kCuda, kOther}) use_plans(device, "");
  }
};

// Choices by problem.
std::map<std::string, std::string> choices(const std::string& text) {
  std::map<std::string, std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (const size_t arrow = line.find(" => "); arrow != line.npos)
      found[line.substr(0, arrow)] = line.substr(arrow + 4);
  return found;
}

// All problems of a small network, forward and backward, on whole numbers, whose sums are exact in any order.
std::vector<Tensor> work(Device device, DType dtype = DType::f32) {
  Random random(11);
  const auto draw = [&](const Shape& shape) {
    return cast(whole_numbers(shape, random), dtype).to(device).set_requires_grad();
  };
  const Tensor x = draw({3, 9, 7, 16}), w = draw({24, 3, 3, 16}), bias = draw({24}), shift = draw({29});
  const Tensor y = conv2d(x, w, bias, {.stride_h = 2, .pad_h = 1, .pad_w = 1}, {Unary::relu});
  const Tensor v = draw({29, 24}), z = linear(y.reshape({105, 24}), v, shift);
  const Tensor a = draw({2, 5, 7}), b = draw({2, 7, 9});
  z.backward(draw(z.shape()).detach());
  return {y.detach(), x.grad(), w.grad(), bias.grad(), z.detach(), v.grad(), shift.grad(), matmul(a, b).detach()};
}

bool same(const std::vector<Tensor>& left, const std::vector<Tensor>& right) {
  return std::ranges::equal(left, right, [](const Tensor& a, const Tensor& b) {
    return equals_rounded(a.to(kCpu), cast(b.to(kCpu), DType::f64));
  });
}

std::pair<std::string, int> refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return {error.what(), error.code()};
  }
  return {"", 0};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("plans: tuning takes the fastest candidate that is right, and the results stay") {
  if (!have_device()) return;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Fresh fresh;
    const auto untuned = work(kCuda, dtype);
    const auto first = choices(chosen_plans(kCuda));
    CHECK(first.size() == 3 + 4);  // three passes of the convolution, three of the linear layer, a product
    tune_plans = true;
    CHECK(same(work(kCuda, dtype), untuned));
    CHECK(choices(chosen_plans(kCuda)) == first);  // what was chosen before stays
    const size_t bytes = fake_cuda::allocated_bytes();
    CHECK(same(work(kOther, dtype), untuned));
    const auto tuned = choices(chosen_plans(kOther));
    CHECK(tuned.size() == first.size());
    int convolutions = 0;
    for (const auto& [problem, choice] : tuned) {
      INFO(problem);
      REQUIRE(first.contains(problem));
      if (problem.starts_with("matmul")) {
        CHECK(first.at(problem).starts_with(kFirst));
        CHECK(choice.starts_with(kFastest));
      } else {
        convolutions += choice != first.at(problem);
      }
    }
    CHECK(convolutions > 0);
    CHECK(fake_cuda::allocated_bytes() < bytes + (size_t{2} << 30));
  }
}

TEST_CASE("plans: a convolution's candidate with a wrong result is refused") {
  if (!have_device()) return;
  const Fresh fresh;
  const auto right = work(kCuda);
  tune_plans = true;
  work(kOther);
  const auto tuned = choices(chosen_plans(kOther));
  for (const auto& [problem, engine] : tuned) {
    if (!problem.starts_with("conv") || choices(chosen_plans(kCuda)).at(problem) == engine) continue;
    INFO(problem);
    use_plans(kOther, "");
    faults().wrong_convolution = problem + " => " + engine;  // and now the fastest
    CHECK(same(work(kOther), right));
    const std::string other = choices(chosen_plans(kOther)).at(problem);
    CHECK(other != engine);
    faults().wrong_convolution.clear();
  }
}

TEST_CASE("plans: their text gives the same plans again, and only those") {
  if (!have_device()) return;
  const Fresh fresh;
  tune_plans = true;
  const auto results = work(kCuda, DType::bf16);
  const std::string text = chosen_plans(kCuda);
  tune_plans = false;
  use_plans(kOther, text);
  CHECK(choices(chosen_plans(kOther)).empty());
  CHECK(same(work(kOther, DType::bf16), results));
  CHECK(chosen_plans(kOther) == text);
  CHECK(text.starts_with("plans for NVIDIA H100 80GB HBM3, CUDA driver 13099, cuDNN 9"));

  // Exactly those: a wrong algorithm too. Problems that are not named are the heuristic's.
  const std::string wrong = replaced(text, kFastest, kWrong);
  use_plans(kOther, wrong);
  CHECK(!same(work(kOther, DType::bf16), results));
  CHECK(chosen_plans(kOther) == wrong);
  const size_t line = text.find("matmul");
  const std::string shorter = text.substr(0, line) + text.substr(text.find('\n', line) + 1);
  use_plans(kOther, shorter);
  CHECK(same(work(kOther, DType::bf16), results));
  const auto found = choices(chosen_plans(kOther));
  CHECK(found.size() == choices(text).size());
  CHECK(std::ranges::count_if(found, [](const auto& each) { return each.second.starts_with(kFirst); }) == 1);
  CHECK(chosen_plans(kCpu).empty());
  use_plans(kCpu, "");
}

TEST_CASE("plans: of another device or version, malformed or impossible: code 84, and nothing changes") {
  if (!have_device()) return;
  const Fresh fresh;
  work(kCuda);
  const std::string text = chosen_plans(kCuda);
  const auto refused = [&](const std::string& changed, const std::string& words) {
    const auto [message, code] = refusal([&] { use_plans(kCuda, changed); });
    INFO(message);
    CHECK(code == exit_code::kCheckpoint);
    CHECK(message.find(words) != message.npos);
    CHECK(message.find('\n') == message.npos);
    CHECK(chosen_plans(kCuda) == text);
  };
  refused(replaced(text, "H100 80GB HBM3", "H200"), "found 'plans for NVIDIA H200, CUDA driver 13099");
  refused(replaced(text, "driver 13099", "driver 12080"), "driver 12080");
  refused(replaced(text, "cuDNN 9", "cuDNN 8"), "cuDNN 8");
  refused(replaced(text, "cuBLASLt 130199", "cuBLASLt 130200"), "cuBLASLt 130200");
  refused("anything", "found 'anything'");
  refused(replaced(text, " => ", " = "), "then 'end of plans', found 'conv2d backward_input: ");
  refused(text.substr(0, text.find("end of plans")), "then 'end of plans', found ''");
  refused(text.substr(0, text.find("matmul") + 9), "found 'matmul: 1'");
  const size_t start = text.find("conv2d");
  refused(replaced(text, "end of plans", text.substr(start, text.find('\n', start) - start) + "\nend of plans"),
          "expected one of each problem");
  CHECK(refusal([&] { use_plans(kCpu, text); }).second == exit_code::kCheckpoint);

  for (const auto& [from, to] : {std::pair{"\"engineId\":", "\"engineId\":9"}, {kFirst, "0000000000000009"}}) {
    use_plans(kOther, replaced(text, from, to));
    const auto [message, code] = refusal([] { work(kOther); });
    INFO(message);
    CHECK(code == exit_code::kCheckpoint);
    CHECK(message.find("cannot be built") != message.npos);
  }
}

TEST_CASE("plans: a recording is not tuned") {
  if (!have_device()) return;
  const Fresh fresh;
  tune_plans = true;
  Random random(3);
  const Tensor a = whole_numbers({31, 40}, random), b = whole_numbers({40, 37}, random);
  const Tensor x = cast(a, DType::f32).to(kCuda), w = cast(b, DType::f32).to(kCuda);
  Tensor y;
  const auto recording = record_work(kCuda, [&] { y = matmul(x, w); });
  recording->replay();
  CHECK(equals_rounded(y.to(kCpu), matmul(cast(a, DType::f64), cast(b, DType::f64))));
  const auto found = choices(chosen_plans(kCuda));
  REQUIRE(found.size() == 1);
  CHECK(found.begin()->second.starts_with(kFirst));
}

TEST_CASE("plans: without memory to try candidates the first is taken") {
  if (!have_device()) return;
  const Fresh fresh;
  const auto results = work(kCuda);
  tune_plans = true;
  const Tensor a = Tensor::full({31, 40}, 0.5, DType::f32, kOther), b = Tensor::full({40, 37}, 0.5, DType::f32, kOther);
  faults().fail_allocation = 2;  // after the result's
  const Tensor y = matmul(a, b);
  CHECK(faults().fail_allocation == 0);
  CHECK(choices(chosen_plans(kOther)).begin()->second.starts_with(kFirst));
  CHECK(y.to(kCpu).values<float>()[17] == 10.0f);
}

TEST_CASE("CUDA: the gradient of a bias from the product, and from a sum where cuBLASLt has no algorithm") {
  if (!have_device()) return;
  Random random(8);
  for (const auto& [rows, columns, outputs] : {std::array<int64_t, 3>{71, 13, 37}, {1, 5, 3}, {6, 1, 1}, {0, 4, 9}})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const bool without : {false, true}) {
        const Fresh fresh;
        faults().no_bias_gradient = without;
        INFO(rows, " rows of ", columns, " to ", outputs, ", ", name_of(dtype), without ? ", by a sum" : "");
        const Tensor x = whole_numbers({rows, columns}, random), w = whole_numbers({outputs, columns}, random);
        const Tensor bias = whole_numbers({outputs}, random), dy = whole_numbers({rows, outputs}, random);
        const auto gradients = [&](Device device, DType type) {
          const auto leaf = [&](const Tensor& t) { return cast(t, type).to(device).set_requires_grad(); };
          const Tensor weight = leaf(w), shift = leaf(bias);
          linear(cast(x, type).to(device), weight, shift).backward(cast(dy, type).to(device));
          return std::vector{weight.grad().to(kCpu), shift.grad().to(kCpu)};
        };
        const auto expected = gradients(kCpu, DType::f64), found = gradients(kCuda, dtype);
        CHECK(equals_rounded(found[0], expected[0]));
        CHECK(equals_rounded(found[1], expected[1]));
        const std::string plans = chosen_plans(kCuda);
        CHECK((plans.find("epilogue 512") != plans.npos) == (!without && rows > 0));
      }
}

}  // namespace engine::test
