// Training on CUDA: on a GPU, or on the CPU in the build with ENGINE_CUDA=HOST.
#include <cmath>
#include <functional>

#include "engine/random.h"
#include "engine/recording.h"
#include "tests/cuda_device.h"
#include "train/evaluate.h"
#include "train/step_profile.h"
#include "train/trainer.h"

namespace engine::test {
namespace {

ModelFile description(Head head) {
  ModelFile file;
  file.head = head;
  if (head == Head::regression) file.targets = {{0.3, -50, 7}, {0.7, 20, 1.5}};
  file.model = "sora-cnn";
  file.model_options["dropout"] = "0.25";
  file.classes = {"bright", "dark", "grey"};
  file.preprocessing.frames = 2;
  file.preprocessing.height = 9;
  file.preprocessing.width = 8;
  file.preprocessing.input = "rgb+diff";
  file.preprocessing.mean = {0.4, 0.5, 0.6};
  file.preprocessing.deviation = {0.3, 0.5, 0.7};
  file.seed = 5;
  return file;
}

// Clips whose brightness says their class, or their numbers: 1, 2, 3 for dark clips, larger ones for bright clips.
Batch make_batch(int64_t number, int64_t clips, Head head = Head::classification) {
  Random random(11, static_cast<uint64_t>(number));
  Batch batch;
  batch.frames = Tensor::empty({clips, 3, 9, 8, 3}, DType::u8);
  const bool one = head == Head::classification;
  batch.labels = one ? Tensor::empty({clips}, DType::i64) : Tensor::empty({clips, 3}, DType::f64);
  const int64_t size = 3 * 9 * 8 * 3;
  for (int64_t n = 0; n < clips; ++n) {
    const int64_t label = static_cast<int64_t>(random.below(3));
    if (one) batch.labels.values<int64_t>()[static_cast<size_t>(n)] = label;
    for (int64_t k = 0; !one && k < 3; ++k)
      batch.labels.values<double>()[static_cast<size_t>(3 * n + k)] =
          head == Head::multilabel ? (k <= label ? 1.0 : 0.0) : static_cast<double>((label + 1) * (k + 1));
    batch.items.push_back(n);
    for (int64_t i = 0; i < size; ++i)
      batch.frames.values<uint8_t>()[static_cast<size_t>(n * size + i)] =
          static_cast<uint8_t>(static_cast<uint64_t>(60 * label) + random.below(100));
  }
  return batch;
}

struct Run {
  std::vector<float> losses;
  std::vector<NamedTensor> tensors;  // on the CPU
  Tensor logits;
};

// Seven steps, one of them with a smaller batch; `change` is made to the options.
Run train(Device device, DType compute = DType::f32, bool record = true, Head head = Head::classification,
          const std::function<void(TrainerOptions&)>& change = {}) {
  TrainerOptions options;
  options.device = device;
  options.compute = compute;
  options.record = record;
  options.optimizer.clip_norm = 1.0;
  options.schedule.peak = 2e-3;
  options.schedule.total_steps = 7;
  options.seed = 3;
  if (head == Head::multilabel) options.objective.weights = Tensor::from<float>({2, 0.5f, 3});
  if (change) change(options);
  Classifier classifier(description(head));
  Trainer trainer(classifier, options);
  Run run;
  for (int64_t step = 0; step < 7; ++step) {
    const Batch batch = make_batch(step, step == 5 ? 2 : 3, head);
    for (int64_t part = 1; part < options.accumulate; ++part) {
      const int64_t later = batch.frames.size(0) + 3 * (options.accumulate - part - 1);
      trainer.queue(make_batch(100 * part + step, 3, head), later);
      if (trainer.pending() == trainer.most_pending()) trainer.results();  // of parts there are none yet
    }
    run.losses.push_back(static_cast<float>(trainer.step(batch).loss));
  }
  for (const NamedTensor& each : trainer.model().tensors) run.tensors.push_back({each.name, each.tensor.to(kCpu)});
  run.logits = Evaluator(classifier)(make_batch(9, 3).frames);
  return run;
}

double distance(const Run& a, const Run& b) {
  double difference = 0, norm = 0;
  for (size_t t = 0; t < a.tensors.size(); ++t) {
    const auto x = a.tensors[t].tensor.values<float>(), y = b.tensors[t].tensor.values<float>();
    for (size_t i = 0; i < x.size(); ++i) {
      difference += (x[i] - y[i]) * (x[i] - y[i]);
      norm += y[i] * y[i];
    }
  }
  return std::sqrt(difference / norm);
}

void check_same_bits(const Run& a, const Run& b) {
  CHECK(a.losses == b.losses);
  for (size_t t = 0; t < a.tensors.size(); ++t) {
    const auto x = a.tensors[t].tensor.values<float>(), y = b.tensors[t].tensor.values<float>();
    INFO(a.tensors[t].name);
    CHECK(std::equal(x.begin(), x.end(), y.begin()));
  }
  CHECK(std::ranges::equal(a.logits.values<float>(), b.logits.values<float>()));
}

}  // namespace

TEST_CASE("CUDA: a recorded step gives the bits of the eager one, and of itself again") {
  if (!have_device()) return;
  for (const DType compute : {DType::f32, DType::bf16}) {
    INFO(name_of(compute));
    const Run eager = train(kCuda, compute, false);
    const Run recorded = train(kCuda, compute);
    check_same_bits(recorded, eager);
    check_same_bits(recorded, train(kCuda, compute));
  }
}

TEST_CASE("CUDA: training follows the CPU's") {
  if (!have_device()) return;
  const Run cpu = train(kCpu), cuda = train(kCuda), half = train(kCuda, DType::bf16);
  // Adam divides by the size of the gradient, so a rounding error where the gradient is nearly 0 moves a weight by up
  // to the learning rate: 7 steps of at most 2e-3 in weights of 0.1 are a few percent at the very worst; most agree.
  CHECK(distance(cuda, cpu) < 1e-3);
  CHECK(distance(half, cpu) < 3e-2);
  for (size_t i = 0; i < cpu.losses.size(); ++i) {
    CHECK(cuda.losses[i] == doctest::Approx(cpu.losses[i]).epsilon(1e-4));
    CHECK(half.losses[i] == doctest::Approx(cpu.losses[i]).epsilon(3e-2));
  }
  for (const NamedTensor& each : half.tensors) CHECK(each.tensor.dtype() == DType::f32);  // the masters
}

TEST_CASE("CUDA: heads for numbers and labels are recorded, too, and follow the CPU") {
  if (!have_device()) return;
  for (const Head head : {Head::regression, Head::multilabel}) {
    INFO(name_of(head));
    const Run recorded = train(kCuda, DType::f32, true, head), cpu = train(kCpu, DType::f32, true, head);
    check_same_bits(recorded, train(kCuda, DType::f32, false, head));
    CHECK(distance(recorded, cpu) < 1e-3);
    for (size_t i = 0; i < cpu.losses.size(); ++i)
      CHECK(recorded.losses[i] == doctest::Approx(cpu.losses[i]).epsilon(1e-4));
  }
}

TEST_CASE("CUDA: steps of several batches, averages and mixtures are recorded, too, and follow the CPU") {
  if (!have_device()) return;
  const auto change = [](TrainerOptions& options) {
    options.accumulate = 3;
    options.ema = 0.5;
    options.mixing = {.mixup = 0.5, .cutmix = 0.5};
  };
  for (const DType compute : {DType::f32, DType::bf16}) {
    INFO(name_of(compute));
    const Run recorded = train(kCuda, compute, true, Head::classification, change);
    check_same_bits(recorded, train(kCuda, compute, false, Head::classification, change));
    check_same_bits(recorded, train(kCuda, compute, true, Head::classification, change));
    const Run cpu = train(kCpu, DType::f32, true, Head::classification, change);
    CHECK(distance(recorded, cpu) < (compute == DType::f32 ? 1e-3 : 3e-2));
  }
}

TEST_CASE("CUDA: a profile sees every op of the steps, on the device's clock") {
  if (!have_device()) return;
  TrainerOptions options;
  options.device = kCuda;
  Classifier classifier(description(Head::classification));
  Trainer trainer(classifier, options);
  ProfileWindow window(kCuda, 2);
  while (!window.done()) {
    trainer.step(make_batch(1, 3));
    window.step();
  }
  const StepProfile& profile = window.result();
  REQUIRE(profile.steps == 2);
  CHECK(profile.step_ends[0] > 0);
  CHECK(profile.seconds >= profile.step_ends[0]);
  int64_t convolutions = 0, updates = 0;
  double last = 0;
  for (const SeenPass& seen : profile.passes) {
    CHECK(seen.begin >= last);
    CHECK(seen.end >= seen.begin);
    CHECK(seen.end <= profile.seconds);
    last = seen.begin;
    convolutions += std::string(seen.pass.op) == "conv2d" ? 1 : 0;
    updates += std::string(seen.pass.op) == "adam_update" ? 1 : 0;
  }
  CHECK(convolutions == 2 * 3 * 2);
  CHECK(updates >= 2);
}

TEST_CASE("CUDA: an exception in recorded work leaves the device usable") {
  if (!have_device()) return;
  const Tensor x = Tensor::full({300}, 2.0, DType::f32, kCuda);
  CHECK_THROWS_WITH(record_work(kCuda,
                                [&] {
                                  const Tensor y = add(x, x);
                                  throw Error("planted");
                                }),
                    "planted");
  CHECK(sum(add(x, x)).item() == 1200.0);
}

TEST_CASE("CUDA: replayed work reads and writes the same memory") {
  if (!have_device()) return;
  const Tensor x = Tensor::full({300}, 2.0, DType::f32, kCuda), total = Tensor::zeros({1}, DType::f32, kCuda);
  const auto work = [&] { total.copy_from(sum(mul(x, x)).reshape({1})); };
  work();
  const std::unique_ptr<Recording> recording = record_work(kCuda, work);
  fill(x, 3.0);
  recording->replay();
  CHECK(total.item() == 2700.0);
  const Uploader upload(x);
  for (int i = 1; i <= 5; ++i) {
    upload(Tensor::full({300}, i));
    recording->replay();
    CHECK(total.item() == 300.0 * i * i);
  }
}

}  // namespace engine::test
