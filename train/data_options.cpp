#include "train/data_options.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>

#include "io/list_file.h"
#include "io/text.h"
#include "train/cli.h"
#include "train/data_index.h"

namespace engine {
namespace {

constexpr int kEvaluationBatch = 8;
constexpr size_t kClipsToTry = 8;

}  // namespace

Sampling sampling_named(const std::string& name) {
  if (name == "uniform") return Sampling::uniform;
  if (name == "dense") return Sampling::dense;
  throw Error(concat("sampling must be uniform or dense, not '", name, "'"), exit_code::kCheckpoint);
}

SourceOptions source_options(const Preprocessing& preprocessing) {
  const auto& name = preprocessing.untagged;
  return {.untagged = name == "709" ? Untagged::bt709 : name == "auto" ? Untagged::automatic : Untagged::bt601};
}

SplitOptions split_options(const TrainOptions& options) {
  return {.val_fraction = options.val_fraction,
          .seed = static_cast<uint64_t>(options.seed),
          .head = options.head,
          .train_list = options.train_list,
          .val_list = options.val_list,
          .test_list = options.test_list,
          .classes_file = options.classes_file,
          .split_number = static_cast<int>(options.split_number)};
}

Preprocessing preprocessing(const TrainOptions& options) {
  return {.frames = *options.frames,
          .stride = options.stride,
          .sampling = options.sampling,
          .height = options.size->height,
          .width = options.size->width,
          .input = options.input,
          .mean = options.normalize.mean,
          .deviation = options.normalize.deviation,
          .untagged = options.untagged,
          .rgb_first = options.rgb_first,
          .fps = options.fps,
          .short_videos = options.short_videos,
          .sar = options.sar};
}

ClipOptions clip_options(const Preprocessing& preprocessing) {
  std::array<double, 3> pad{};  // 0 in the network's input, as near as 8 bits come
  for (size_t c = 0; c < 3; ++c) pad[c] = std::clamp(255 * preprocessing.mean[c], 0.0, 255.0);
  const auto policy = std::ranges::find_if(kShortVideoNames,
                                           [&](const auto& name) { return preprocessing.short_videos == name.first; });
  ENGINE_CHECK(policy != kShortVideoNames.end(), "short videos: no policy is called ", preprocessing.short_videos);
  return {.frames = static_cast<int>(frames_to_read(preprocessing)),
          .stride = static_cast<int>(preprocessing.stride),
          .sampling = sampling_named(preprocessing.sampling),
          .height = static_cast<int>(preprocessing.height),
          .width = static_cast<int>(preprocessing.width),
          .fps = preprocessing.fps,
          .short_videos = policy->second,
          .pad = pad,
          .sar = preprocessing.sar,
          .augment = {.rgb_first = preprocessing.rgb_first}};
}

LoaderOptions evaluation_loader(const Preprocessing& preprocessing, int64_t workers, int64_t clips, TestCrops crops) {
  ClipOptions clip = clip_options(preprocessing);
  clip.clips = static_cast<int>(clips);
  clip.crops = crops;
  return {.clip = clip,
          .batch = kEvaluationBatch,
          .workers = static_cast<int>(workers),
          .training = false,
          .shuffle = false,
          .on_bad = BadClip::leave_out,
          .source = source_options(preprocessing)};
}

void check_head(const TrainOptions& options) {
  const auto refuse_with = [&](const char* flag, const char* advice) {
    throw Error(concat(flag, " makes no sense with --head ", name_of(options.head), "; ", advice), exit_code::kUsage);
  };
  if (options.head != Head::classification && options.label_smoothing > 0)
    refuse_with("--label-smoothing", "leave it out");
  if (options.head != Head::classification && options.recipe.balance)
    refuse_with("--balance", options.head == Head::multilabel ? "use --class-weights auto" : "numbers have no classes");
  if (options.head != Head::regression) return;
  if (options.class_weights == ClassWeights::automatic) refuse_with("--class-weights auto", "numbers have no classes");
  if (!options.flip_swap.empty()) refuse_with("--flip-swap", "numbers have no classes");
}

void check_recipe(const TrainOptions& options) {
  const auto refuse = [](const char* why) { throw Error(why, exit_code::kUsage); };
  const Recipe& recipe = options.recipe;
  const bool weighted = options.class_weights == ClassWeights::automatic;
  if ((options.schedule == ScheduleKind::multistep) == recipe.milestones.empty())
    refuse("--schedule multistep and --milestones belong together: give both, as in --milestones 30,60, or neither");
  if (weighted && recipe.balance) refuse("--balance and --class-weights auto make up for the same twice; use one");
  if (weighted && options.head == Head::classification && (recipe.mixup > 0 || recipe.cutmix > 0))
    refuse("--class-weights auto has no meaning for mixed clips; use --balance, or leave out --mixup and --cutmix");
}

std::vector<int64_t> mirrored_labels(const TrainOptions& options, const std::vector<std::string>& classes) {
  const auto refuse = [](const std::string& why) { throw Error("--flip-swap " + why, exit_code::kUsage); };
  const std::string& pair = options.flip_swap;
  if (pair.empty()) return {};
  if (!options.flip) refuse("is about mirrored clips; add --flip");
  const size_t colon = std::min(pair.find(':'), pair.size());
  const std::string first = pair.substr(0, colon), second = pair.substr(std::min(colon + 1, pair.size()));
  if (first.empty() || second.empty() || first == second)
    refuse(concat("must be A:B, the names of two classes, not '", escaped(pair), "'"));
  const auto label_of = [&](const std::string& name) {
    const auto found = std::ranges::find(classes, name);
    if (found == classes.end())
      refuse(concat(escaped(pair), ": the data have no class '", escaped(name), "'", did_you_mean(name, classes)));
    return static_cast<size_t>(found - classes.begin());
  };
  std::vector<int64_t> labels(classes.size());
  std::iota(labels.begin(), labels.end(), 0);
  std::swap(labels[label_of(first)], labels[label_of(second)]);
  return labels;
}

LoaderOptions training_loader(const TrainOptions& options, const std::vector<std::string>& classes) {
  const Preprocessing input = preprocessing(options);
  ClipOptions clip = clip_options(input);
  clip.temporal_jitter = static_cast<int>(options.temporal_jitter);
  AugmentOptions& augment = clip.augment;
  augment.min_scale = options.min_scale, augment.max_scale = options.max_scale;
  augment.random_crop = options.random_crop, augment.resized_crop = options.resized_crop;
  augment.min_area = options.min_area, augment.max_area = options.max_area;
  augment.min_ratio = options.min_ratio, augment.max_ratio = options.max_ratio;
  augment.rotation = options.rotate;
  augment.flip_probability = options.flip ? 0.5 : 0.0;
  augment.brightness = options.brightness, augment.contrast = options.contrast;
  augment.saturation = options.saturation, augment.hue = options.hue;
  augment.erase_probability = options.erase;
  if (options.standardize == "before")
    for (size_t c = 0; c < 3; ++c) augment.fill[c] = std::clamp(255 * input.mean[c], 0.0, 255.0);
  return {.clip = clip,
          .batch = static_cast<int>(options.batch),
          .workers = static_cast<int>(*options.workers),
          .memory = options.loader_memory.value_or(0),
          .balance = options.recipe.balance,
          .seed = static_cast<uint64_t>(options.seed),
          .mirrored_labels = mirrored_labels(options, classes),
          .source = source_options(input)};
}

Tensor balanced_class_weights(const Dataset& dataset, const std::vector<int64_t>& mirrored_labels) {
  const bool multilabel = dataset.head == Head::multilabel;
  std::vector<double> counts(dataset.classes.size(), 0.0);
  for (const Sample& sample : dataset.samples)
    if (multilabel)
      std::ranges::transform(counts, sample.targets, counts.begin(), std::plus{});
    else
      ++counts[static_cast<size_t>(sample.label)];
  if (!mirrored_labels.empty()) {  // half of the clips
    const std::vector<double> own = counts;
    for (size_t c = 0; c < own.size(); ++c) counts[c] = (own[c] + own[static_cast<size_t>(mirrored_labels[c])]) / 2;
  }
  const auto samples = static_cast<double>(dataset.samples.size());
  const double fair = samples / static_cast<double>(counts.size());
  std::vector<float> weights;
  for (const double count : counts)
    if (multilabel)
      weights.push_back(count > 0 && count < samples ? static_cast<float>((samples - count) / count) : 1.0f);
    else
      weights.push_back(count > 0 ? static_cast<float>(fair / count) : 0.0f);
  return Tensor::from(weights, {static_cast<int64_t>(weights.size())});
}

std::shared_ptr<const VideoIndex> present_index(const std::string& data) {
  std::error_code ignored;
  const std::filesystem::path path = data;
  const bool has_own = std::filesystem::is_directory(path, ignored) || is_list_name(data);
  const IndexPlace place = index_place(has_own ? data : std::filesystem::absolute(path).parent_path().string());
  try {
    return VideoIndex::open(place.read, place.folder);
  } catch (const Error& error) {
    if (error.code() != exit_code::kData && error.code() != exit_code::kNoInput) throw;
    return nullptr;
  }
}

std::unique_ptr<FrameSource> open_present(const std::string& path, const VideoIndex* index,
                                          const SourceOptions& options) {
  try {
    if (index) return open_frames(path, index, options);
  } catch (const Error&) {  // told below, if it is still so
  }
  return open_frames(path, options);
}

FrameSize picture_size(const Dataset& dataset, const VideoIndex* index) {
  for (size_t i = 0; i < dataset.samples.size() && i < kClipsToTry; ++i) {
    try {
      return open_present(dataset.samples[i].path, index)->size();
    } catch (const Error&) {
      continue;  // the loader decides what a bad clip means
    }
  }
  return {};
}

}  // namespace engine
