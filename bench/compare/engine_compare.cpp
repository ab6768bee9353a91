// The engine's side of the comparison: times the workloads of workloads.json and prints one JSON object a line, as
// pytorch_compare.py does for PyTorch.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <regex>

#include "bench/compare/measure.h"
#include "engine/ops.h"
#include "engine/optimizer_ops.h"
#include "engine/plans.h"
#include "engine/random.h"
#include "train/classifier.h"
#include "train/cli.h"
#include "train/trainer.h"

namespace engine::bench {
namespace {

using json = nlohmann::json;
using Tensors = std::vector<Tensor>;

constexpr double kCacheBytes = 256e6;  // what the input sets of a workload add up to, at least; H100: 50 MB of cache

struct Settings {
  Device device = kCpu;
  double seconds = 1.0;
  std::string precision;  // f32, tf32 or bf16
  bool record = true;     // where the device can: without the host's part
  DType dtype() const { return precision == "bf16" ? DType::bf16 : DType::f32; }
};

// An op at one size: what it takes, what it does, and the least work that is.
struct Workload {
  std::function<Tensors()> inputs;
  std::function<Tensor(const Tensors&)> run;
  double flop = 0;  // of forward; 0 where it is the traffic that counts
  bool backward = true;
  double forward_bytes = 0, backward_bytes = 0;  // every operand read once, every result written once
};

class Inputs {
 public:
  explicit Inputs(const Settings& settings) : settings_(settings) {}
  Tensor normal(const Shape& shape, double deviation = 1) {
    return place(engine::normal(shape, 0, deviation, random_));
  }
  // Of the width that keeps sums of `terms` products near 1.
  Tensor weight(const Shape& shape, int64_t terms) { return normal(shape, 1 / std::sqrt(static_cast<double>(terms))); }
  Tensor statistics(const Shape& shape) { return engine::uniform(shape, 0.5, 1.5, random_).to(settings_.device); }
  Tensor labels(int64_t count, int64_t classes) {
    Tensor labels = Tensor::empty({count}, DType::i64);
    for (int64_t& label : labels.values<int64_t>())
      label = static_cast<int64_t>(random_.below(static_cast<uint64_t>(classes)));
    return labels.to(settings_.device);
  }

 private:
  Tensor place(const Tensor& x) const {
    const Tensor placed = Tensor::empty(x.shape(), settings_.dtype(), settings_.device);
    placed.copy_from(x.to(settings_.device));
    return placed;
  }
  const Settings& settings_;
  Random random_{20, 1};
};

Workload workload_of(const json& w, const Settings& settings, Inputs& random) {
  const auto n = [&](const char* name) { return w.at(name).get<int64_t>(); };
  const auto real = [](int64_t value) { return static_cast<double>(value); };
  const std::string op = w.at("op");
  const double size = settings.dtype() == DType::bf16 ? 2 : 4;
  Workload made;
  // An op on one tensor: forward reads and writes it once, backward reads `extra` tensors of its size and writes one.
  const auto pointwise = [&](const Shape& shape, double backward_tensors, std::function<Tensor(const Tensors&)> run) {
    made.inputs = [=, &random] { return Tensors{random.normal(shape)}; };
    made.run = std::move(run);
    made.forward_bytes = 2 * size * real(shape.elements());
    made.backward_bytes = backward_tensors * size * real(shape.elements());
  };
  if (op == "copy") {
    pointwise({n("count")}, 0, [](const Tensors& t) { return t[0].clone(); });
    made.backward = false;
  } else if (op == "gelu") {
    pointwise({n("count")}, 3, [](const Tensors& t) { return gelu(t[0]); });
  } else if (op == "dropout") {
    pointwise({n("count")}, 2, [](const Tensors& t) { return dropout(t[0], 0.1); });
  } else if (op == "softmax") {
    pointwise({n("m"), n("c")}, 3, [](const Tensors& t) { return softmax(t[0]); });
  } else if (op == "matmul") {
    const int64_t m = n("m"), k = n("k"), cols = n("n");
    made.inputs = [=, &random] { return Tensors{random.normal({m, k}), random.weight({k, cols}, k)}; };
    made.run = [](const Tensors& t) { return matmul(t[0], t[1]); };
    made.flop = 2 * real(m) * real(k) * real(cols);
  } else if (op == "linear_gelu") {
    const int64_t m = n("m"), k = n("k"), cols = n("n");
    made.inputs = [=, &random] {
      return Tensors{random.normal({m, k}), random.weight({cols, k}, k), random.normal({cols})};
    };
    made.run = [](const Tensors& t) { return linear(t[0], t[1], t[2], {Unary::gelu_tanh}); };
    made.flop = 2 * real(m) * real(k) * real(cols);
  } else if (op == "conv2d" || op == "conv3d") {
    const bool clips = op == "conv3d";
    const int64_t r = n("r"), pad = n("pad"), c = n("c"), k = n("k");
    const Shape x = clips ? Shape{n("n"), n("t"), n("h"), n("w"), c} : Shape{n("n"), n("h"), n("w"), c};
    const Shape filter = clips ? Shape{k, r, r, r, c} : Shape{k, r, r, c};
    made.inputs = [=, &random] {
      return Tensors{random.normal(x), random.weight(filter, filter.elements() / k), random.normal({k})};
    };
    made.run = [=](const Tensors& t) {
      return clips ? conv3d(t[0], t[1], t[2], {.pad_t = pad, .pad_h = pad, .pad_w = pad}, {Unary::relu})
                   : conv2d(t[0], t[1], t[2], {.pad_h = pad, .pad_w = pad}, {Unary::relu});
    };
    made.flop = 2 * real(x.elements()) / real(c) * real(filter.elements());
  } else if (op == "max_pool2d") {
    const Shape x{n("n"), n("h"), n("w"), n("c")};
    made.inputs = [=, &random] { return Tensors{random.normal(x)}; };
    made.run = [](const Tensors& t) { return max_pool2d(t[0], {}); };
    made.forward_bytes = real(x.elements()) * (size + (size + 1) / 4);
    made.backward_bytes = made.forward_bytes;
  } else if (op == "batch_norm_relu") {
    const Shape x{n("n"), n("h"), n("w"), n("c")};
    const int64_t c = n("c");
    made.inputs = [=, &random] {
      return Tensors{random.normal(x), random.statistics({c}), random.statistics({c}), random.statistics({c}),
                     random.statistics({c})};
    };
    made.run = [](const Tensors& t) { return batch_norm(t[0], t[1], t[2], t[3], t[4], true, {}, {}, {Unary::relu}); };
    made.forward_bytes = 3 * size * real(x.elements());
    made.backward_bytes = 5 * size * real(x.elements());
  } else if (op == "layer_norm" || op == "residual_layer_norm") {
    const bool residual = op != "layer_norm";
    const Shape x{n("m"), n("c")};
    const int64_t c = n("c");
    made.inputs = [=, &random] {
      Tensors tensors{random.normal(x), random.statistics({c}), random.statistics({c})};
      if (residual) tensors.push_back(random.normal(x));
      return tensors;
    };
    made.run = [=](const Tensors& t) {
      return residual ? residual_layer_norm(t[0], t[3], t[1], t[2])[0] : layer_norm(t[0], t[1], t[2]);
    };
    made.forward_bytes = (residual ? 4 : 2) * size * real(x.elements());
    made.backward_bytes = 3 * size * real(x.elements());
  } else if (op == "cross_entropy") {
    const int64_t m = n("m"), c = n("c");
    made.inputs = [=, &random] { return Tensors{random.normal({m, c}), random.labels(m, c)}; };
    made.run = [](const Tensors& t) { return cross_entropy(t[0], t[1]); };
    made.forward_bytes = size * real(m * c);
    made.backward_bytes = 2 * size * real(m * c);
  } else if (op == "lstm") {
    const int64_t batch = n("n"), steps = n("t"), c = n("c"), h = n("h");
    made.inputs = [=, &random] {
      return Tensors{random.normal({batch, steps, c}), random.weight({4 * h, c}, h), random.weight({4 * h, h}, h),
                     random.weight({4 * h}, h), random.weight({4 * h}, h)};
    };
    made.run = [](const Tensors& t) { return lstm(t[0], t[1], t[2], t[3], t[4])[0]; };
    made.flop = 2 * real(batch * steps) * real(4 * h) * real(c + h);
  } else if (op == "attention") {
    const int64_t batch = n("n"), heads = n("h"), s = n("s"), d = n("d");
    made.inputs = [=, &random] { return Tensors{random.normal({batch, s, 3, heads, d})}; };
    made.run = [](const Tensors& t) { return attention_packed(t[0]); };
    made.flop = 4 * real(batch * heads) * real(s) * real(s) * real(d);
  } else {
    throw Error(concat("workloads: unknown op ", op), exit_code::kUsage);
  }
  return made;
}

void print(const json& w, const Settings& settings, const char* pass, const Timing& t, double bytes, double flop) {
  json line = {{"workload", w.at("name")},
               {"pass", pass},
               {"precision", settings.precision},
               {"implementation", tune_plans ? "engine tuned" : "engine"},
               {"ms", t.median},
               {"ms_p10", t.p10},
               {"ms_p90", t.p90},
               {"windows", t.windows}};
  if (bytes > 0) line["gb_per_s"] = bytes / t.median / 1e6;
  if (flop > 0) line["tflop_per_s"] = flop / t.median / 1e9;
  std::cout << line.dump() << std::endl;
}

void time_op(const json& w, const Settings& settings) {
  Inputs random(settings);
  const Workload workload = workload_of(w, settings, random);
  std::vector<Tensors> sets;
  double bytes = 0;
  do {
    sets.push_back(workload.inputs());
    for (const Tensor& input : sets.back()) bytes += static_cast<double>(input.bytes());
  } while (bytes < kCacheBytes && sets.size() < 64);
  const int64_t count = std::ssize(sets);
  const auto set = [&](int64_t i) -> const Tensors& { return sets[static_cast<size_t>(i)]; };

  print(w, settings, "forward",
        time_sets(
            settings.device, settings.record, count, [&](int64_t i) { workload.run(set(i)); }, settings.seconds),
        workload.forward_bytes, workload.flop);
  if (!workload.backward) return;
  for (const Tensors& inputs : sets)
    for (const Tensor& input : inputs)
      if (is_float(input.dtype()) && input.dtype() == settings.dtype()) input.set_requires_grad();
  const Tensor y = workload.run(set(0));
  const Tensor seed = y.rank() == 0 ? Tensor() : random.normal(y.shape());
  const auto both = [&](int64_t i) {
    workload.run(set(i)).backward(seed);
    for (const Tensor& input : set(i))
      if (input.requires_grad()) input.zero_grad();  // it lies in the recording's memory
  };
  print(w, settings, "forward+backward", time_sets(settings.device, settings.record, count, both, settings.seconds),
        workload.forward_bytes + workload.backward_bytes, 3 * workload.flop);
}

// The optimizer alone: norm of all gradients, clipping, AdamW, in bf16 also the copy that the model computes with.
void time_optimizer(const json& w, const Settings& settings) {
  const int64_t count = w.at("count");
  Inputs random(settings);
  const Tensor grad = random.normal({count}), param = Tensor::zeros({count}, DType::f32, settings.device);
  param.copy_from(grad);
  const Tensor m = Tensor::zeros_like(param), v = Tensor::zeros_like(param);
  const Tensor copy = settings.dtype() == DType::bf16 ? Tensor::empty_like(grad) : Tensor();
  const Tensor norm = Tensor::zeros({1}, DType::f32, settings.device);
  const StepScalars scalars = StepScalars::make(settings.device);
  fill(scalars.learning_rate, 1e-3);
  const auto call = [&](int64_t) {
    sum_of_squares(grad, norm);
    clip_and_flag(norm, 1.0, scalars);
    adam_update({.weight_decay = 0.01}, scalars, grad, param, m, v, copy);
  };
  const double per_element = settings.dtype() == DType::bf16 ? 2 + 28 : 4 + 28;
  print(w, settings, "forward", time_sets(settings.device, settings.record, 1, call, settings.seconds),
        per_element * static_cast<double>(count), 0);
}

// A training step as the trainer makes it, with the upload of the frames.
void time_step(const json& w, const Settings& settings) {
  const int64_t batch_size = w.at("batch"), frames = w.at("frames"), size = w.at("size");
  constexpr int64_t kClasses = 10;
  ModelFile description;
  description.model = w.at("model");
  for (int64_t i = 0; i < kClasses; ++i) description.classes.push_back(std::to_string(i));
  description.preprocessing.frames = frames;
  description.preprocessing.height = description.preprocessing.width = size;
  Classifier classifier(description);
  TrainerOptions options;
  options.optimizer.clip_norm = 1.0;
  options.schedule.total_steps = 1000000;
  options.device = settings.device;
  options.compute = settings.dtype();
  options.record = settings.record;
  Trainer trainer(classifier, options);
  Random random(3, 1);
  std::vector<Batch> batches;
  for (int i = 0; i < 4; ++i) {
    Batch batch{Tensor::empty({batch_size, frames, size, size, 3}, DType::u8), Tensor::empty({batch_size}, DType::i64),
                std::vector<int64_t>(static_cast<size_t>(batch_size))};
    for (uint8_t& value : batch.frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
    for (int64_t& label : batch.labels.values<int64_t>()) label = static_cast<int64_t>(random.below(kClasses));
    batches.push_back(std::move(batch));
  }
  size_t next = 0;
  const auto step = [&] {
    trainer.queue(batches[next++ % batches.size()]);
    if (trainer.pending() == trainer.most_pending()) trainer.results();
  };
  for (int i = 0; i < 8; ++i) step();
  const Timing timing = time_calls(settings.device, step, 1, settings.seconds);
  trainer.results();
  print(w, settings, "step", timing, 0, 0);
}

int body(int argc, char** argv) {
  CLI::App app("Times the workloads of a file; one JSON object a line.", "engine_compare");
  std::string file, device = "auto", only = ".*";
  std::vector<std::string> precisions = {"f32", "tf32", "bf16"};
  Settings settings;
  app.add_option("WORKLOADS", file, "bench/compare/workloads.json")->required();
  app.add_option("--device", device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--only", only, "Workloads whose name matches this regular expression");
  app.add_option("--precision", precisions, "f32, tf32, bf16")->delimiter(',');
  app.add_option("--seconds", settings.seconds, "Of measuring, for each")->check(CLI::Range(0.0, 600.0));
  bool eager = false;
  app.add_flag("--eager", eager, "Launch every kernel by itself instead of replaying a recording, for profilers");
  bool tune = false;
  app.add_flag("--tune", tune, "Choose plans by timing them, and print what was timed");
  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  tune_plans = tune;
  on_timed_plan = [](const std::string& problem, const std::string& plan, double ms) {
    std::cout << json{{"problem", problem}, {"plan", plan}, {"ms", ms}} << std::endl;
  };
  settings.device = device == "cpu" || (device == "auto" && !cuda_available()) ? kCpu : Device{DeviceType::cuda, 0};
  settings.record = !eager;
  std::ifstream text(file);
  if (!text) throw Error(concat(file, ": cannot be opened"), exit_code::kNoInput);
  const json workloads = json::parse(text);
  const std::regex wanted(only);
  for (const std::string& precision : precisions) {
    if (settings.device == kCpu && precision != "f32") continue;  // the CPU computes in f32
    settings.precision = precision;
    set_f32_products(precision == "tf32" ? F32Products::tf32 : F32Products::strict);
    for (const char* part : {"ops", "steps"}) {
      for (const json& w : workloads.at(part)) {
        const std::string name = w.at("name");
        if (!std::regex_search(name, wanted)) continue;
        try {
          if (part == std::string("steps"))
            time_step(w, settings);
          else if (w.at("op") == "adamw")
            time_optimizer(w, settings);
          else
            time_op(w, settings);
        } catch (const std::exception& error) {  // the others still count
          std::cout << json{{"workload", name},
                            {"precision", precision},
                            {"implementation", "engine"},
                            {"error", error.what()}}
                    << std::endl;
        }
      }
    }
  }
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine::bench

int main(int argc, char** argv) { return engine::run_program("engine_compare", argc, argv, engine::bench::body); }
