// engine_data stats, extract, browse and shard, run as programs; text on a canvas.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "io/canvas.h"
#include "io/clip.h"
#include "io/dataset.h"
#include "io/frame_source.h"
#include "io/image_writer.h"
#include "tests/program_run.h"
#include "tests/video_fixtures.h"
#include "train/data_export.h"
#include "train/data_options.h"
#include "train/data_stats.h"

using namespace engine;
using namespace engine::fixtures;
using program_run::engine_data;
using program_run::Outcome;
using program_run::write_text;

namespace {

// x/one.mp4, y/two.mp4 and y/bad.mp4, which is none.
void make_set(const TemporaryFolder& folder) {
  fs::create_directories(folder / "set/x");
  fs::create_directories(folder / "set/y");
  make_video(folder / "set/x/one.mp4", 21, kX264);
  make_video(folder / "set/y/two.mp4", 34, kX264);
}

std::vector<uint8_t> frames_of(const std::string& path, const std::vector<int64_t>& frames, FrameSize size = {}) {
  const auto source = open_frames(path);
  std::vector<uint8_t> rgb(frames.size() * (size == FrameSize{} ? source->size() : size).bytes());
  source->read_frames(frames, size, rgb);
  return rgb;
}

void check_refused(const Outcome& outcome, int code, const std::string& why) {
  INFO(outcome.err);
  CHECK(outcome.code == code);
  CHECK(std::ranges::count(outcome.err, '\n') == 1);
  CHECK(contains(outcome.err, why));
}

}  // namespace

TEST_CASE("pixel sums: mean and deviation in double, however they are put together") {
  Random random(5);
  std::vector<uint8_t> rgb(3 * 7001);
  for (uint8_t& value : rgb) value = static_cast<uint8_t>(random.below(random.below(2) == 0 ? 256 : 91));
  PixelSums whole, parts;
  whole.add(rgb);
  for (const auto& [begin, count] : {std::pair<size_t, size_t>{3 * 2000, 3 * 5001}, {0, 3 * 2000}}) {
    PixelSums part;
    part.add(std::span(rgb).subspan(begin, count));
    parts.add(part);
  }
  CHECK(whole.normalization() == parts.normalization());
  for (size_t c = 0; c < 3; ++c) {
    double mean = 0, square = 0;
    for (size_t i = c; i < rgb.size(); i += 3) mean += rgb[i] / 255.0 / 7001;
    for (size_t i = c; i < rgb.size(); i += 3) square += std::pow(rgb[i] / 255.0 - mean, 2) / 7001;
    CHECK(std::abs(whole.normalization().mean[c] - mean) < 1e-12);
    CHECK(std::abs(whole.normalization().deviation[c] - std::sqrt(square)) < 1e-12);
    uint64_t counted_values = 0;
    for (const uint64_t count : whole.histogram[c]) counted_values += count;
    CHECK(counted_values == 7001);
  }
}

TEST_CASE("stats: the figures of the frames looked at, ready for --normalize") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_set(folder);
  const auto told = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"stats", folder / "set", "--json"});
    return nlohmann::json::parse(engine_data(folder, more).out);
  };
  const auto report = told({"--frames", "100"});
  PixelSums sums;
  std::vector<int64_t> all;
  for (int64_t i = 0; i < 34; ++i) all.push_back(i);
  sums.add(frames_of(folder / "set/y/two.mp4", all));
  all.resize(21);
  sums.add(frames_of(folder / "set/x/one.mp4", all));
  CHECK(report.at("pixels") == 55 * 160 * 96);
  for (size_t c = 0; c < 3; ++c) {
    CHECK(report.at("mean")[c].get<double>() == sums.normalization().mean[c]);
    CHECK(report.at("deviation")[c].get<double>() == sums.normalization().deviation[c]);
  }
  CHECK(report.at("frames").at("low") == 21);
  CHECK(report.at("frames").at("high") == 34);
  CHECK(told({"--frames", "100", "--threads", "3"}) == report);
  CHECK(told({"--frames", "3", "--size", "40x24"}).at("pixels") == 6 * 40 * 24);
  write_text(folder / "set/y/bad.mp4", "text");
  const Outcome text = engine_data(folder, {"stats", folder / "set"});
  CHECK(text.code == exit_code::kData);
  CHECK(text.err.starts_with("left out: y/bad.mp4: "));
  const size_t at = text.out.find("--normalize ") + 12;
  CHECK(parse_normalization(text.out.substr(at, text.out.find('\n', at) - at)).has_value());
  CHECK(contains(text.out, "[clip]\nnormalize = \""));
  check_refused(engine_data(folder, {"stats", folder / "set", "--split", "val"}), exit_code::kNoInput,
                "set: no val part (");
  write_text(folder / "heap/bad.mp4", "text");
  const Outcome none = engine_data(folder, {"stats", folder / "heap"});
  CHECK(none.code == exit_code::kData);
  CHECK(contains(none.err, "engine_data: error: " + (folder / "heap") + ": no clip can be read\n"));
  check_refused(engine_data(folder, {"stats", folder / "set", "--size", "4"}), exit_code::kUsage,
                "--size 4: give one number, or WIDTHxHEIGHT such as 320x240; 8 to 4096");
}

TEST_CASE("extract: PNG files hold the decoder's very bytes, and a set can be trained on") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_set(folder);
  const std::string video = folder / "set/y/two.mp4";
  REQUIRE(engine_data(folder, {"extract", video, "--out", folder / "all"}).code == 0);
  CHECK(std::distance(fs::directory_iterator(folder / "all"), {}) == 34);
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < 34; ++i) numbers.push_back(i);
  CHECK(frames_of(folder / "all", numbers) == frames_of(video, numbers));
  CHECK(fs::exists(folder / "all/000001.png"));
  CHECK(fs::exists(folder / "all/000034.png"));

  REQUIRE(engine_data(folder, {"extract", video, "--out", folder / "some", "--numbers", "3,30-31", "--size", "50x31"})
              .code == 0);
  CHECK(fs::exists(folder / "some/000032.png"));
  CHECK(frames_of(folder / "some", {0, 1, 2}) == frames_of(video, {3, 30, 31}, {50, 31}));

  write_text(folder / "set/y/bad.mp4", "text");
  write_text(folder / "taken/x", "a file where a folder should be");
  const Outcome taken = engine_data(folder, {"extract", folder / "set", "--out", folder / "taken", "--force"});
  CHECK(taken.code == exit_code::kStorage);
  std::string told = taken.err;
  REQUIRE(told.find(folder.path()) != told.npos);
  told.replace(told.find(folder.path()), folder.path().size(), "HERE");
  CHECK(told == "engine_data: error: cannot write HERE/taken/x/one: Not a directory; choose another folder\n");
  const Outcome set = engine_data(folder, {"extract", folder / "set", "--out", folder / "frames", "--frames", "4",
                                           "--format", "jpg", "--threads", "2"});
  CHECK(set.code == exit_code::kData);
  CHECK(contains(set.err, "left out: y/bad.mp4"));
  CHECK(set.out == folder / "frames" + "\t2 clips\n");
  const Splits splits = open_splits(folder / "frames", {.val_fraction = 0});
  CHECK(splits.train.classes == std::vector<std::string>{"x", "y"});
  REQUIRE(splits.train.samples.size() == 2);
  CHECK(splits.train.samples[1].name == "y/two");
  const std::vector<uint8_t> lossy = frames_of(splits.train.samples[1].path, {0, 1, 2, 3}),
                             exact = frames_of(video, {4, 12, 21, 29});
  double error = 0;
  for (size_t i = 0; i < exact.size(); ++i) error += std::pow(lossy[i] - exact[i], 2);
  CHECK(std::sqrt(error / static_cast<double>(exact.size())) < 6);
  CHECK(lossy != exact);
}

TEST_CASE("shard: decoded clips with lists that tell the same as the videos") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_set(folder);
  write_text(folder / "set/train.txt", "x/one.mp4 \"big ape\"\ny/two.mp4 zebra\nx/one.mp4#t=0.2,0.6 zebra\n");
  write_text(folder / "set/test.txt", "y/two.mp4#t=1 \"big ape\"\n");
  REQUIRE(engine_data(folder, {"shard", folder / "set", "--out", folder / "decoded", "--size", "40x24"}).code == 0);
  const Splits splits = open_splits(folder / "decoded", {.val_fraction = 0});
  CHECK(splits.train.classes == std::vector<std::string>{"big ape", "zebra"});
  REQUIRE(splits.train.samples.size() == 3);
  CHECK(splits.train.samples[0].path == folder / "decoded/big ape/one.frames");
  CHECK(splits.train.samples[2].end == 0);
  CHECK(open_frames(splits.train.samples[2].path)->frame_count() == 10);
  CHECK(frames_of(splits.train.samples[2].path, {0, 9}) == frames_of(folder / "set/x/one.mp4", {5, 14}, {40, 24}));
  REQUIRE(splits.test.samples.size() == 1);
  CHECK(splits.test.samples[0].label == 0);
  CHECK(frames_of(splits.test.samples[0].path, {0}) == frames_of(folder / "set/y/two.mp4", {25}, {40, 24}));
  const Outcome again = engine_data(folder, {"shard", folder / "set", "--out", folder / "decoded"});
  check_refused(again, exit_code::kUsage,
                "decoded is not empty; choose another folder, or give --force to replace clips and lists in it");
  CHECK(engine_data(folder, {"shard", folder / "set", "--out", folder / "decoded", "--frames", "2", "--force"}).code ==
        0);
  CHECK(open_frames(splits.train.samples[2].path)->frame_count() == 2);
}

TEST_CASE("browse: every clip with its frames where they belong") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_set(folder);
  const std::vector<std::string> base = {"browse", folder / "set", "--frames", "3", "--size", "64x48"};
  const auto sheet = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    more.insert(more.end(), {"--out", folder / name});
    const Outcome outcome = engine_data(folder, more);
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    fs::create_directories(folder / (name + ".frames_folder"));
    fs::copy_file(folder / name, folder / (name + ".frames_folder/1.png"));
    return outcome.out;
  };
  const std::string told = sheet("plain.png", {"--plain"});
  CHECK(contains(told, "2 clips"));
  const auto source = open_frames(folder / "plain.png.frames_folder");
  const std::vector<uint8_t> rgb = frames_of(folder / "plain.png.frames_folder", {0});
  const FrameSize size = source->size();
  CHECK(size == FrameSize{3 * 68 + 4, 2 * (48 + 28) + 4});
  // Whether one of the two rows shows this clip.
  const auto shows = [&](const std::vector<uint8_t>& picture, std::span<const uint8_t> clip) {
    for (size_t row = 0; row < 2; ++row) {
      bool same = true;
      for (size_t t = 0; t < 3; ++t)
        for (size_t y = 0; y < 48; ++y)
          for (size_t i = 0; i < 64 * 3; ++i) {
            const size_t in_sheet = ((row * 76 + 16 + y) * static_cast<size_t>(size.width) + 4 + t * 68) * 3 + i;
            same = same && picture.at(in_sheet) == clip[(t * 48 + y) * 64 * 3 + i];
          }
      if (same) return true;
    }
    return false;
  };
  for (const auto& [path, frames] : {std::pair{folder / "set/x/one.mp4", std::vector<int64_t>{3, 10, 17}},
                                     {folder / "set/y/two.mp4", {5, 17, 28}}}) {
    ClipOptions options;
    options.frames = 3;
    options.width = 64;
    options.height = 48;
    const auto video = open_frames(path);
    const ClipPlan plan = plan_clip(clip_source(*video, options, path), options, nullptr);
    CHECK(plan.frames == frames);
    std::vector<uint8_t> clip(3 * plan.view.size.bytes());
    read_clip(*video, plan, clip);
    CHECK(shows(rgb, clip));
  }
  sheet("a.png", {"--flip", "--random-crop", "--max-scale", "1.5", "--seed", "3"});
  sheet("b.png", {"--flip", "--random-crop", "--max-scale", "1.5", "--seed", "3"});
  sheet("c.png", {"--flip", "--random-crop", "--max-scale", "1.5", "--seed", "4"});
  CHECK(read_file(folder / "a.png") == read_file(folder / "b.png"));
  // What the loader gives in the first epoch of a training with these settings.
  TrainOptions train;
  train.frames = 3, train.size = FrameSize{64, 48}, train.seed = 3, train.workers = 0;
  train.flip = train.random_crop = true, train.max_scale = 1.5;
  const Splits splits = open_splits(folder / "set", split_options(train));
  Loader loader(splits.train, training_loader(train, splits.train.classes));
  loader.start_epoch(0);
  Batch batch;
  REQUIRE(loader.next(batch));
  const std::vector<uint8_t> trained = frames_of(folder / "a.png.frames_folder", {0});
  for (int64_t i = 0; i < 2; ++i) CHECK(shows(trained, batch.frames.slice(i, i + 1).values<uint8_t>()));
  CHECK(read_file(folder / "a.png") != read_file(folder / "c.png"));
  check_refused(engine_data(folder, {"browse", folder / "set", "--out", folder / "x.gif"}), exit_code::kUsage,
                "x.gif: the sheet is a .png or .jpg file");
  check_refused(engine_data(folder, {"browse", "--out", folder / "x.png"}), exit_code::kUsage,
                "no data given: engine_data browse DATA --out sheet.png");
  check_refused(engine_data(folder, {"browse", folder / "set", "--out", folder / "x.png", "--size", "4096", "--frames",
                                     "64", "--clips", "2"}),
                exit_code::kUsage, " pixels is too large; show fewer --clips, --frames or a smaller --size");
  CHECK_FALSE(fs::exists(folder / "x.png"));
}

TEST_CASE("numbers of frames") {
  CHECK(parse_numbers("0,5,10-13") == std::vector<int64_t>{0, 5, 10, 11, 12, 13});
  CHECK(parse_numbers("7") == std::vector<int64_t>{7});
  ExportOptions some;
  some.numbers = "0,7";
  CHECK(error_of([&] { chosen_frames(some, 5); }) ==
        std::pair{exit_code::kData, std::string("frame 7 is asked for, and the clip has 5, counted from 0")});
  for (const std::string text : {"", ",", "1,", "a", "1-", "3-1", "-1", "1 2", "99999999", "1,,2"})
    CHECK(error_of([&] { parse_numbers(text); }) ==
          std::pair{exit_code::kUsage,
                    concat("--numbers ", text, ": numbers such as 0,5,10-20 are expected, to 1000000")});
}

TEST_CASE("text on a canvas: letters stay inside, and differ") {
  const auto drawn = [](std::string_view text, int x, int y) {
    Canvas canvas(31, 13);
    draw_text(canvas, x, y, text, {0.25f, 0.5f, 0.75f});
    std::string picture;
    for (const Color& pixel : canvas.pixels()) picture += pixel.g == 0.5f ? '#' : '.';
    return picture;
  };
  CHECK(std::ranges::count(drawn("I", 2, 1), '#') == 11);
  CHECK(std::ranges::count(drawn("   ", 2, 1), '#') == 0);
  std::set<std::string> all;
  for (char c = ' '; c <= '~'; ++c) all.insert(drawn(std::string(1, c), 2, 1));
  CHECK(all.size() == 95);
  CHECK(drawn("\xc3\xa9", 2, 1) == drawn("?", 2, 1));
  CHECK(std::ranges::count(drawn("HHHHHHHHHHHH", -100, 0), '#') == 0);
  CHECK(std::ranges::count(drawn("H", 29, 9), '#') == 5);
}
