#include "bench/compare/passes.h"

#include <iostream>

#include "engine/autograd.h"
#include "engine/optimizer_ops.h"
#include "io/torch_weights.h"
#include "train/classifier.h"
#include "train/trainer.h"

namespace engine::bench {
namespace {

void visit_op(const json& w, const Settings& settings, const Visit& visit) {
  const auto random = std::make_shared<Inputs>(settings);  // the passes hold it, and the sets
  const auto workload = std::make_shared<const Workload>(workload_of(w, settings, *random));
  const auto sets = std::make_shared<std::vector<Tensors>>();
  double bytes = 0;
  do {
    sets->push_back(workload->inputs());
    for (const Tensor& input : sets->back()) bytes += static_cast<double>(input.bytes());
  } while (bytes < settings.cache_bytes && sets->size() < 64);
  const auto pass = [&](const char* name, const std::function<void(int64_t)>& call, double moved, double flop) {
    visit({name, work_on_sets(settings.device, settings.record, std::ssize(*sets), call), std::ssize(*sets), moved,
           flop});
  };
  const auto set = [sets](int64_t i) -> const Tensors& { return (*sets)[static_cast<size_t>(i)]; };
  const auto forward = [=](int64_t i) {
    const NoGrad no_grad;
    workload->run(set(i));
  };
  pass("forward", forward, workload->forward_bytes, workload->flop);
  if (!workload->backward) return;
  for (const Tensors& inputs : *sets)
    for (const Tensor& input : inputs)
      if (is_float(input.dtype()) && input.dtype() == settings.dtype()) input.set_requires_grad();
  const Tensor y = workload->run(set(0)).detach();
  const Tensor seed = y.rank() == 0 ? Tensor() : random->normal(y.shape());
  const auto both = [=](int64_t i) {
    workload->run(set(i)).backward(seed);
    for (const Tensor& input : set(i))
      if (input.requires_grad()) input.zero_grad();  // it lies in the recording's memory
  };
  pass("forward+backward", both, workload->forward_bytes + workload->backward_bytes, 3 * workload->flop);
}

// The optimizer alone: norm of all gradients, clipping, AdamW, in bf16 also the copy that the model computes with.
void visit_optimizer(const json& w, const Settings& settings, const Visit& visit) {
  const int64_t count = w.at("count");
  Inputs random(settings);
  const Tensor grad = random.normal({count}), param = Tensor::zeros({count}, DType::f32, settings.device);
  param.copy_from(grad);
  const Tensor m = Tensor::zeros_like(param), v = Tensor::zeros_like(param);
  const Tensor copy = settings.dtype() == DType::bf16 ? Tensor::empty_like(grad) : Tensor();
  const Tensor norm = Tensor::zeros({1}, DType::f32, settings.device);
  const StepScalars scalars = StepScalars::make(settings.device);
  fill(scalars.learning_rate, 1e-3);
  const auto call = [=](int64_t) {
    sum_of_squares(grad, norm);
    clip_and_flag(norm, 1.0, scalars);
    adam_update({.weight_decay = 0.01}, scalars, grad, param, m, v, copy);
  };
  const double per_element = settings.dtype() == DType::bf16 ? 2 + 28 : 4 + 28;
  visit({"forward", work_on_sets(settings.device, settings.record, 1, call), 1,
         per_element * static_cast<double>(count), 0});
}

// A model with its trainer, and random clips for it.
struct Training {
  Classifier classifier;
  Trainer trainer;
  std::vector<Batch> batches;
  size_t next = 0;

  static constexpr int64_t kClasses = 10;

  // dropout: "" is the model's own.
  Training(const json& w, const Settings& settings, const std::string& dropout)
      : classifier(describe(w, dropout)), trainer(classifier, options(settings)) {
    const int64_t batch_size = w.at("batch"), frames = w.at("frames"), size = w.at("size");
    Random random(3, 1);
    for (int i = 0; i < 4; ++i) {
      Batch batch{Tensor::empty({batch_size, frames, size, size, 3}, DType::u8),
                  Tensor::empty({batch_size}, DType::i64), std::vector<int64_t>(static_cast<size_t>(batch_size))};
      for (uint8_t& value : batch.frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
      for (int64_t& label : batch.labels.values<int64_t>()) label = static_cast<int64_t>(random.below(kClasses));
      batches.push_back(std::move(batch));
    }
  }

  static ModelFile describe(const json& w, const std::string& dropout) {
    ModelFile description;
    description.model = w.at("model");
    if (w.contains("model_size")) description.model_options["size"] = w.at("model_size");
    if (!dropout.empty()) description.model_options["dropout"] = dropout;
    for (int64_t i = 0; i < kClasses; ++i) description.classes.push_back(std::to_string(i));
    description.preprocessing.frames = w.at("frames");
    description.preprocessing.height = description.preprocessing.width = w.at("size");
    return description;
  }

  static TrainerOptions options(const Settings& settings) {
    TrainerOptions options;
    options.optimizer = {.kind = OptimizerKind::adam, .weight_decay = 0, .clip_norm = 1.0};
    options.schedule = {.kind = ScheduleKind::constant, .peak = 1e-3};
    options.device = settings.device;
    options.compute = settings.dtype();
    options.record = settings.record;
    return options;
  }

  const Batch& next_batch() { return batches[next++ % batches.size()]; }
};

// Writes the starting weights under PyTorch's names and the clips, and prints the losses of the first steps, without
// dropout, whose draws are each side's own.
void check_step(const json& w, const Settings& settings) {
  Training training(w, settings, "0");
  TensorFile file{{{"format", "pt"}},
                  to_torch(training.classifier.file().tensors, training.classifier.network().flattened_inputs())};
  json losses;
  for (size_t i = 0; i < training.batches.size(); ++i) {
    file.tensors.push_back({concat("batch", i, ".frames"), training.batches[i].frames});
    file.tensors.push_back({concat("batch", i, ".labels"), training.batches[i].labels});
  }
  write_safetensors(settings.state, file);
  for (size_t i = 0; i < training.batches.size(); ++i)
    losses.push_back(training.trainer.step(training.next_batch()).loss);
  std::cout << json{{"workload", w.at("name")}, {"losses", losses}} << std::endl;
}

// A training step as the trainer makes it, with the upload of the frames.
void visit_step(const json& w, const Settings& settings, const Visit& visit) {
  if (!settings.state.empty()) check_step(w, settings);
  const auto training = std::make_shared<Training>(w, settings, w.value("dropout", ""));
  const auto step = [training] {
    training->trainer.queue(training->next_batch());
    if (training->trainer.pending() == training->trainer.most_pending()) training->trainer.results();
  };
  for (int i = 0; i < (settings.device == kCpu ? 2 : 8); ++i) step();
  visit({"step", step});
  training->trainer.results();
}

}  // namespace

void visit_workload(const json& w, bool step, const Settings& settings, const Visit& visit) {
  if (step)
    visit_step(w, settings, visit);
  else if (w.at("op") == "adamw")
    visit_optimizer(w, settings, visit);
  else
    visit_op(w, settings, visit);
}

}  // namespace engine::bench
