#include "train/scores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "io/text.h"
#include "train/head.h"
#include "train/options.h"

namespace engine {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr double kLeast = 1e-300;  // stands for a probability of 0, whose logarithm is no number

std::string dumped(const ordered_json& object) {
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

const char* value_word(Head head) { return head == Head::regression ? "values" : "probabilities"; }

ordered_json header(const Scores& scores) {
  const ModelFile& model = scores.model;
  ordered_json object = {{"kind", "scores"},
                         {"part", scores.part},
                         {"head", name_of(model.head)},
                         {output_word(model.head, true), model.classes}};
  if (model.head == Head::regression)
    object.update({{"mean", model.targets.mean}, {"deviation", model.targets.deviation}});
  object.update({{"clips", scores.views.clips}, {"crops", count_of(scores.views.crops)}});
  return object;
}

ordered_json label_of(const ModelFile& model, const std::vector<double>& targets) {
  if (model.head == Head::classification) return model.classes[static_cast<size_t>(targets[0])];
  if (model.head == Head::regression) return targets;
  ordered_json labels = ordered_json::array();
  for (size_t i = 0; i < targets.size(); ++i)
    if (targets[i] > 0) labels.push_back(model.classes[i]);
  return labels;
}

size_t number_of(const ModelFile& model, const std::string& name) {
  const auto found = std::ranges::find(model.classes, name);
  ENGINE_CHECK(found != model.classes.end(), "no ", output_word(model.head), " is called \"", escaped(name), "\"");
  return static_cast<size_t>(found - model.classes.begin());
}

std::vector<double> targets_of(const ModelFile& model, const json& label) {
  if (model.head == Head::classification) return {static_cast<double>(number_of(model, label.get<std::string>()))};
  if (model.head == Head::regression) return label.get<std::vector<double>>();
  std::vector<double> targets(model.classes.size());
  for (const json& name : label) targets[number_of(model, name.get<std::string>())] = 1;
  return targets;
}

// null stands for what is not a number.
std::vector<double> numbers_in(const json& list) {
  std::vector<double> numbers;
  for (const json& each : list)
    numbers.push_back(each.is_null() ? std::numeric_limits<double>::quiet_NaN() : each.get<double>());
  return numbers;
}

// Outputs of a network that would say this.
std::vector<float> outputs_for(const ModelFile& model, const std::vector<double>& values) {
  std::vector<float> result;
  for (size_t k = 0; k < values.size(); ++k) {
    const double value = values[k];
    if (model.head == Head::regression)
      result.push_back(static_cast<float>((value - model.targets.mean.at(k)) / model.targets.deviation.at(k)));
    else
      result.push_back(
          static_cast<float>(std::log(std::max(value, kLeast)) -
                             (model.head == Head::multilabel ? std::log(std::max(1 - value, kLeast)) : 0)));
  }
  return result;
}

void read_header(const json& object, Scores& scores) {
  ENGINE_CHECK(object.at("kind") == "scores", "not a file that --scores wrote");
  ModelFile& model = scores.model;
  const std::string head = object.at("head");
  const auto found = std::ranges::find(kHeadNames, head, &HeadNames::value_type::first);
  ENGINE_CHECK(found != kHeadNames.end(), "no head is called \"", escaped(head), "\"");
  model.head = found->second;
  model.classes = object.at(output_word(model.head, true)).get<std::vector<std::string>>();
  ENGINE_CHECK(!model.classes.empty(), "no ", output_word(model.head, true));
  if (model.head == Head::regression) {
    model.targets = {object.at("mean").get<std::vector<double>>(), object.at("deviation").get<std::vector<double>>()};
    ENGINE_CHECK(
        model.targets.mean.size() == model.classes.size() && model.targets.deviation.size() == model.classes.size(),
        "a mean and a deviation for each target are expected");
  }
  scores.part = object.at("part");
  scores.views.clips = object.at("clips");
  const int crops = object.at("crops");
  for (const auto& [word, each] : kCropNames)
    if (count_of(each) == crops) scores.views.crops = each;
}

Scores::Clip clip_from(const json& object, const ModelFile& model) {
  Scores::Clip clip{object.at("clip"), {}, targets_of(model, object.at("label")), object.value("view", int64_t{0})};
  if (const auto outputs = object.find("outputs"); outputs != object.end())
    for (const double output : numbers_in(*outputs)) clip.outputs.push_back(static_cast<float>(output));
  else
    clip.outputs = outputs_for(model, numbers_in(object.at(value_word(model.head))));
  const size_t targets = model.head == Head::classification ? 1 : model.classes.size();
  ENGINE_CHECK(clip.outputs.size() == model.classes.size() && clip.targets.size() == targets, clip.outputs.size(),
               " values and ", clip.targets.size(), " targets for ", model.classes.size(), " ",
               output_word(model.head, true));
  return clip;
}

}  // namespace

std::string to_text(const Scores& scores) {
  const ModelFile& model = scores.model;
  std::string text = dumped(header(scores));
  for (const Scores::Clip& clip : scores.clips) {
    ordered_json object = {{"clip", clip.name}};
    if (scores.views.count() > 1) object["view"] = clip.view;
    object.update({{"label", label_of(model, clip.targets)},
                   {value_word(model.head), predictions(model, clip.outputs)},
                   {"outputs", clip.outputs}});
    text += dumped(object);
  }
  return text;
}

Scores read_scores(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(concat(escaped(path), ": no such file, or it cannot be read"), exit_code::kNoInput);
  Scores scores;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    try {
      const json object = json::parse(line);
      if (number == 1)
        read_header(object, scores);
      else
        scores.clips.push_back(clip_from(object, scores.model));
    } catch (const json::exception& error) {
      throw Error(concat(escaped(path), ":", number, ": not a line that --scores writes (", error.what(), ")"),
                  exit_code::kData);
    } catch (const Error& error) {
      throw Error(concat(escaped(path), ":", number, ": ", error.what()), exit_code::kData);
    }
  }
  if (scores.clips.empty())
    throw Error(concat(escaped(path), ": no scores in this file; eval --scores writes such files"), exit_code::kData);
  return scores;
}

ViewsEvaluation evaluate(const Scores& scores) {
  ViewsMetrics metrics(scores.model);
  int64_t sample = 0;
  for (const Scores::Clip& clip : scores.clips) {
    sample += clip.view == 0 ? 1 : 0;
    metrics.add(sample, clip.outputs, clip.targets);
  }
  return metrics.result();
}

}  // namespace engine
