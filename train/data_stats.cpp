#include "train/data_stats.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>

#include "engine/tensor.h"
#include "io/clip.h"
#include "io/text.h"
#include "io/trim.h"
#include "io/video.h"
#include "train/data_export.h"
#include "train/output.h"

namespace engine {
namespace {

using nlohmann::ordered_json;

constexpr const char* kExamples = R"(Examples:
  engine_data stats videos                     what --normalize takes, and how long the videos are
  engine_data stats videos --frames 32 --size 64 --json)";

constexpr size_t kBins = 10;
constexpr int kBarWidth = 40;

struct Lengths {
  std::vector<double> frames, seconds;
};

// How many of `values` lie in each of kBins parts of equal width from the smallest to the largest.
struct Histogram {
  double low = 0, high = 0;
  std::array<size_t, kBins> counts{};

  explicit Histogram(const std::vector<double>& values) {
    if (values.empty()) return;
    low = std::ranges::min(values);
    high = std::ranges::max(values);
    for (const double value : values) {
      const double part = high > low ? (value - low) / (high - low) : 0;
      ++counts.at(std::min(static_cast<size_t>(part * static_cast<double>(kBins)), kBins - 1));
    }
  }
  std::string text(const char* title, int digits) const {
    std::string text = fmt::format("{}\n", title);
    const size_t most = std::max<size_t>(std::ranges::max(counts), 1);
    const double step = (high - low) / static_cast<double>(kBins);
    for (size_t i = 0; i < (high > low ? kBins : 1); ++i) {
      const double from = low + static_cast<double>(i) * step;
      text += fmt::format("  {:>9.{}f} .. {:>9.{}f}  {:>6}  {:#<{}}\n", from, digits, from + step, digits, counts.at(i),
                          "", counts.at(i) * kBarWidth / most);
    }
    return text;
  }
};

std::vector<Clip> chosen_clips(const Splits& splits, const DataStatsOptions& options) {
  std::vector<Clip> clips = clips_of(splits);
  if (options.part != "all") std::erase_if(clips, [&](const Clip& clip) { return clip.part_name != options.part; });
  if (clips.empty())
    throw Error(fmt::format("{}: no {} part ({})", escaped(options.data.path), options.part, splits.how),
                exit_code::kNoInput);
  return clips;
}

std::string report(const PixelSums& sums, const Lengths& lengths, size_t clips) {
  const Normalization values = sums.normalization();
  std::string text = fmt::format("clips      {}, {} pixels looked at\n", clips, sums.pixels);
  text += fmt::format("mean       {:.6f} {:.6f} {:.6f}   of R, G, B, values 0..1\n", values.mean[0], values.mean[1],
                      values.mean[2]);
  text +=
      fmt::format("deviation  {:.6f} {:.6f} {:.6f}\n\n", values.deviation[0], values.deviation[1], values.deviation[2]);
  const auto three = [](const std::array<double, 3>& v) {
    return fmt::format("{:.4f},{:.4f},{:.4f}", v[0], v[1], v[2]);
  };
  const std::string setting = three(values.mean) + "/" + three(values.deviation);
  text += fmt::format("engine_train ... --normalize {}\n\n[clip]\nnormalize = \"{}\"\n\n", setting, setting);
  text += "values          R       G       B   of 100\n";
  for (size_t i = 0; i < 16; ++i) {
    text += fmt::format("  {:>3} .. {:>3}", 16 * i, 16 * i + 15);
    for (const auto& channel : sums.histogram)
      text += fmt::format("  {:>6.2f}", 100.0 * static_cast<double>(channel.at(i)) /
                                            static_cast<double>(std::max<uint64_t>(sums.pixels, 1)));
    text += "\n";
  }
  text += "\n" + Histogram(lengths.frames).text("frames in a clip", 0);
  if (!lengths.seconds.empty()) text += "\n" + Histogram(lengths.seconds).text("seconds in a clip", 2);
  return text;
}

ordered_json to_json(const PixelSums& sums, const Lengths& lengths, size_t clips) {
  const Normalization values = sums.normalization();
  const auto histogram = [](const std::vector<double>& all) {
    const Histogram found(all);
    return ordered_json{{"low", found.low}, {"high", found.high}, {"counts", found.counts}};
  };
  return {{"clips", clips},
          {"pixels", sums.pixels},
          {"mean", values.mean},
          {"deviation", values.deviation},
          {"histogram", sums.histogram},
          {"frames", histogram(lengths.frames)},
          {"seconds", histogram(lengths.seconds)}};
}

}  // namespace

void PixelSums::add(std::span<const uint8_t> rgb) {
  std::array<std::array<uint64_t, 256>, 3> counts{};
  for (size_t i = 0; i + 2 < rgb.size(); i += 3)
    for (size_t c = 0; c < 3; ++c) ++counts[c][rgb[i + c]];
  pixels += rgb.size() / 3;
  for (size_t c = 0; c < 3; ++c)
    for (uint64_t value = 0; value < 256; ++value) {
      sum[c] += value * counts[c][value];
      squares[c] += value * value * counts[c][value];
      histogram[c][value / 16] += counts[c][value];
    }
}

void PixelSums::add(const PixelSums& other) {
  pixels += other.pixels;
  for (size_t c = 0; c < 3; ++c) {
    sum[c] += other.sum[c];
    squares[c] += other.squares[c];
    for (size_t i = 0; i < 16; ++i) histogram[c][i] += other.histogram[c][i];
  }
}

Normalization PixelSums::normalization() const {
  Normalization values;
  const double count = static_cast<double>(std::max<uint64_t>(pixels, 1));
  for (size_t c = 0; c < 3; ++c) {
    const double mean = static_cast<double>(sum[c]) / count;
    values.mean[c] = mean / 255;
    values.deviation[c] = std::sqrt(std::max(static_cast<double>(squares[c]) / count - mean * mean, 0.0)) / 255;
  }
  return values;
}

int tell_stats(const DataStatsOptions& options) {
  const Splits splits = open_data(options.data);
  const std::vector<Clip> clips = chosen_clips(splits, options);
  std::mutex mutex;  // of what follows
  PixelSums sums;
  Lengths lengths;
  std::vector<std::string> bad(clips.size());
  for_each(clips.size(), options.data.threads, "clips", [&](size_t i) {
    try {
      auto whole = open_frames(clips[i].sample->path);
      const auto* video = dynamic_cast<const VideoReader*>(whole.get());
      const double fps = video ? video->info().fps : 0;
      const auto source = trimmed(std::move(whole), *clips[i].sample);
      const FrameSize size = options.size == FrameSize{} ? source->size() : options.size;
      const int64_t count = source->frame_count();
      const std::vector<int64_t> frames =
          sample_frames(count, {.frames = static_cast<int>(std::min<int64_t>(options.frames, count))}, nullptr);
      std::vector<uint8_t> rgb(frames.size() * size.bytes());
      source->read_frames(frames, size, rgb);
      PixelSums own;
      own.add(rgb);
      const std::lock_guard lock(mutex);
      sums.add(own);
      lengths.frames.push_back(static_cast<double>(count));
      if (fps > 0) lengths.seconds.push_back(static_cast<double>(count) / fps);
    } catch (const Error& error) {
      if (error.code() != exit_code::kData && error.code() != exit_code::kNoInput) throw;
      bad[i] = error.what();
    }
  });
  size_t left_out = 0;
  for (size_t i = 0; i < bad.size(); ++i) {
    if (bad[i].empty()) continue;
    ++left_out;
    print_err(fmt::format("left out: {}: {}\n", place_of(clips[i]), bad[i]));
  }
  const size_t used = clips.size() - left_out;
  if (used == 0) throw Error(fmt::format("{}: no clip can be read", escaped(options.data.path)), exit_code::kData);
  print_out(options.json ? to_json(sums, lengths, used).dump() + "\n" : report(sums, lengths, used));
  return left_out > 0 ? exit_code::kData : exit_code::kOk;
}

Subcommand declare_data_stats(CLI::App& program) {
  CLI::App* command = program.add_subcommand("stats", "Tells mean and deviation of pixels, and lengths of videos");
  command->footer(kExamples);
  const auto options = std::make_shared<DataStatsOptions>();
  declare_data(*command, options->data);
  command->add_option("--split", options->part, "train, val, test or all")
      ->check(CLI::IsMember({"train", "val", "test", "all"}))
      ->capture_default_str();
  command->add_option("--frames", options->frames, "Frames of each clip, spread evenly")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  declare_size(*command, options->size);
  command->add_flag("--json", options->json, "One JSON object");
  return {command, [options] { return tell_stats(*options); }};
}

}  // namespace engine
