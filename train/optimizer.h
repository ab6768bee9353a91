// Which parameters move by which rule: the policy above the arithmetic of engine/optimizer_ops.h.
#pragma once

#include "engine/arena.h"
#include "engine/optimizer_ops.h"

namespace engine {

enum class OptimizerKind { sgd, adam, adamw };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adamw;
  double weight_decay = 0.01;  // of weights only; biases and norm parameters have none
  double momentum = 0.9;       // sgd
  double clip_norm = 0.0;      // gradients are scaled down to this norm over all parameters; 0: never
};

class Optimizer {
 public:
  // The arena must outlive the optimizer.
  Optimizer(const ParameterArena& arena, const OptimizerOptions& options);

  // The step that is about to be made: its number, the first is 1, and its learning rate.
  void begin_step(int64_t number, double learning_rate);
  // Moves the trainable parameters by the gradients in the arena; by nothing when one of these is not finite.
  void update();

  // One element each, in the memory of the device.
  const StepScalars& scalars() const { return scalars_; }
  // Of the last update. Both wait for the device.
  bool skipped() const { return scalars_.skip.item() != 0; }
  double gradient_norm() const;  // before clipping; not finite where the step was skipped

  // What it remembers from step to step, of every trained parameter: "first_moment.<parameter>" (sgd: the velocity)
  // and, of adam and adamw, "second_moment.<parameter>", in the parameter's shape. Views of the optimizer's own memory.
  std::vector<NamedTensor> moments() const;

 private:
  void update(const ParameterArena::Group& group);

  const ParameterArena& arena_;
  OptimizerOptions options_;
  StepScalars scalars_;
  Tensor squared_norms_, squared_norm_;  // of every trained group, and of all
  Tensor first_moment_, second_moment_;  // like the trained values; undefined where the rule has none
};

}  // namespace engine
