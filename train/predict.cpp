#include "train/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "io/dataset.h"
#include "io/list_file.h"
#include "io/text.h"
#include "train/data_options.h"
#include "train/head.h"
#include "train/output.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

Tensor read_plan(FrameSource& source, const ClipPlan& plan) {
  const auto [width, height] = plan.view.size;
  const Tensor frames = Tensor::empty({1, std::ssize(plan.frames), height, width, 3}, DType::u8);
  read_clip(source, plan, frames.values<uint8_t>());
  return frames;
}

// What the model says of a clip.
std::vector<double> said(Evaluator& evaluator, const Tensor& clip) {
  return predictions(evaluator.classifier().description(), evaluator(clip).values<float>());
}

}  // namespace

Classifier open_model(const ModelChoice& choice) {
  Classifier classifier = Classifier::load(choice.path);
  const Device device = resolve(choice.device);
  classifier.move_to(device, resolve(choice.precision, device));
  return classifier;
}

std::vector<std::string> videos_at(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw Error(concat(escaped(path), ": no such file"), exit_code::kNoInput);
  if (!fs::is_directory(path, ignored)) return is_list_name(path) ? read_paths(path) : std::vector{path};
  const bool is_clip = std::ranges::any_of(fs::directory_iterator(path, ignored), [](const auto& entry) {
    return is_image_name(entry.path().filename().string());
  });
  if (is_clip) return {path};
  const std::vector<std::string> videos = find_clips(path);
  if (videos.empty()) throw Error(concat(escaped(path), ": no video in this folder"), exit_code::kNoInput);
  return videos;
}

VideoFiles::VideoFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths)
    guarded([&] {
      const auto index = present_index(path);
      std::ranges::copy(videos_at(path), std::back_inserter(names_));
      indices_.resize(names_.size(), index);
    });
}

void VideoFiles::for_each(const std::function<void(const std::string& name, const VideoIndex* index)>& work) {
  for (size_t i = 0; i < names_.size() && !std::ferror(stdout); ++i)
    guarded([&] { work(names_[i], indices_[i].get()); });
}

void VideoFiles::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.code() != exit_code::kData && error.code() != exit_code::kNoInput) throw;
    print_err(fmt::format("engine_predict: error: {}\n", error.what()));
    if (code_ == exit_code::kOk) code_ = error.code();
  }
}

Tensor clip_of(const Preprocessing& preprocessing, const std::string& file, const VideoIndex* index) {
  const ClipOptions options = clip_options(preprocessing);
  const auto source = open_present(file, index, source_options(preprocessing));
  return read_plan(*source, plan_clip(clip_source(*source, options, file), options, nullptr));
}

Prediction classify(Evaluator& evaluator, const std::string& file, const VideoIndex* index) {
  return {file, said(evaluator, clip_of(evaluator.classifier().description().preprocessing, file, index))};
}

void classify_windows(Evaluator& evaluator, const std::string& file, const VideoIndex* index, int64_t hop,
                      const std::function<void(const Prediction&)>& tell) {
  const Preprocessing& preprocessing = evaluator.classifier().description().preprocessing;
  const ClipOptions options = clip_options(preprocessing);
  const auto source = open_present(file, index, source_options(preprocessing));
  const std::vector<double>& times = source->times();
  for (const ClipPlan& plan : plan_windows(clip_source(*source, options, file), options, hop)) {
    Window window{plan.frames.front(), std::ranges::max(plan.frames)};
    if (!times.empty())
      window.begin = times[static_cast<size_t>(window.first)], window.end = times[static_cast<size_t>(window.last)];
    tell({file, said(evaluator, read_plan(*source, plan)), window});
  }
}

std::vector<size_t> top_classes(const std::vector<double>& probabilities, size_t count) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

std::vector<size_t> told_outputs(Head head, const std::vector<double>& values, size_t top) {
  std::vector<size_t> order = top_classes(values, head == Head::classification ? top : values.size());
  if (head == Head::regression) std::ranges::sort(order);
  if (head == Head::multilabel) std::erase_if(order, [&](size_t i) { return !(values[i] > kLabelThreshold); });
  return order;
}

std::string file_beside(const std::string& folder, const std::string& video, const std::string& suffix,
                        std::vector<std::string>& taken) {
  fs::path named = video;
  if (!named.has_filename()) named = named.parent_path();  // "clip/"
  const std::string stem = named.stem().string();
  std::string name = stem + suffix;
  for (int number = 2; std::ranges::find(taken, name) != taken.end(); ++number)
    name = concat(stem, "-", number, suffix);
  taken.push_back(name);
  return (fs::path(folder) / name).string();
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    throw Error(concat("cannot make folder '", escaped(folder), "': ", error.message(),
                       "; choose a place that can be written to"),
                exit_code::kStorage);
}

}  // namespace engine
