#include "train/recipe.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace engine {
namespace {

constexpr double kLargestCount = 1e9;

// "30,60,80": rising, each at least 1; "": none.
std::optional<std::vector<int64_t>> parse_rising(const std::string& text) {
  std::vector<int64_t> values;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    if (!values.empty() && *at++ != ',') return std::nullopt;
    const int64_t before = values.empty() ? 0 : values.back();
    const auto [stopped, error] = std::from_chars(at, end, values.emplace_back());
    if (error != std::errc() || values.back() <= before || values.back() > static_cast<int64_t>(kLargestCount))
      return std::nullopt;
    at = stopped;
  }
  return values;
}

}  // namespace

void declare(OptionTable& table, Recipe& recipe) {
  const Range count{.low = 0, .high = kLargestCount}, alpha{.low = 0, .high = 100};
  table.custom(
      {"milestones", "optim.milestones", "EPOCHS", "Schedule multistep: after which epochs the rate drops, as 30,60"},
      "rising whole numbers with commas, such as 30,60",
      [&recipe](const std::string& text) {
        const auto parsed = parse_rising(text);
        if (parsed) recipe.milestones = *parsed;
        return parsed.has_value();
      },
      [&recipe] { return fmt::format("{}", fmt::join(recipe.milestones, ",")); });
  table.integer({"plateau-patience", "optim.plateau_patience", "N",
                 "Schedule plateau: epochs without a lower validation loss before the rate drops"},
                recipe.plateau_patience, count);
  table.integer({"accumulate", "optim.accumulate", "N", "Batches of a step: their gradients add up before the update"},
                recipe.accumulate, {.low = 1, .high = 65536});
  table.number({"ema", "optim.ema", "DECAY",
                "Judge and keep a moving average of the weights, such as 0.999; 0: the weights themselves"},
               recipe.ema, {.low = 0, .high = 0.999999});
  table.boolean({"balance", "optim.balance", "", "Draw clips so that every class comes equally often"}, recipe.balance);
  table.number({"mixup", "optim.mixup", "ALPHA", "Blend clips by shares drawn from Beta(ALPHA, ALPHA); 0: never"},
               recipe.mixup, alpha);
  table.number({"cutmix", "optim.cutmix", "ALPHA", "Put a box of another clip into each, likewise; 0: never"},
               recipe.cutmix, alpha);
  table.number({"drop-path", "optim.drop_path", "X",
                "Leave out residual branches of a sample, the last with this probability, the first never"},
               recipe.drop_path, {.low = 0, .high = 0.95});
  table.boolean({"recompute", "optim.recompute", "",
                 "Keep less for the backward pass and compute it again: the same results, less memory, slower"},
                recipe.recompute);
  table.integer(
      {"patience", "optim.patience", "N", "Stop after so many epochs in a row that are not the best; 0: never"},
      recipe.patience, count);
  table.custom(
      {"max-time", "optim.max_time", "TIME", "Save and stop when so much time is gone, such as 90m or 2h; 0: no limit"},
      "0, or a number with s, m, h or d, such as 90m",
      [&recipe](const std::string& text) {
        const auto parsed = parse_duration(text);
        if (parsed) recipe.max_time = *parsed;
        return parsed.has_value();
      },
      [&recipe] { return duration_setting(recipe.max_time); });
  table.choice({"on-nan", "optim.on_nan", "HOW",
                "Gradients that are not finite: skip the step, up to three in a row; or stop at once"},
               recipe.stop_on_nan, {{"skip", false}, {"stop", true}});
  table.boolean({"overfit-batch", "", "",
                 "Only check whether the network learns one batch by heart, without augmentation; saves nothing"},
                recipe.overfit_batch);
}

std::optional<double> parse_duration(const std::string& text) {
  constexpr std::array<std::pair<char, double>, 4> kUnits = {{{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};
  if (text == "0") return 0.0;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || end - stopped != 1 || !(value > 0 && value <= kLargestCount)) return std::nullopt;
  for (const auto& [unit, seconds] : kUnits)
    if (*stopped == unit) return value * seconds;
  return std::nullopt;
}

std::string duration_setting(double seconds) { return seconds == 0 ? "0" : fmt::format("{}s", seconds); }

}  // namespace engine
