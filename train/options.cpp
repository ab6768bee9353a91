#include "train/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "io/loader.h"
#include "layers/models/registry.h"
#include "train/model_description.h"

namespace engine {
namespace {

constexpr double kLargestCount = 1e9;
// A model that looks at single frames needs few of them; the others see movement.
constexpr int64_t kFramesOfImageModel = 4, kFramesOfVideoModel = 12;
constexpr int64_t kMiB = int64_t{1} << 20, kGiB = 1024 * kMiB;
constexpr int kSmallestSide = 8, kLargestSide = 4096, kUsualSide = 64;

struct NamedNormalization {
  const char* name;
  Normalization value;
};
const NamedNormalization kNormalizations[] = {
    {"0..1", {{0, 0, 0}, {1, 1, 1}}},
    {"-1..1", {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}},
    {"imagenet", {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}},
};

template <class T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

std::optional<std::array<double, 3>> parse_triple(std::string_view text) {
  std::array<double, 3> values{};
  for (size_t i = 0; i < values.size(); ++i) {
    const bool is_last = i + 1 == values.size();
    const size_t comma = is_last ? text.size() : text.find(',');
    if (comma == std::string_view::npos) return std::nullopt;
    const auto value = parse<double>(text.substr(0, comma));
    if (!value) return std::nullopt;
    values[i] = *value;
    text.remove_prefix(is_last ? comma : comma + 1);
  }
  return values;
}

std::vector<std::pair<std::string, std::string>> words(const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, std::string>> choices;
  for (const std::string& name : names) choices.emplace_back(name, name);
  return choices;
}

// An option whose empty value is "auto".
template <class T>
std::function<bool(const std::string&)> set_or_auto(std::optional<T>& value,
                                                    std::optional<T> (*parse_text)(const std::string&)) {
  return [&value, parse_text](const std::string& text) {
    if (text == "auto") return value.reset(), true;
    const std::optional<T> parsed = parse_text(text);
    if (parsed) value = parsed;
    return parsed.has_value();
  };
}

void declare_data(OptionTable& table, TrainOptions& o) {
  table.group("Data");
  table.text({"DATA", "data.path", "",
              "A folder with a folder per class, a list of paths and labels, or train/val/test "
              "folders or lists"},
             o.data);
  table.text({"train", "data.train", "LIST", "List of training clips, instead of what is found in DATA"}, o.train_list);
  table.text({"val", "data.val", "LIST", "List of validation clips"}, o.val_list);
  table.text({"test", "data.test", "LIST", "List of test clips"}, o.test_list);
  table.text({"classes", "data.classes", "FILE", "Names of classes, targets or labels, one a line, in their order"},
             o.classes_file);
  table.number({"val-fraction", "data.val_fraction", "X",
                "Part of the training clips to validate on where DATA has no "
                "validation part"},
               o.val_fraction, {.low = 0, .high = 0.9});
  table.integer({"split-number", "data.split_number", "N",
                 "Which split of data sets that come with several, as UCF101 and HMDB51; 0: the first"},
                o.split_number, {.low = 0, .high = 99});
}

void declare_clips(OptionTable& table, TrainOptions& o) {
  table.group("Clips");
  table.integer({"frames", "clip.frames", "N", "Frames of a clip; auto: what suits the model"}, o.frames,
                {.low = 1, .high = 4096});
  table.choice(
      {"sampling", "clip.sampling", "HOW", "Where the frames are taken: over the whole video, or close together"},
      o.sampling, words({"uniform", "dense"}));
  table.integer(
      {"stride", "clip.stride", "N", "dense: from one frame to the next, in frames of the video, or of --fps"},
      o.stride, {.low = 1, .high = 4096});
  table.number({"fps", "clip.fps", "F",
                "dense: so many frames a second, by their times, whatever rate a video has; 0: the video's frames as "
                "they are numbered"},
               o.fps, {.low = 0, .high = 1000});
  std::vector<std::string> policies;
  for (const auto& [name, policy] : kShortVideoNames) policies.emplace_back(name);
  table.choice({"short", "clip.short", "HOW",
                "Videos shorter than a clip: their frames evenly, or from the start again; the last one, or the mean "
                "colour, for what is missing; left out; an error. auto: repeat, with --sampling dense last"},
               o.short_videos, words(policies));
  table.choice({"sar", "clip.sar", "HOW",
                "Pixels that are not square: taken as if they were, as others do, or the picture is as wide as it is "
                "meant to be"},
               o.sar, {{"ignore", false}, {"apply", true}});
  table.integer({"test-clips", "clip.test_clips", "N",
                 "The final test looks at so many clips of each video and averages what they say"},
                o.test_clips, {.low = 1, .high = 1000});
  table.choice({"test-crops", "clip.test_crops", "N",
                "... and at so many places of each: the centre; the ends too; corners and centre, also mirrored"},
               o.test_crops, kCropNames);
  table.custom({"size", "clip.size", "WIDTHxHEIGHT", "Pixels that frames are scaled to; one number: both sides"},
               "one number, or WIDTHxHEIGHT such as 320x240, 8 to 4096, or auto", set_or_auto(o.size, parse_frame_size),
               [&o] { return o.size ? fmt::format("{}x{}", o.size->width, o.size->height) : std::string("auto"); });
  table.choice(
      {"input", "clip.input", "WHAT", "What the model sees: colours, differences of neighbouring frames, or both"},
      o.input, words({"rgb", "diff", "rgb+diff"}));
  table.custom(
      {"normalize", "clip.normalize", "HOW", "Scaling of pixel values"},
      "0..1, -1..1, imagenet, or mean and deviation as r,g,b/r,g,b",
      [&o](const std::string& text) {
        const auto parsed = parse_normalization(text);
        if (parsed) o.normalize = *parsed;
        return parsed.has_value();
      },
      [&o] { return to_text(o.normalize); });
  table.choice({"untagged", "clip.untagged", "MATRIX",
                "Colours of videos that do not say what they are: BT.601, BT.709, or by size (709 from 720 rows on)"},
               o.untagged, words({"601", "709", "auto"}));
  table.boolean(
      {"rgb-first", "clip.rgb_first", "",
       "Make frames RGB at their own size before they are cut and resized, as PyTorch's pipelines do; slower"},
      o.rgb_first);
}

void declare_augmentation(OptionTable& table, TrainOptions& o) {
  table.group("Augmentation (training clips only)");
  table.boolean({"flip", "augment.flip", "",
                 "Mirror half of the clips left to right; wrong where left and right differ "
                 "in meaning"},
                o.flip);
  table.text({"flip-swap", "augment.flip_swap", "A:B",
              "Two classes that mirroring turns into each other, such as left:right: mirrored clips of one get the "
              "label of the other"},
             o.flip_swap);
  table.boolean({"random-crop", "augment.random_crop", "", "Cut clips at a random place instead of the centre"},
                o.random_crop);
  table.number({"min-scale", "augment.min_scale", "X", "Enlarge clips by a random factor, at least this"}, o.min_scale,
               {.low = 1, .high = 4});
  table.number({"max-scale", "augment.max_scale", "X", "... and at most this"}, o.max_scale, {.low = 1, .high = 4});
  table.boolean({"resized-crop", "augment.resized_crop", "",
                 "Instead of that, cut out a part of random area and shape, and resize it"},
                o.resized_crop);
  table.number({"min-area", "augment.min_area", "X", "resized-crop: of the picture's area, at least this part"},
               o.min_area, {.low = 0.01, .high = 1});
  table.number({"max-area", "augment.max_area", "X", "... and at most this"}, o.max_area, {.low = 0.01, .high = 1});
  table.number({"min-ratio", "augment.min_ratio", "X", "resized-crop: width over height, at least this"}, o.min_ratio,
               {.low = 1.0 / 16, .high = 16});
  table.number({"max-ratio", "augment.max_ratio", "X", "... and at most this"}, o.max_ratio,
               {.low = 1.0 / 16, .high = 16});
  table.number({"rotate", "augment.rotate", "DEGREES", "Turn clips by up to this, either way"}, o.rotate,
               {.low = 0, .high = 180});
  const Range part{.low = 0, .high = 1};
  table.number({"brightness", "augment.brightness", "X", "Scale brightness by a factor from 1 - X to 1 + X"},
               o.brightness, part);
  table.number({"contrast", "augment.contrast", "X", "The same of differences from mid-grey"}, o.contrast, part);
  table.number({"saturation", "augment.saturation", "X", "The same of differences from the pixel's grey"}, o.saturation,
               part);
  table.number({"hue", "augment.hue", "X", "Turn colours by up to this part of the circle"}, o.hue,
               {.low = 0, .high = 0.5});
  table.number({"erase", "augment.erase", "X", "Probability of erasing a rectangle, the same in all frames"}, o.erase,
               part);
  table.integer({"temporal-jitter", "augment.temporal_jitter", "N", "Move every frame by up to so many frames"},
                o.temporal_jitter, {.low = 0, .high = 4096});
  table.choice({"standardize", "augment.standardize", "WHEN",
                "Before augmentation: what is erased or uncovered is the mean (0 in the network's input); after it: "
                "black"},
               o.standardize, words({"before", "after"}));
}

void declare_model(OptionTable& table, TrainOptions& o) {
  table.group("Model");
  const std::vector<std::string> models = layers::model_names();
  table.custom(
      {"model", "model.name", "NAME", "The network, or a file that describes one (docs/models.md)"},
      "one of " + joined(models) + ", or a description, a file ending in .toml",
      [&o, models](const std::string& text) {
        const bool known = names_description(text) || std::ranges::find(models, text) != models.end();
        if (known) o.model = text;
        return known;
      },
      [&o] { return o.model; }, models);
  table.choice({"head", "model.head", "NAME", "What is learnt of a clip: its class, numbers, or several labels"},
               o.head, kHeadNames);
  const auto or_auto = [](const std::vector<std::string>& names) {
    auto choices = words(names);
    choices.insert(choices.begin(), {"auto", ""});
    return choices;
  };
  table.choice({"model-size", "model.size", "SIZE", "Of sora-serial and sora-fusion; auto: small"}, o.model_size,
               or_auto({"tiny", "small", "base"}));
  table.choice({"backbone", "model.backbone", "NAME",
                "What sora-serial and sora-fusion see single frames with; auto: sora-cnn, sized with them"},
               o.backbone, or_auto(layers::frame_model_names()));
  table.number({"dropout", "model.dropout", "X", "Probability of leaving a feature out; auto: the model's own"},
               o.dropout, {.low = 0, .high = 0.95});
  table.text(
      {"init-from", "model.init_from", "FILE",
       "Start from the weights of a checkpoint, or of a safetensors file with PyTorch's names and layouts: those "
       "whose name and shape are the model's"},
      o.init_from);
  table.text({"freeze", "model.freeze", "PATTERNS",
              "Parameters that are not trained, such as 'conv1.*' or 'layer1.*,layer2.*'; norms below them still "
              "follow the statistics of the clips"},
             o.freeze);
}

void declare_optimization(OptionTable& table, TrainOptions& o) {
  const Range part{.low = 0, .high = 1}, count{.low = 0, .high = kLargestCount};
  table.group("Optimization");
  table.integer({"epochs", "optim.epochs", "N", "Passes over the training clips"}, o.epochs,
                {.low = 1, .high = kLargestCount});
  table.integer({"max-steps", "optim.max_steps", "N", "Stop after so many steps; 0: no limit"}, o.max_steps, count);
  table.integer({"batch", "optim.batch", "N", "Clips of a step"}, o.batch, {.low = 1, .high = 65536});
  table.number({"lr", "optim.lr", "X", "Learning rate after the warm-up"}, o.learning_rate,
               {.low = 0, .high = 100, .above = true});
  table.number({"weight-decay", "optim.weight_decay", "X", "Decay of weights; biases and norm parameters are left out"},
               o.weight_decay, part);
  table.choice({"optimizer", "optim.optimizer", "NAME", "How gradients become steps"}, o.optimizer,
               {{"sgd", OptimizerKind::sgd}, {"adam", OptimizerKind::adam}, {"adamw", OptimizerKind::adamw}});
  table.number({"momentum", "optim.momentum", "X", "Momentum of sgd"}, o.momentum, part);
  table.choice({"schedule", "optim.schedule", "NAME", "How the learning rate goes on after the warm-up"}, o.schedule,
               {{"constant", ScheduleKind::constant},
                {"cosine", ScheduleKind::cosine},
                {"step", ScheduleKind::step},
                {"multistep", ScheduleKind::multistep},
                {"plateau", ScheduleKind::plateau}});
  table.integer(
      {"warmup", "optim.warmup", "N", "Steps over which the learning rate rises; auto: a twentieth of the run"},
      o.warmup, count);
  table.integer({"schedule-epochs", "optim.schedule_epochs", "N",
                 "Epochs that the schedule is laid out for; auto: those of the run when it started"},
                o.schedule_epochs, {.low = 1, .high = kLargestCount});
  table.integer({"drop-every", "optim.drop_every", "N", "Schedule step: epochs between two drops"}, o.drop_every,
                {.low = 1, .high = kLargestCount});
  table.number({"drop-factor", "optim.drop_factor", "X",
                "Schedules step, multistep and plateau: what a drop multiplies the rate by"},
               o.drop_factor, part);
  table.number({"clip-norm", "optim.clip_norm", "X", "Scale gradients down to this norm; 0: never"}, o.clip_norm,
               {.low = 0, .high = kLargestCount});
  table.number({"label-smoothing", "optim.label_smoothing", "X", "Part of a class's target shared by all classes"},
               o.label_smoothing, {.low = 0, .high = 0.9});
  table.choice(
      {"class-weights", "optim.class_weights", "HOW", "auto: rare classes or labels count for more in the loss"},
      o.class_weights, {{"none", ClassWeights::none}, {"auto", ClassWeights::automatic}});
  declare(table, o.recipe);
}

void declare_run(OptionTable& table, TrainOptions& o) {
  table.group("Run");
  table.text({"out", "run.out", "DIR", "Folder of results; without it runs/<data>-<model>"}, o.out);
  table.text({"resume", "", "DIR",
              "Go on with the run in this folder, with its settings, from its newest checkpoint; flags given beside it "
              "win where they do not change what was learnt"},
             o.resume);
  table.integer({"checkpoint-steps", "run.checkpoint_steps", "N",
                 "Steps after which a checkpoint is saved, beside those after every epoch; 0: none"},
                o.checkpoint_steps, {.low = 0, .high = kLargestCount});
  table.number({"checkpoint-minutes", "run.checkpoint_minutes", "X", "The same in minutes; 0: none"},
               o.checkpoint_minutes, {.low = 0, .high = kLargestCount});
  table.integer({"keep-checkpoints", "run.keep_checkpoints", "N", "How many of them stay, the newest"},
                o.keep_checkpoints, {.low = 1, .high = 1000});
  table.integer({"profile", "", "N",
                 "Only train for so many steps, after a few others, and tell where their time went, layer by layer"},
                o.profile, {.low = 0, .high = 10000});
  table.integer({"seed", "run.seed", "N", "Where all randomness starts"}, o.seed, {.low = 0, .high = 9e15});
  table.integer({"threads", "run.threads", "N", "Threads that compute"}, o.threads, {.low = 1, .high = 4096});
  table.integer({"workers", "run.workers", "N", "Threads that read videos; 0: the main thread. Changes no result"},
                o.workers, {.low = 0, .high = kMaxWorkers});
  table.custom({"loader-memory", "run.loader_memory", "SIZE",
                "Memory that batches and decoders may take; auto: 2 GiB, or a quarter of the machine's where that is "
                "less"},
               "a number of MiB such as 512, 512M or 2G, 1M to 1024G, or auto",
               set_or_auto(o.loader_memory, parse_memory),
               [&o] { return o.loader_memory ? fmt::format("{}M", *o.loader_memory / kMiB) : std::string("auto"); });
  table.choice({"device", "run.device", "NAME", "Where to compute"}, o.device, kDeviceNames);
  table.choice(
      {"precision", "run.precision", "NAME", "What products are computed in; auto: bf16 on CUDA, f32 on the CPU"},
      o.precision, kPrecisionNames);
  table.choice({"progress", "run.progress", "HOW", "auto: a bar on a terminal, else lines"}, o.progress,
               {{"auto", ProgressMode::automatic},
                {"bar", ProgressMode::bar},
                {"lines", ProgressMode::lines},
                {"none", ProgressMode::none}});
  table.boolean({"tune", "run.tune", "",
                 "CUDA: time several ways to compute each convolution and product, use the fastest; see plans.txt in "
                 "the run's folder"},
                o.tune);
  table.text({"plans", "run.plans", "FILE",
              "CUDA: the plans.txt of another run, to compute in exactly its ways; what it lacks is chosen as usual"},
             o.plans);
  table.boolean({"json", "", "", "Results as one JSON object a line on stdout"}, o.json);
  table.boolean({"force", "", "", "Write into a folder that holds a model already"}, o.force);
  table.boolean({"dry-run", "", "", "Check everything, train nothing"}, o.dry_run);
}

}  // namespace

void declare(OptionTable& table, TrainOptions& options) {
  declare_data(table, options);
  declare_clips(table, options);
  declare_augmentation(table, options);
  declare_model(table, options);
  declare_optimization(table, options);
  declare_run(table, options);
}

void resolve(TrainOptions& options, FrameSize source) {
  options.max_scale = std::max(options.min_scale, options.max_scale);
  options.max_area = std::max(options.min_area, options.max_area);
  options.max_ratio = std::max(options.min_ratio, options.max_ratio);
  if (!options.frames) {
    const std::vector<std::string> of_frames = layers::frame_model_names();
    options.frames = std::ranges::count(of_frames, options.model) > 0 ? kFramesOfImageModel : kFramesOfVideoModel;
  }
  if (!options.size) {
    const int smallest = std::min(source.width, source.height);
    const int side = smallest > 0 ? std::clamp(smallest, kSmallestSide, kUsualSide) : kUsualSide;
    options.size = FrameSize{.width = side, .height = side};
  }
  const auto cores = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  if (!options.threads) options.threads = cpu_threads();
  if (!options.workers) options.workers = std::clamp<int64_t>(cores / 2, 1, 8);
}

Device resolve(DeviceChoice choice) {
  constexpr Device kCuda{DeviceType::cuda, 0};
  if (choice == DeviceChoice::cpu) return kCpu;
  const std::string reason = cuda_unavailable_reason();
  if (reason.empty()) return kCuda;
  if (choice == DeviceChoice::automatic) return kCpu;
  throw Error(concat("device cuda: ", reason, "; use --device cpu"), exit_code::kNoDevice);
}

DType resolve(Precision precision, Device device) {
  if (precision == Precision::tf32 && device == kCpu)
    throw Error("precision tf32 is a mode of CUDA devices; use --precision f32 on the CPU", exit_code::kUsage);
  set_f32_products(precision == Precision::tf32 ? F32Products::tf32 : F32Products::strict);
  if (precision == Precision::automatic) return device == kCpu ? DType::f32 : DType::bf16;
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

std::optional<FrameSize> parse_frame_size(const std::string& text) {
  const size_t cross = text.find('x');
  const auto width = parse<int>(std::string_view(text).substr(0, cross));
  const auto height = cross == std::string::npos ? width : parse<int>(std::string_view(text).substr(cross + 1));
  const auto fits = [](const std::optional<int>& side) {
    return side && *side >= kSmallestSide && *side <= kLargestSide;
  };
  if (!fits(width) || !fits(height)) return std::nullopt;
  return FrameSize{.width = *width, .height = *height};
}

std::optional<int64_t> parse_memory(const std::string& text) {
  const std::string_view suffixes = "MG";
  const size_t unit = text.empty() ? text.npos : suffixes.find(text.back());
  const auto count = parse<int64_t>(std::string_view(text).substr(0, text.size() - (unit == text.npos ? 0 : 1)));
  const int64_t size = unit == 1 ? kGiB : kMiB;
  if (!count || *count < 1 || *count > 1024 * kGiB / size) return std::nullopt;
  return *count * size;
}

std::optional<Normalization> parse_normalization(const std::string& text) {
  for (const auto& [name, value] : kNormalizations)
    if (text == name) return value;
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const auto mean = parse_triple(std::string_view(text).substr(0, slash));
  const auto deviation = parse_triple(std::string_view(text).substr(slash + 1));
  if (!mean || !deviation) return std::nullopt;
  for (size_t i = 0; i < 3; ++i)
    if (!((*deviation)[i] > 0) || !(std::abs((*mean)[i]) <= kLargestCount)) return std::nullopt;
  return Normalization{*mean, *deviation};
}

std::string to_text(const Normalization& normalization) {
  for (const auto& [name, value] : kNormalizations)
    if (normalization == value) return name;
  return fmt::format("{}/{}", fmt::join(normalization.mean, ","), fmt::join(normalization.deviation, ","));
}

}  // namespace engine
