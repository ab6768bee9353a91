#include "train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

#include "train/chart.h"
#include "train/head.h"

namespace engine {
namespace {

using nlohmann::ordered_json;

std::string figure(double value) { return std::isfinite(value) ? fmt::format("{:.3f}", value) : "-"; }

std::string csv_figure(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }

ordered_json json_number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

std::string dump(const ordered_json& object) {
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// JSON has integers for what is counted.
void add(ordered_json& object, const std::vector<Figure>& figures) {
  for (const Figure& each : figures)
    object[each.key] =
        each.kind == Figure::Kind::count ? ordered_json(std::llround(each.value)) : json_number(each.value);
}

std::string capitalized(std::string text) {
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace

std::string epoch_line(const EpochReport& report, int64_t epochs) {
  std::string figures;
  for (const Figure& each : report.validation.figures)
    figures += figures.empty() ? fmt::format("{}: {}", capitalized(each.title), to_text(each))
                               : fmt::format(" {} {}", each.title, to_text(each));
  return fmt::format("Epoch {}/{} train loss {} val loss {} {} time {:.1f} s", report.epoch, epochs,
                     figure(report.train_loss), figure(report.validation.loss), figures, report.seconds);
}

std::string epoch_json(const EpochReport& report, const LoaderStats& loading) {
  ordered_json object = {{"kind", "epoch"},
                         {"epoch", report.epoch},
                         {"train_loss", json_number(report.train_loss)},
                         {"val_loss", json_number(report.validation.loss)}};
  add(object, report.validation.figures);
  object.update({{"seconds", json_number(report.seconds)},
                 {"clips_per_second", json_number(report.clips_per_second)},
                 {"best", report.best}});
  ordered_json& loader = object["loader"];
  loader = {{"wait_seconds", loading.wait_seconds}, {"blocked_seconds", loading.blocked_seconds}};
  for (size_t i = 0; i < kStages; ++i) loader[concat(kStageNames[i], "_seconds")] = loading.stages[i];
  return dump(object);
}

std::string test_line(const Evaluation& evaluation) {
  std::string rest;
  for (const Figure& each : std::span(evaluation.figures).subspan(1))
    rest += fmt::format("{}{} {}", rest.empty() ? "" : ", ", each.title, to_text(each));
  const Figure& first = evaluation.figures.front();
  return fmt::format("Test {}: {} ({})", first.title, to_text(first), rest);
}

std::string metrics_json(const std::string& kind, const Evaluation& evaluation, const std::vector<std::string>& names) {
  ordered_json object = {{"kind", kind}, {"clips", evaluation.samples}, {"loss", json_number(evaluation.loss)}};
  add(object, evaluation.figures);
  add(object, evaluation.more);
  ordered_json outputs = ordered_json::array();
  for (size_t i = 0; i < names.size(); ++i) {
    outputs.push_back({{"name", names[i]}});
    add(outputs.back(), evaluation.outputs[i]);
  }
  object[output_word(evaluation.head, true)] = outputs;
  if (evaluation.head == Head::classification) object["confusion"] = evaluation.confusion;
  return dump(object);
}

std::string to_text(const Views& views) {
  return fmt::format("{} views of each: {} clip{} x {} crop{}", views.count(), views.clips, views.clips == 1 ? "" : "s",
                     count_of(views.crops), views.crops == TestCrops::centre ? "" : "s");
}

std::string single_views_line(const Evaluation& views) {
  std::string text = fmt::format("Single views: {}, loss {:.4f}", views.samples, views.loss);
  for (const Figure& each : views.figures) text += fmt::format(", {} {}", each.title, to_text(each));
  return text;
}

std::string metrics_json(const std::string& kind, const ViewsEvaluation& evaluation, const Views& views,
                         const std::vector<std::string>& names) {
  const std::string text = metrics_json(kind, evaluation.videos, names);
  if (views.count() == 1) return text;
  ordered_json object = ordered_json::parse(text);
  ordered_json& single = object["views"] = {{"clips", views.clips},
                                            {"crops", count_of(views.crops)},
                                            {"count", evaluation.views.samples},
                                            {"loss", json_number(evaluation.views.loss)}};
  add(single, evaluation.views.figures);
  return dump(object);
}

std::string metrics_csv(const std::vector<EpochReport>& epochs) {
  std::string text = "epoch,train_loss,val_loss";
  for (const Figure& each : epochs.front().validation.figures) text += fmt::format(",{}", each.key);
  text += ",seconds,clips_per_second\n";
  for (const EpochReport& report : epochs) {
    text += fmt::format("{},{},{}", report.epoch, csv_figure(report.train_loss), csv_figure(report.validation.loss));
    for (const Figure& each : report.validation.figures) text += fmt::format(",{}", csv_figure(each.value));
    text += fmt::format(",{:.3f},{:.2f}\n", report.seconds, report.clips_per_second);
  }
  return text;
}

std::string training_curves(const std::vector<EpochReport>& epochs, bool unicode) {
  std::vector<double> losses, scores;
  for (const EpochReport& report : epochs) {
    losses.push_back(report.train_loss);
    scores.push_back(report.validation.score());
  }
  const int width = std::clamp(static_cast<int>(epochs.size()) * 6, 24, 72);
  const ChartStyle style{.width = width, .height = 7, .unicode = unicode};
  return draw_chart("train loss", losses, style) +
         draw_chart(concat("val ", epochs.front().validation.figures.front().title), scores, style);
}

std::string to_text(const LoaderMemory& memory) {
  const auto mib = [](int64_t bytes) {
    const double size = static_cast<double>(bytes) / (1 << 20);
    return size < 10 ? fmt::format("{:.1f} MiB", std::ceil(10 * size) / 10)
                     : fmt::format("{:.0f} MiB", std::ceil(size));
  };
  const auto count = [](int64_t n, const char* word) { return fmt::format("{} {}{}", n, word, n == 1 ? "" : "s"); };
  const std::string who =
      memory.workers == 0
          ? "no workers"
          : fmt::format("{}, {} ahead", count(memory.workers, "worker"),
                        memory.batches == 2 ? "1 batch" : fmt::format("{} batches", memory.batches - 1));
  return fmt::format("loader  {}, at most {} (batches {} x {}, decoders {} x {})", who, mib(memory.total()),
                     memory.batches, mib(memory.batch_bytes), std::max<int64_t>(1, memory.workers),
                     mib(memory.worker_bytes));
}

std::string waiting_warning(const LoaderStats& stats, double seconds, int64_t workers, int64_t cores) {
  constexpr double kMuchWaiting = 0.2;
  const double part = stats.wait_seconds / std::max(seconds, 1e-9);
  if (!(part > kMuchWaiting)) return "";
  std::array<size_t, kStages> order{};
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater{}, [&](size_t stage) { return stats.stages[stage]; });
  const double total = std::max(std::accumulate(stats.stages.begin(), stats.stages.end(), 0.0), 1e-9);
  std::string shares;
  for (const size_t stage : order)
    shares +=
        fmt::format("{}{} {:.0f} %", shares.empty() ? "" : ", ", kStageNames[stage], 100 * stats.stages[stage] / total);
  const auto largest = static_cast<Stage>(order[0]);
  // Reading waits for the disk, so that more of it at a time helps even where every core has its worker.
  const std::string more = workers < cores || largest == Stage::read
                               ? fmt::format("more --workers ({} now, {} cores); ", workers, cores)
                               : "";
  constexpr std::array<const char*, kStages> kAdvice = {
      "`engine_data shard DATA` stores clips decoded, which are opened faster and take more space",
      "a faster disk, or smaller files", "`engine_data check DATA` tells what re-encoding would give",
      "videos of fewer pixels, or a smaller --size"};
  return fmt::format("warning: {:.0f} % of the epoch went into waiting for clips ({}): {}{}\n", 100 * part, shares,
                     more, kAdvice[order[0]]);
}

std::string ReplacedClips::tell(const LoaderStats& stats, const Dataset& dataset) {
  std::string text;
  for (const LoaderStats::Bad& bad : stats.bad) {
    ++times_;
    if (!why_.emplace(bad.item, bad.why).second) continue;
    text += fmt::format("warning: clip {} was replaced by another{}: {}\n",
                        dataset.samples[static_cast<size_t>(bad.item)].name,
                        dataset.head == Head::classification ? " of its class" : "", bad.why);
  }
  return text;
}

std::string ReplacedClips::summary(const Dataset& dataset) const {
  constexpr size_t kMost = 20;
  if (why_.empty()) return "";
  std::string text = fmt::format("{} of {} clips could not be read and had others in their places, {} times in all:\n",
                                 why_.size(), dataset.samples.size(), times_);
  size_t told = 0;
  for (const auto& [item, why] : why_) {
    if (told++ == kMost) return text + fmt::format("  and {} more\n", why_.size() - kMost);
    text += fmt::format("  {}: {}\n", dataset.samples[static_cast<size_t>(item)].name, why);
  }
  return text;
}

std::string left_out_clips(const LoaderStats& stats, const Dataset& dataset) {
  if (stats.bad.empty()) return "";
  const LoaderStats::Bad& first = stats.bad.front();
  return fmt::format("warning: {} of {} clips could not be read and are left out of the figures; the first: {}: {}\n",
                     stats.bad.size(), stats.bad.size() + static_cast<size_t>(stats.clips),
                     dataset.samples[static_cast<size_t>(first.item)].name, first.why);
}

}  // namespace engine
