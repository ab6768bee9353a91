#include "train/mistakes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/video.h"
#include "train/head.h"

namespace engine {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMostPoints = 400;

ordered_json number(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

size_t largest(const std::vector<double>& values) {
  return static_cast<size_t>(std::ranges::max_element(values) - values.begin());
}

}  // namespace

Mistakes::Mistakes(const ModelFile& model, const Dataset& clips, size_t most)
    : model_(model), dataset_(clips), most_(most) {
  model_.tensors.clear();
  if (model_.head == Head::regression) points_.resize(model_.classes.size());
}

Mistakes::Clip Mistakes::judged(const JudgedVideo& video) const {
  Clip clip{.sample = video.sample,
            .badness = 0,
            .right = true,
            .values = predictions(model_, video.outputs),
            .targets = {video.targets.begin(), video.targets.end()},
            .frames = {}};
  if (model_.head == Head::classification) {
    const size_t predicted = largest(clip.values);
    clip.right = predicted == static_cast<size_t>(clip.targets[0]);
    clip.badness = clip.right ? -clip.values[predicted] : clip.values[predicted];
    return clip;
  }
  for (size_t i = 0; i < clip.values.size(); ++i) {
    const double value = clip.values[i], target = clip.targets[i];
    if (model_.head == Head::regression) {
      clip.badness = std::max(clip.badness, std::abs(value - target) / model_.targets.deviation[i]);
      continue;
    }
    const bool has = target > 0;
    clip.right = clip.right && (value > kLabelThreshold) == has;
    clip.badness -= std::log(std::max(has ? value : 1 - value, 1e-12));
  }
  return clip;
}

void Mistakes::add(const JudgedVideo& video) {
  Clip clip = judged(video);
  if (std::isnan(clip.badness)) clip.badness = INFINITY;
  ++clips_;
  wrong_ += clip.right ? 0 : 1;
  for (size_t i = 0; i < points_.size(); ++i) points_[i].emplace_back(clip.targets[i], clip.values[i]);
  const auto place = std::ranges::upper_bound(worst_, clip.badness, std::greater{}, &Clip::badness);
  if (place == worst_.end() && worst_.size() == most_) return;
  clip.frames = video.clip;
  worst_.insert(place, std::move(clip));
  if (worst_.size() > most_) worst_.pop_back();
}

void Mistakes::write(RunLog& log, const std::string& part, int64_t step, const HeatFinder& find_heat) const {
  ordered_json items = ordered_json::array();
  for (const Clip& clip : worst_) {
    const std::string name = fmt::format("mistake-{:02}", items.size() + 1);
    ordered_json item = {{"clip", dataset_.samples[static_cast<size_t>(clip.sample)].name}, {"right", clip.right}};
    ordered_json truth = ordered_json::array(), prediction = ordered_json::array();
    for (size_t i = 0; i < clip.values.size(); ++i) {
      const std::string& output = model_.classes[i];
      const ordered_json said = {{"name", output}, {"value", number(clip.values[i])}};
      if (model_.head == Head::classification) {
        if (i == static_cast<size_t>(clip.targets[0])) truth.push_back(said);
        if (i == largest(clip.values)) prediction.push_back(said);
      } else if (model_.head == Head::regression) {
        truth.push_back({{"name", output}, {"value", number(clip.targets[i])}});
        prediction.push_back(said);
      } else {
        if (clip.targets[i] > 0) truth.push_back(said);
        if (clip.values[i] > kLabelThreshold) prediction.push_back(said);
      }
    }
    item.update({{"truth", truth}, {"prediction", prediction}});
    if (video_available()) {
      item["frames"] = strip_frames(clip.frames.size(0));
      item["picture"] = name + ".png";
      log.picture(name + ".png", film_strip(clip.frames), step, concat(part, "/", name));
      if (find_heat) try {
          const Shape& shape = clip.frames.shape();
          const Explanation found = find_heat(clip.frames.reshape({1, shape[0], shape[1], shape[2], shape[3]}),
                                              static_cast<int64_t>(largest(clip.values)));
          log.picture(name + "-heat.png", film_strip(clip.frames, found.heat), step, concat(part, "/", name, "_heat"));
          item.update({{"heat", name + "-heat.png"}, {"method", found.method}});
        } catch (const Error& error) {  // of a model that has nothing to look at
          item["method"] = concat("none: ", error.what());
        }
    }
    items.push_back(item);
  }
  ordered_json object = {{"part", part}, {"clips", clips_}, {"wrong", wrong_}, {"items", items}};
  for (const auto& points : points_) {
    ordered_json kept = ordered_json::array();
    const size_t every = (points.size() + kMostPoints - 1) / kMostPoints;
    for (size_t i = 0; i < points.size(); i += every)
      kept.push_back({number(points[i].first), number(points[i].second)});
    object["points"].push_back(kept);
  }
  log.file(kMistakesFile, object.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace engine
