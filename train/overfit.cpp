#include "train/overfit.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "train/output.h"
#include "train/signals.h"
#include "train/weights.h"

namespace engine {
namespace {

constexpr int64_t kShownEvery = 25;  // steps

TrainerOptions trainer_options(const TrainOptions& options, const Dataset& dataset, Classifier& classifier) {
  TrainerOptions trainer;
  trainer.optimizer = {
      .kind = options.optimizer, .weight_decay = 0, .momentum = options.momentum, .clip_norm = options.clip_norm};
  trainer.schedule = {.kind = ScheduleKind::constant, .peak = options.learning_rate};
  trainer.seed = static_cast<uint64_t>(options.seed);
  trainer.clips = &dataset;
  trainer.device = resolve(options.device);
  trainer.compute = resolve(options.precision, trainer.device);
  if (!options.freeze.empty()) trainer.is_frozen = frozen_by(options.freeze, classifier.network());
  return trainer;
}

std::string verdict(const OverfitResult& result, size_t clips) {
  if (result.learnt())
    return fmt::format("overfit: loss {:.4g} -> {:.4g} in {} steps: the network learns {} clips by heart\n",
                       result.first_loss, result.loss, result.steps, clips);
  return fmt::format(
      "overfit: loss {:.4g} -> {:.4g} in {} steps, not {}: the network does not learn {} clips by heart; try another "
      "--lr, more --max-steps or a larger model, and look for clips that are alike but have different labels\n",
      result.first_loss, result.loss, result.steps, kLearntLoss, clips);
}

}  // namespace

OverfitResult overfit(Trainer& trainer, const Batch& batch, int64_t most_steps,
                      const std::function<bool(const OverfitResult&)>& proceed) {
  OverfitResult result;
  while (result.steps < most_steps) {
    result.loss = trainer.step(batch).loss;
    if (result.steps++ == 0) result.first_loss = result.loss;
    if (result.learnt() || (proceed && !proceed(result))) break;
  }
  return result;
}

int overfit_batch(const TrainOptions& options, const Dataset& dataset, LoaderOptions loader, Classifier& classifier) {
  const StopSignals signals;
  loader.training = loader.balance = false;
  loader.on_bad = BadClip::leave_out;
  Loader clips(dataset, loader);
  clips.start_epoch(0);
  Batch batch;
  if (!clips.next(batch))
    throw Error(concat(dataset.source, ": no clip can be read; see engine_data check"), exit_code::kData);
  Trainer trainer(classifier, trainer_options(options, dataset, classifier));
  const auto show = [](const OverfitResult& at) {
    if (at.steps == 1 || at.steps % kShownEvery == 0)
      print_err(fmt::format("overfit: step {}  loss {:.4g}\n", at.steps, at.loss));
    return StopSignals::received() == 0;
  };
  const OverfitResult result = overfit(trainer, batch, options.max_steps > 0 ? options.max_steps : kOverfitSteps, show);
  if (const int signal = StopSignals::received(); signal != 0) return stop_exit_code(signal);
  const nlohmann::ordered_json line = {{"kind", "overfit"},     {"clips", batch.items.size()},
                                       {"steps", result.steps}, {"first_loss", result.first_loss},
                                       {"loss", result.loss},   {"learnt", result.learnt()}};
  print_out(options.json ? line.dump() + "\n" : verdict(result, batch.items.size()));
  return exit_code::kOk;
}

}  // namespace engine
