// What can be said to engine_train about how a run is trained, beside the basics in train/options.h; docs/training.md
// tells all of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/option_table.h"

namespace engine {

struct Recipe {
  std::vector<int64_t> milestones;  // epochs; of schedule multistep
  int64_t plateau_patience = 3;     // epochs; of schedule plateau
  int64_t accumulate = 1;           // batches of a step
  double ema = 0;                   // decay; 0: no average
  bool balance = false;
  double mixup = 0, cutmix = 0;  // alpha; 0: never
  double drop_path = 0;
  int64_t patience = 0;  // epochs; 0: never stops early
  double max_time = 0;   // seconds; 0: no limit
  bool stop_on_nan = false;
  bool recompute = false;
  bool overfit_batch = false;
};

// Declares them, all in section optim; `recipe` holds the defaults and must outlive the table.
void declare(OptionTable& table, Recipe& recipe);

// "90s", "30m", "1.5h" or "2d", or 0, in seconds.
std::optional<double> parse_duration(const std::string& text);
// The way back: "5400s".
std::string duration_setting(double seconds);

}  // namespace engine
