#include "kernels/cuda/plans.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>

#include "kernels/copy.h"
#include "kernels/cuda/execute_plan.h"

namespace engine {
namespace {

constexpr size_t kMostPlans = 8, kRuns = 5;
constexpr float kMostMilliseconds = 2000;  // per problem; no candidate is begun after it
constexpr std::string_view kArrow = " => ", kEnd = "end of plans";

// Choices by problem.
struct PlanBook {
  std::map<std::string, std::string> given, used;
};

// Random numbers with 8 significant bits and magnitudes of [0.5, 1); zeros would take less power and run faster. They
// repeat after a prime number of words, so that no two rows of an operand are the same.
void fill_random(CudaContext& ctx, char* memory, size_t bytes, DType dtype) {
  std::vector<uint32_t> words(std::min<size_t>(bytes / 4, 1048573));
  std::mt19937 random;
  for (uint32_t& word : words)
    word = ((random() & 0x807F807F) | 0x3F003F00) & (dtype == DType::bf16 ? 0xFFFFFFFF : 0xFFFF0000);
  copy_bytes(ctx, memory, words.data(), words.size() * 4);
  for (size_t done = words.size() * 4; done < bytes; done *= 2)
    copy_bytes(ctx, memory + done, memory, std::min(done, bytes - done));
}

// Whether two results of such operands can both be right. The factors are exact in TF32 and their products in f32, so
// right results differ by the rounding of their sums. A sum of n products, or of n factors (a bias's gradient), has a
// deviation of at most 0.77 sqrt(n), and a part of it no more: 5 sqrt(n), 6.5 deviations, bounds them all. Each of n
// additions errs by at most 2^-24 of the sum so far (tensor cores cut off, 2^-23, but add 4 products at once or more),
// a result hence by n 5 sqrt(n) 2^-24, and two differ by twice that. In bf16 two such sums may be rounded to different
// neighbours, which are 2^-7 of them apart or less. NaN agrees with nothing.
bool agree(const std::vector<float>& result, const std::vector<float>& reference, const Trial& trial) {
  const auto n = static_cast<double>(trial.terms), bound = n * 5 * std::sqrt(n) * 0x1p-23;
  const double relative = trial.dtype == DType::bf16 ? 0x1p-7 : 0;
  return std::ranges::equal(result, reference,
                            [=](double a, double b) { return std::abs(a - b) <= bound + relative * std::abs(b); });
}

size_t fastest(CudaContext& ctx, const Trial& trial) {
  std::vector<int64_t> offsets = {0};  // in one block, multiples of 256 bytes
  for (const int64_t count : trial.operands) offsets.push_back(offsets.back() + (count + 127) / 128 * 128);
  const int64_t size = size_of(trial.dtype), first = offsets[trial.results], count = offsets.back() - first;
  CudaScratch block(ctx, static_cast<size_t>(offsets.back() * size)), workspace(ctx, trial.workspace_bytes),
      in_f32(ctx, static_cast<size_t>(count) * sizeof(float));
  fill_random(ctx, block.as<char>(), static_cast<size_t>(offsets.back() * size), trial.dtype);
  std::vector<void*> operands;
  for (const int64_t offset : offsets) operands.push_back(block.as<char>() + offset * size);
  const auto run = [&](size_t candidate) { trial.run(candidate, operands, workspace.as<void>()); };
  const View results(operands[trial.results], trial.dtype, {count});
  const auto result_of = [&](size_t candidate) {
    fill(ctx, results, 0.0);
    run(candidate);
    copy(ctx, results, in_f32.view(DType::f32, {count}));
    std::vector<float> values(static_cast<size_t>(count));
    copy_bytes(ctx, values.data(), in_f32.as<void>(), values.size() * sizeof(float));
    return values;
  };

  std::array<CudaEvent, kRuns + 1> events;
  for (CudaEvent& event : events) ENGINE_CUDA(cudaEventCreateWithFlags(event.receive(), cudaEventDefault));
  std::vector<std::pair<float, size_t>> order;  // median of milliseconds, candidate
  float spent = 0;
  for (size_t candidate = 0; candidate < trial.candidates.size() && spent < kMostMilliseconds; ++candidate) {
    for (const CudaEvent& event : events) {  // the run before the first is for warming up
      run(candidate);
      ENGINE_CUDA(cudaEventRecord(event.get(), ctx.stream()));
    }
    ENGINE_CUDA(cudaEventSynchronize(events.back().get()));
    std::array<float, kRuns> times{};
    for (size_t i = 0; i < kRuns; ++i) {
      ENGINE_CUDA(cudaEventElapsedTime(&times[i], events[i].get(), events[i + 1].get()));
      spent += times[i];
    }
    std::ranges::sort(times);
    order.emplace_back(times[kRuns / 2], candidate);
    if (on_timed_plan) on_timed_plan(trial.problem, trial.candidates[candidate], times[kRuns / 2]);
  }
  std::ranges::sort(order);
  const std::vector<float> reference = result_of(0);
  for (const auto& [time, candidate] : order)
    if (candidate == 0 || agree(result_of(candidate), reference, trial)) return candidate;
  return 0;
}

std::string header(CudaContext& ctx) {
  int driver = 0;
  ENGINE_CUDA(cudaDriverGetVersion(&driver));
  return concat("plans for ", describe_device(ctx).name(), ", CUDA driver ", driver, ", cuDNN ", cudnnGetVersion(),
                ", cuBLASLt ", CUBLASLT(cublasLtGetVersion)());
}

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  throw Error(concat("plans: ", parts..., "; make new ones with --tune"), exit_code::kCheckpoint);
}

}  // namespace

size_t wanted_plans(CudaContext& ctx, const std::string& problem) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  ENGINE_CUDA(cudaStreamIsCapturing(ctx.stream(), &capture));
  const bool tune = tune_plans && capture == cudaStreamCaptureStatusNone;
  return tune || ctx.cache<PlanBook>().given.contains(problem) ? kMostPlans : 1;
}

size_t choose_plan(CudaContext& ctx, const Trial& trial) {
  PlanBook& book = ctx.cache<PlanBook>();
  const auto& candidates = trial.candidates;
  size_t chosen = 0;
  if (const auto given = book.given.find(trial.problem); given != book.given.end()) {
    chosen = static_cast<size_t>(std::ranges::find(candidates, given->second) - candidates.begin());
    if (chosen == candidates.size()) refuse("the one for ", trial.problem, " cannot be built");
  } else if (candidates.size() > 1 && wanted_plans(ctx, trial.problem) > 1) {
    try {
      chosen = fastest(ctx, trial);
    } catch (const Error&) {  // no memory to try, say; what is worse shows when the first is used
    }
  }
  book.used[trial.problem] = candidates[chosen];
  return chosen;
}

std::string chosen_plans(CudaContext& ctx) {
  std::string text = header(ctx) + "\n";
  for (const auto& [problem, choice] : ctx.cache<PlanBook>().used) text += concat(problem, kArrow, choice, "\n");
  return concat(text, kEnd, "\n");
}

void use_plans(CudaContext& ctx, const std::string& text) {
  PlanBook book;
  if (!text.empty()) {
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    if (const std::string ours = header(ctx); line != ours) refuse("expected '", ours, "', found '", line, "'");
    size_t arrow = 0;
    while (std::getline(lines, line) && (arrow = line.find(kArrow)) != line.npos &&
           book.given.emplace(line.substr(0, arrow), line.substr(arrow + kArrow.size())).second)
      ;
    if (line != kEnd) refuse("expected one of each problem, then '", kEnd, "', found '", line, "'");
  }
  ctx.cache<PlanBook>() = std::move(book);
  forget_convolution_plans(ctx);
  forget_matmul_plans(ctx);
}

}  // namespace engine
