#include "train/data_browse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/tensor.h"
#include "io/canvas.h"
#include "io/clip.h"
#include "io/image_writer.h"
#include "io/text.h"
#include "io/trim.h"
#include "train/data_options.h"
#include "train/output.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_data browse videos --out sheet.png                              eight clips, as in the first epoch of training
  engine_data browse videos --out sheet.png --clips 12 --flip --random-crop --max-scale 1.3 --frames 8
  engine_data browse videos --out sheet.png -c runs/pets/config.toml     with the settings of a run)";

constexpr int kGap = 4, kMostRows = 200, kMostPixels = 100'000'000;
constexpr Color kPaper{0.09f, 0.09f, 0.11f}, kTitle{1, 1, 1}, kNote{0.65f, 0.7f, 0.75f};

struct BrowseOptions {
  TrainOptions train;
  OptionTable table;
  std::string config;
  int clips = 8;
  bool plain = false;
};

// Clips of all classes in turn, each class in an order drawn by seed.
std::vector<size_t> chosen_clips(const Dataset& dataset, int count, uint64_t seed) {
  std::vector<std::vector<size_t>> members(std::max<size_t>(dataset.classes.size(), 1));
  const std::vector<int64_t> order = Random(seed, stream_of("browse")).permutation(std::ssize(dataset.samples));
  for (const int64_t i : order)
    members.at(static_cast<size_t>(dataset.samples[static_cast<size_t>(i)].label)).push_back(static_cast<size_t>(i));
  std::vector<size_t> chosen;
  for (size_t round = 0; std::ssize(chosen) < std::min<int64_t>(count, std::ssize(dataset.samples)); ++round)
    for (const auto& clips : members)
      if (round < clips.size() && std::ssize(chosen) < count) chosen.push_back(clips[round]);
  return chosen;
}

std::string labels_of(const Dataset& dataset, const Sample& sample) {
  if (dataset.classes.empty()) return "";
  if (dataset.head == Head::classification) return dataset.classes[static_cast<size_t>(sample.label)];
  std::string text;
  for (size_t i = 0; i < sample.targets.size(); ++i) {
    if (dataset.head == Head::regression)
      text += fmt::format("{}{:.6g}", i > 0 ? ", " : "", sample.targets[i]);
    else if (sample.targets[i] > 0)
      text += (text.empty() ? "" : ", ") + dataset.classes[i];
  }
  return text.empty() ? "(none)" : text;
}

void paste(Canvas& canvas, int left, int top, std::span<const uint8_t> rgb, FrameSize size) {
  size_t i = 0;
  for (int y = 0; y < size.height; ++y)
    for (int x = 0; x < size.width; ++x, i += 3)
      canvas.at(left + x, top + y) = {static_cast<float>(rgb[i]) / 255.0f, static_cast<float>(rgb[i + 1]) / 255.0f,
                                      static_cast<float>(rgb[i + 2]) / 255.0f};
}

// One row: a title, then frames with their numbers below.
struct Row {
  int width, height;
  explicit Row(const ClipOptions& clip)
      : width(clip.frames * (clip.width + kGap) + kGap), height(clip.height + 2 * kTextHeight + 3 * kGap) {}
};

void draw_row(Canvas& canvas, int top, const Dataset& dataset, const Sample& sample, const ClipOptions& options,
              Random* random) {
  const std::string labels = escaped(labels_of(dataset, sample));
  draw_text(canvas, kGap, top + kGap, labels, kTitle);
  int x = kGap + (static_cast<int>(labels.size()) + (labels.empty() ? 0 : 2)) * kTextAdvance;
  const auto note = [&](const std::string& text) {
    draw_text(canvas, x, top + kGap, text, kNote);
    x += (static_cast<int>(text.size()) + 2) * kTextAdvance;
  };
  note(sample.name);
  std::vector<uint8_t> rgb;
  ClipPlan plan;
  try {
    const auto source = open_clip(sample);
    plan = plan_clip(clip_source(*source, options, sample.path), options, random);
    rgb.resize(plan.frames.size() * plan.view.size.bytes());
    read_clip(*source, plan, rgb);
    note(fmt::format("{} frames", source->frame_count()));
  } catch (const Error& error) {
    draw_text(canvas, kGap, top + 2 * kGap + kTextHeight, error.what(), {1, 0.4f, 0.3f});
    return;
  }
  if (plan.flip) note("mirrored");
  for (size_t t = 0; t < plan.frames.size(); ++t) {
    const int left = kGap + static_cast<int>(t) * (options.width + kGap), below = top + kTextHeight + 2 * kGap;
    paste(canvas, left, below, std::span(rgb).subspan(t * plan.view.size.bytes(), plan.view.size.bytes()),
          plan.view.size);
    draw_text(canvas, left, below + options.height + kGap / 2,
              plan.frames[t] == kPadding ? "-" : std::to_string(plan.frames[t]), kNote);
  }
}

// The training part that engine_train would make, in which clips have the same numbers and so the same draws; where
// there are no labels, all clips.
Splits clips_to_train_on(const TrainOptions& train) {
  const DataChoice choice{train.data, train.head, static_cast<int>(train.split_number)};
  const bool by_name = !(train.train_list + train.classes_file).empty();
  if (!by_name && open_data(choice).train.classes.empty()) return open_data(choice);
  return open_splits(train.data, split_options(train));
}

int browse(BrowseOptions& options) {
  if (!options.config.empty()) options.table.read_file(options.config);
  options.table.apply_flags();
  TrainOptions& train = options.train;
  const std::string out = train.out;
  if (!out.ends_with(".png") && !out.ends_with(".jpg"))
    throw Error(fmt::format("--out {}: the sheet is a .png or .jpg file", escaped(out)), exit_code::kUsage);
  if (train.data.empty()) throw Error("no data given: engine_data browse DATA --out sheet.png", exit_code::kUsage);
  check_head(train);
  const Splits splits = clips_to_train_on(train);
  const Dataset& dataset = splits.train;
  resolve(train, picture_size(dataset));
  const ClipOptions clip =
      options.plain ? clip_options(preprocessing(train)) : training_loader(train, dataset.classes).clip;
  check_options(clip);

  const std::vector<size_t> chosen = chosen_clips(dataset, options.clips, static_cast<uint64_t>(train.seed));
  const Row row(clip);
  const int64_t height = int64_t{row.height} * std::ssize(chosen) + kGap;
  if (row.width * height > kMostPixels)
    throw Error(fmt::format("a sheet of {} x {} pixels is too large; show fewer --clips, --frames or a smaller --size",
                            row.width, height),
                exit_code::kUsage);
  Canvas canvas(row.width, static_cast<int>(height));
  for (int y = 0; y < canvas.height(); ++y)
    for (int x = 0; x < canvas.width(); ++x) canvas.at(x, y) = kPaper;
  for (size_t i = 0; i < chosen.size(); ++i) {
    Random random = clip_draws(static_cast<uint64_t>(train.seed), 0, static_cast<int64_t>(chosen[i]));
    draw_row(canvas, static_cast<int>(i) * row.height, dataset, dataset.samples[chosen[i]], clip,
             options.plain ? nullptr : &random);
  }
  std::vector<uint8_t> rgb(FrameSize{canvas.width(), canvas.height()}.bytes());
  Random unused(0);
  develop(canvas, 1, 0, unused, rgb);
  write_image(out, rgb, {canvas.width(), canvas.height()});
  print_out(fmt::format("{}\t{}\t{}x{}\n", out, counted(chosen.size(), "clip"), canvas.width(), canvas.height()));
  return exit_code::kOk;
}

}  // namespace

Subcommand declare_data_browse(CLI::App& program) {
  CLI::App* command = program.add_subcommand("browse", "Shows clips as training sees them, on one picture");
  command->footer(kExamples);
  const auto options = std::make_shared<BrowseOptions>();
  declare(options->table, options->train);
  options->table.bind(*command);
  command->add_option("-c,--config", options->config, "Settings of engine_train, as a TOML file");
  command->add_option("--clips", options->clips, "How many clips to show")
      ->check(CLI::Range(1, kMostRows))
      ->capture_default_str();
  command->add_flag("--plain", options->plain, "As in evaluation: nothing is drawn");
  return {command, [options] { return browse(*options); }};
}

}  // namespace engine
