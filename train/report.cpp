#include "train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "train/chart.h"

namespace engine {
namespace {

using nlohmann::ordered_json;

std::string figure(double value) { return std::isfinite(value) ? fmt::format("{:.3f}", value) : "-"; }

std::string csv_figure(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : ""; }

ordered_json json_number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

std::string dump(const ordered_json& object) {
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

std::string epoch_line(const EpochReport& report, int64_t epochs) {
  const Metrics& validation = report.validation;
  return fmt::format("Epoch {}/{} train loss {} val loss {} Accuracy: {} mean class recall {} time {:.1f} s",
                     report.epoch, epochs, figure(report.train_loss), figure(validation.loss()),
                     figure(validation.accuracy()), figure(validation.mean_recall()), report.seconds);
}

std::string epoch_json(const EpochReport& report) {
  return dump({{"kind", "epoch"},
               {"epoch", report.epoch},
               {"train_loss", json_number(report.train_loss)},
               {"val_loss", json_number(report.validation.loss())},
               {"accuracy", json_number(report.validation.accuracy())},
               {"mean_class_recall", json_number(report.validation.mean_recall())},
               {"seconds", json_number(report.seconds)},
               {"clips_per_second", json_number(report.clips_per_second)},
               {"best", report.best}});
}

std::string test_line(const Metrics& metrics) {
  return fmt::format("Test accuracy: {} (mean class recall {})", figure(metrics.accuracy()),
                     figure(metrics.mean_recall()));
}

std::string metrics_json(const std::string& kind, const Metrics& metrics, const std::vector<std::string>& classes) {
  ordered_json per_class = ordered_json::array(), confusion = ordered_json::array();
  for (int64_t label = 0; label < metrics.classes(); ++label) {
    per_class.push_back({{"name", classes[static_cast<size_t>(label)]},
                         {"clips", metrics.labelled(label)},
                         {"recall", json_number(metrics.recall(label))},
                         {"precision", json_number(metrics.precision(label))}});
    ordered_json row = ordered_json::array();
    for (int64_t column = 0; column < metrics.classes(); ++column) row.push_back(metrics.count(label, column));
    confusion.push_back(row);
  }
  return dump({{"kind", kind},
               {"clips", metrics.samples()},
               {"loss", json_number(metrics.loss())},
               {"accuracy", json_number(metrics.accuracy())},
               {"mean_class_recall", json_number(metrics.mean_recall())},
               {"classes", per_class},
               {"confusion", confusion}});
}

std::string metrics_csv(const std::vector<EpochReport>& epochs) {
  std::string text = "epoch,train_loss,val_loss,accuracy,mean_class_recall,seconds,clips_per_second\n";
  for (const EpochReport& report : epochs)
    text += fmt::format("{},{},{},{},{},{:.3f},{:.2f}\n", report.epoch, csv_figure(report.train_loss),
                        csv_figure(report.validation.loss()), csv_figure(report.validation.accuracy()),
                        csv_figure(report.validation.mean_recall()), report.seconds, report.clips_per_second);
  return text;
}

std::string training_curves(const std::vector<EpochReport>& epochs, bool unicode) {
  std::vector<double> losses, accuracies;
  for (const EpochReport& report : epochs) {
    losses.push_back(report.train_loss);
    accuracies.push_back(report.validation.accuracy());
  }
  const int width = std::clamp(static_cast<int>(epochs.size()) * 6, 24, 72);
  const ChartStyle style{.width = width, .height = 7, .unicode = unicode};
  return draw_chart("train loss", losses, style) + draw_chart("val accuracy", accuracies, style);
}

std::string replaced_clips(const LoaderStats& stats, const Dataset& dataset) {
  std::string text;
  for (const LoaderStats::Bad& bad : stats.bad)
    text += fmt::format("warning: clip {} was replaced by another of its class: {}\n",
                        dataset.samples[static_cast<size_t>(bad.item)].name, bad.why);
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
