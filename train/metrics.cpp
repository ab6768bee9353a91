#include "train/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/tensor.h"
#include "train/head.h"
#include "train/label_metrics.h"
#include "train/regression_metrics.h"

namespace engine {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : kNone;
}

size_t widest(const std::vector<std::string>& names, size_t least) {
  for (const auto& name : names) least = std::max(least, name.size());
  return least;
}

}  // namespace

std::string to_text(const Figure& figure) {
  if (std::isnan(figure.value)) return "-";
  if (figure.kind == Figure::Kind::count) return fmt::format("{:.0f}", figure.value);
  return figure.kind == Figure::Kind::quantity ? fmt::format("{:.4g}", figure.value)
                                               : fmt::format("{:.3f}", figure.value);
}

std::unique_ptr<Metrics> make_metrics(const ModelFile& model) {
  if (model.head == Head::regression) return std::make_unique<RegressionMetrics>(model.targets);
  if (model.head == Head::multilabel) return std::make_unique<LabelMetrics>(model.classes.size());
  return std::make_unique<ClassMetrics>(std::ssize(model.classes));
}

void ClassMetrics::add(std::span<const float> outputs, std::span<const double> targets) {
  add(outputs, static_cast<int64_t>(targets[0]));
}

void ClassMetrics::add(std::span<const float> logits, int64_t label) {
  ENGINE_CHECK(static_cast<int64_t>(logits.size()) == classes_, "metrics: ", logits.size(), " logits for ", classes_,
               " classes");
  ENGINE_CHECK(label >= 0 && label < classes_, "metrics: label ", label, " of ", classes_, " classes");
  const auto largest = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - *largest);
  loss_sum_ += std::log(sum) + *largest - logits[static_cast<size_t>(label)];
  ++confusion_[static_cast<size_t>(label * classes_ + (largest - logits.begin()))];
  size_t rank = 0;
  const float own = logits[static_cast<size_t>(label)];
  for (size_t k = 0; k < logits.size(); ++k)
    rank += !(logits[k] <= own) || (logits[k] == own && k < static_cast<size_t>(label)) ? 1 : 0;
  if (rank < ranked_.size()) ++ranked_[rank];
  ++samples_;
}

int64_t ClassMetrics::count(int64_t truth, int64_t prediction) const {
  return confusion_[static_cast<size_t>(truth * classes_ + prediction)];
}

int64_t ClassMetrics::labelled(int64_t truth) const {
  int64_t sum = 0;
  for (int64_t prediction = 0; prediction < classes_; ++prediction) sum += count(truth, prediction);
  return sum;
}

int64_t ClassMetrics::predicted(int64_t prediction) const {
  int64_t sum = 0;
  for (int64_t truth = 0; truth < classes_; ++truth) sum += count(truth, prediction);
  return sum;
}

double ClassMetrics::loss() const { return samples_ > 0 ? loss_sum_ / static_cast<double>(samples_) : kNone; }

double ClassMetrics::accuracy() const {
  int64_t right = 0;
  for (int64_t label = 0; label < classes_; ++label) right += count(label, label);
  return ratio(right, samples_);
}

double ClassMetrics::top_accuracy(int64_t k) const {
  ENGINE_CHECK(k >= 1 && k <= std::ssize(ranked_), "metrics: top-", k, " accuracy");
  return ratio(std::accumulate(ranked_.begin(), ranked_.begin() + k, int64_t{0}), samples_);
}

double ClassMetrics::f1(int64_t label) const {
  return ratio(2 * count(label, label), labelled(label) + predicted(label));
}

double ClassMetrics::recall(int64_t truth) const { return ratio(count(truth, truth), labelled(truth)); }

double ClassMetrics::precision(int64_t prediction) const {
  return ratio(count(prediction, prediction), predicted(prediction));
}

double ClassMetrics::mean_recall() const {
  std::vector<double> recalls;
  for (int64_t label = 0; label < classes_; ++label) recalls.push_back(recall(label));
  return mean_of_numbers(recalls);
}

Evaluation ClassMetrics::result() const {
  Evaluation result{.samples = samples_, .loss = loss()};
  result.figures = {{"accuracy", "accuracy", accuracy()}, {"mean_class_recall", "mean class recall", mean_recall()}};
  std::vector<double> scores;
  for (int64_t label = 0; label < classes_; ++label) {
    result.outputs.push_back({{"clips", "samples", static_cast<double>(labelled(label)), Figure::Kind::count},
                              {"recall", "recall", recall(label)},
                              {"precision", "precision", precision(label)},
                              {"f1", "F1", f1(label)}});
    scores.push_back(f1(label));
    auto& row = result.confusion.emplace_back();
    for (int64_t column = 0; column < classes_; ++column) row.push_back(count(label, column));
  }
  result.more = {{"macro_f1", "macro F1", mean_of_numbers(scores)}};
  if (classes_ > std::ssize(ranked_)) result.more.push_back({"top5_accuracy", "top-5 accuracy", top_accuracy(5)});
  return result;
}

double mean_of_numbers(std::span<const double> values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : kNone;
}

std::string output_table(const Evaluation& evaluation, const std::vector<std::string>& names) {
  const std::string title = output_word(evaluation.head);
  const size_t width = widest(names, title.size());
  std::string text = fmt::format("{:<{}}", title, width);
  std::vector<size_t> widths;
  for (size_t column = 0; column < evaluation.outputs[0].size(); ++column) {
    std::vector<std::string> cells;
    for (const auto& figures : evaluation.outputs) cells.push_back(to_text(figures[column]));
    const std::string& heading = evaluation.outputs[0][column].title;
    widths.push_back(widest(cells, heading.size()));
    text += fmt::format("  {:>{}}", heading, widths.back());
  }
  text += '\n';
  for (size_t output = 0; output < names.size(); ++output) {
    text += fmt::format("{:<{}}", names[output], width);
    for (size_t column = 0; column < widths.size(); ++column)
      text += fmt::format("  {:>{}}", to_text(evaluation.outputs[output][column]), widths[column]);
    text += '\n';
  }
  return text;
}

std::string worst_classes(const Evaluation& evaluation, const std::vector<std::string>& names, size_t count) {
  struct Row {
    size_t label;
    int64_t right, all;
  };
  std::vector<Row> rows;
  for (size_t label = 0; label < names.size(); ++label) {
    const std::vector<int64_t>& row = evaluation.confusion[label];
    const int64_t all = std::accumulate(row.begin(), row.end(), int64_t{0});
    if (row[label] < all) rows.push_back({label, row[label], all});
  }
  const auto worse = [](const Row& a, const Row& b) { return a.right * b.all < b.right * a.all; };
  std::ranges::stable_sort(rows, worse);
  std::string text;
  for (const auto& [label, right, all] : std::span(rows).first(std::min(count, rows.size()))) {
    std::vector<int64_t> wrong = evaluation.confusion[label];
    wrong[label] = 0;
    const auto most = std::ranges::max_element(wrong);
    text += fmt::format("{}: {} of {} right; most taken for {}, {}\n", names[label], right, all,
                        names[static_cast<size_t>(most - wrong.begin())], *most);
  }
  return text;
}

std::string confusion_table(const Evaluation& evaluation, const std::vector<std::string>& names) {
  const size_t width = widest(names, 5) + 4;
  std::string text = fmt::format("{:<{}} ", "label", width);
  for (size_t column = 0; column < names.size(); ++column) text += fmt::format("{:>6}", column);
  text += "  (predicted)\n";
  for (size_t row = 0; row < names.size(); ++row) {
    text += fmt::format("{:<{}} ", fmt::format("{:>3} {}", row, names[row]), width);
    for (const int64_t count : evaluation.confusion[row]) text += fmt::format("{:>6}", count);
    text += "\n";
  }
  return text;
}

}  // namespace engine
