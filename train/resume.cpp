#include "train/resume.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/plans.h"
#include "io/text.h"
#include "train/output.h"

namespace engine {
namespace {

constexpr int64_t kMostFailures = 3;

// Settings that change how long a run is, where it is and what it says, but no result; the clips are compared by
// themselves.
constexpr std::array kFree = {"data.path",
                              "data.train",
                              "data.val",
                              "data.test",
                              "data.classes",
                              "model.init_from",
                              "optim.epochs",
                              "optim.max_steps",
                              "optim.schedule_epochs",
                              "optim.patience",
                              "optim.max_time",
                              "optim.on_nan",
                              "optim.recompute",
                              "run.out",
                              "run.workers",
                              "run.loader_memory",
                              "run.progress",
                              "run.plans",
                              "run.tune",
                              "run.checkpoint_steps",
                              "run.checkpoint_minutes",
                              "run.keep_checkpoints"};

FoundCheckpoint newest_or_refuse(const std::string& folder) {
  std::string report;
  std::optional<FoundCheckpoint> found = newest_checkpoint(folder, report);
  print_err(report);
  if (!found)
    throw Error(concat("'", escaped(folder), "': no checkpoint to go on from; give the folder of a run, or train anew"),
                exit_code::kNoInput);
  return *std::move(found);
}

void check_settings(const OptionTable& table, const RunState& state, const std::string& where) {
  TrainOptions then;
  OptionTable old;
  declare(old, then);
  old.read_text(state.config, "settings of " + where);
  for (size_t i = 0; i < table.options().size(); ++i) {
    const Option &now = table.options()[i], &before = old.options()[i];
    if (now.key.empty() || std::ranges::count(kFree, now.key) > 0 || now.get() == before.get()) continue;
    throw Error(concat("--", now.flag, " is ", now.get(), ", but the run was trained with ", before.get(),
                       " so far; leave it out, or add --force to go on all the same"),
                exit_code::kUsage);
  }
}

}  // namespace

std::string settings_of_run(const std::string& folder) { return newest_or_refuse(folder).state.config; }

FoundCheckpoint checkpoint_to_resume(const TrainOptions& options, const OptionTable& table, const std::string& data) {
  FoundCheckpoint found = newest_or_refuse(options.resume);
  if (options.force) return found;
  check_settings(table, found.state, found.path);
  if (data != found.state.data)
    throw Error(concat(escaped(options.data), ": the clips, their labels or their order are not those that ",
                       found.path, " was trained on; bring them back, or add --force to go on all the same"),
                exit_code::kData);
  return found;
}

void SaveAttempts::attempt(const std::string& what, const std::function<void()>& save) {
  try {
    save();
    failures_ = 0;
  } catch (const Error& error) {
    if (error.code() != exit_code::kStorage || ++failures_ == kMostFailures) throw;
    print_err(concat("warning: ", what, " was not saved: ", error.what(), "; training goes on\n"));
  }
}

RunCheckpoints::RunCheckpoints(const TrainOptions& options, std::string folder, const Trainer& trainer, RunState start)
    : options_(options),
      trainer_(trainer),
      state_(std::move(start)),
      writer_(std::move(folder), options.keep_checkpoints),
      saved_step_(trainer.steps()) {}

bool RunCheckpoints::due() const {
  const int64_t steps = trainer_.steps() - saved_step_;
  if (options_.checkpoint_steps > 0 && steps >= options_.checkpoint_steps) return true;
  const std::chrono::duration<double, std::ratio<60>> minutes = Clock::now() - saved_;
  return options_.checkpoint_minutes > 0 && minutes.count() >= options_.checkpoint_minutes;
}

void RunCheckpoints::save(const FitState& fit) {
  state_.model = trainer_.file();
  state_.model.epoch = std::ssize(fit.epochs);
  state_.model.step = trainer_.steps();
  if (fit.best_epoch > 0) {
    const double score = fit.epochs[static_cast<size_t>(fit.best_epoch - 1)].validation.score();
    state_.model.best_metric = std::isfinite(score) ? score : 0.0;
  }
  state_.trainer = trainer_.state();
  state_.fit = fit;
  state_.plans = chosen_plans(resolve(options_.device));
  saving_.attempt("a checkpoint", [&] { writer_.finish(); });
  writer_.write(trainer_.steps(), to_tensor_file(state_));
  saved_step_ = trainer_.steps();
  saved_ = Clock::now();
}

}  // namespace engine
