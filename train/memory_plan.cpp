#include "train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "io/host_memory.h"
#include "train/op_watch.h"

namespace engine {
namespace {

constexpr double kMiB = 1 << 20, kGiB = 1 << 30;
constexpr double kKeptByCpu = 1.4;  // MemoryPlan::kept

// While alive, networks take memory but compute nothing.
struct NoCompute : NonCopyable {
  NoCompute() { ops_compute = false; }
  ~NoCompute() { ops_compute = true; }
};

// Keeps also the largest inputs of ops.
struct LargestWatch final : OpWatch {
  static constexpr size_t kMost = 3;
  std::vector<MemoryPlan::LargeTensor> largest;
  void begin(const OpPass& pass) override {
    OpWatch::begin(pass);
    const auto same = [&](const auto& each) { return each.shape.elements() == pass.shape.elements(); };
    if (pass.backward || std::ranges::any_of(largest, same)) return;
    largest.push_back({pass.op, pass.shape});
    std::ranges::stable_sort(largest, std::ranges::greater{}, [](const auto& each) { return each.shape.elements(); });
    if (largest.size() > kMost) largest.pop_back();
  }
};

// What a forward and a backward pass take at most, without the gradients of parameters, which are there before.
int64_t bytes_of_pass(layers::VideoModel& network, const ModelFile& description, int64_t clips,
                      std::vector<MemoryPlan::LargeTensor>* largest = nullptr) {
  const Preprocessing& p = description.preprocessing;
  const Tensor x = Tensor::zeros({clips, p.frames, p.height, p.width, input_channels(p)});
  const LargestWatch watch;
  sum(network(x)).backward();
  if (largest != nullptr) *largest = watch.largest;
  return watch.taken() + static_cast<int64_t>(x.bytes());
}

std::string size_text(int64_t bytes) {
  const auto size = static_cast<double>(bytes);
  return size < kGiB ? fmt::format("{:.1f} MiB", size / kMiB) : fmt::format("{:.1f} GiB", size / kGiB);
}

}  // namespace

int64_t MemoryPlan::fitting_clips() const {
  if (fits() || per_clip <= 0) return clips;
  const double room = static_cast<double>(free - (total() - taken())) / kept - static_cast<double>(per_step);
  return std::clamp<int64_t>(static_cast<int64_t>(room / static_cast<double>(per_clip)), 0, clips);
}

MemoryPlan plan_training(const ModelFile& description, const TrainerOptions& options, int64_t clips, int64_t loader) {
  const NoCompute no_compute;
  MemoryPlan plan{.clips = clips};
  const auto network = make_network(description);
  int64_t all = 0, trained = 0, buffers = 0;
  for (const NamedTensor& each : network->parameters()) {
    const bool frozen = options.is_frozen && options.is_frozen(each.name);
    all += each.tensor.elements();
    trained += frozen ? 0 : each.tensor.elements();
    each.tensor.set_requires_grad(!frozen);
  }
  for (const NamedTensor& each : network->buffers()) buffers += each.tensor.elements();
  const bool bf16 = options.compute == DType::bf16, adam = options.optimizer.kind != OptimizerKind::sgd;
  const int64_t f32 = size_of(DType::f32), narrow = size_of(options.compute);
  plan.weights = f32 * (all + buffers) + (bf16 ? narrow * all : 0) + (options.ema > 0 ? f32 * (trained + buffers) : 0);
  plan.gradients = narrow * trained;
  plan.optimizer = f32 * trained * (adam ? 2 : options.optimizer.momentum > 0 ? 1 : 0);

  network->set_recompute(options.recompute);
  network->train();
  StepRandom::current().begin_step(Tensor::full({1}, 1.0, DType::i64));
  bytes_of_pass(*network, description, 1);  // what is kept between passes is there from now on, gradients too
  const int64_t one = bytes_of_pass(*network, description, 1, &plan.largest);
  const int64_t two = bytes_of_pass(*network, description, 2);
  plan.per_clip = (two - one) / (bf16 ? 2 : 1);
  plan.per_step = std::max<int64_t>(one - (two - one), 0) / (bf16 ? 2 : 1);
  if (options.device == kCpu) {
    plan.loader = loader;
    plan.kept = kKeptByCpu;
    plan.free = free_host_memory();
  }
  return plan;
}

std::string to_text(const MemoryPlan& plan) {
  const std::string loader = plan.loader > 0 ? concat(", loader ", size_text(plan.loader)) : "";
  return fmt::format("weights {}, gradients {}, optimizer {}, activations {}{} = {}{}", size_text(plan.weights),
                     size_text(plan.gradients), size_text(plan.optimizer), size_text(plan.taken()), loader,
                     size_text(plan.total()),
                     plan.free > 0 ? concat(" of ", size_text(plan.free), " that are free") : "");
}

std::string largest_tensors(const MemoryPlan& plan) {
  std::string text;
  for (const auto& [op, shape] : plan.largest)
    text += concat(text.empty() ? "the largest tensors, of each clip: " : ", ", op, "'s input ", shape, " ",
                   size_text(shape.elements() * size_of(DType::f32)));
  return text;
}

std::string advice(const MemoryPlan& plan, int64_t accumulate) {
  const int64_t most = plan.fits() ? plan.clips / 2 : plan.fitting_clips();
  if (most == 0) return "not one clip at a time fits: use fewer frames, a smaller size or a smaller model";
  const int64_t parts = (plan.clips + most - 1) / most, clips = (plan.clips + parts - 1) / parts;
  return fmt::format("try --batch {} --accumulate {}", clips, accumulate * parts);
}

}  // namespace engine
