// The twenty-five kinds of bad inputs (tests/bad_inputs.h): what opening, reading and the loader make of each.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "io/loader.h"
#include "io/source_error.h"
#include "io/video_index.h"
#include "tests/bad_inputs.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

const BadInputs& inputs() {
  static const BadInputs made;
  return made;
}

// Nothing here may take this long; a hang ends the program.
class TimeLimit {
 public:
  explicit TimeLimit(unsigned seconds) { alarm(seconds); }
  ~TimeLimit() { alarm(0); }
};

// What a sequential pass gives; `error` is what opening or reading it says.
struct Pass {
  std::vector<Frame> frames;
  std::string error;
  int code = -1;
  int64_t listed = 0, refused = 0;
  VideoInfo info;
};

Pass pass_over(const std::string& path, const VideoIndex* index = nullptr) {
  Pass pass;
  std::tie(pass.code, pass.error) = error_of([&] {
    const auto source = open_frames(path, index, {});
    auto& reader = dynamic_cast<VideoReader&>(*source);
    pass.listed = reader.frame_count();
    pass.frames = decode_all(reader);
    pass.refused = std::ssize(reader.refused());
    pass.info = reader.info();
  });
  return pass;
}

// The same of a row, kept.
const Pass& pass_of(const std::string& name) {
  static std::map<std::string, Pass> kept;
  const auto found = kept.find(name);
  return found != kept.end() ? found->second : kept.emplace(name, pass_over(inputs().path(name))).first->second;
}

int64_t damaged_in(const Pass& pass) { return std::ranges::count(pass.frames, true, &Frame::damaged); }

// Frames by number are those of the pass, and those that it lacks are told.
void check_by_number(const std::string& path, const Pass& pass) {
  VideoReader reader(path);
  for (int64_t index = 0; index < pass.listed; index += 7) {
    const auto found = std::ranges::find(pass.frames, index, &Frame::index);
    const auto [code, message] = error_of([&] {
      const Frame frame = reader.read_frame(index);
      if (found != pass.frames.end()) CHECK(frame.rgb == found->rgb);
    });
    CHECK(code == (found == pass.frames.end() ? exit_code::kData : -1));
  }
}

}  // namespace

TEST_CASE("every bad input gives its line, or exactly the frames that can be used") {
  if (!have_ffmpeg()) return;
  std::map<int, std::string> covered;
  for (const BadInput& row : inputs().rows()) {
    CAPTURE(row.name);
    const TimeLimit limit(60);
    const std::string path = inputs().path(row.name);
    const Pass& pass = pass_of(row.name);
    CHECK(pass.error == (row.error.empty() ? "" : path + ": " + row.error));
    const bool no_input = row.kind == "missing" || row.kind == "unreadable";
    CHECK(pass.code == (row.error.empty() ? -1 : no_input ? exit_code::kNoInput : exit_code::kData));
    CHECK(std::ssize(pass.frames) == row.frames);
    covered[row.row] += (covered[row.row].empty() ? "" : ", ") + row.name;
    if (!row.error.empty()) continue;
    CHECK(pass.listed == (row.listed < 0 ? row.frames : row.listed));
    CHECK(pass.frames[0].time == 0);
    CHECK(std::ranges::is_sorted(pass.frames, {}, &Frame::index));
    for (const Frame& frame : pass.frames)
      if (row.first >= 0 && !frame.damaged && row.kind != "damaged")
        CHECK(number_shown(frame.rgb.data(), frame.size) == row.first + frame.index);
    check_by_number(path, pass);
  }
  std::string text;
  for (const auto& [number, names] : covered) text += concat("\n  ", number, ": ", names);
  MESSAGE(inputs().rows().size(), " bad inputs of ", covered.size(), " kinds:", text);
  CHECK(covered.size() == 25);
}

TEST_CASE("an index says of every bad input what the file itself does") {
  if (!have_ffmpeg()) return;
  std::vector<std::string> paths;
  for (const BadInput& row : inputs().rows())
    if (row.name != "folder.mp4") paths.push_back(inputs().path(row.name));
  const IndexUpdate update = update_index("none", inputs().folder().path(), paths);
  for (const BadInput& row : inputs().rows()) {
    if (row.name == "folder.mp4") continue;
    CAPTURE(row.name);
    const TimeLimit limit(60);
    const std::string path = inputs().path(row.name);
    const Pass &plain = pass_of(row.name), indexed = pass_over(path, update.index.get());
    CHECK(indexed.error == plain.error);
    CHECK(indexed.code == plain.code);
    CHECK(std::ranges::equal(indexed.frames, plain.frames, {}, &Frame::rgb, &Frame::rgb));
    CHECK(indexed.info.unusable_start == plain.info.unusable_start);
    CHECK(indexed.info.alpha == plain.info.alpha);
    const auto fault_of = [&](const VideoIndex* index) {
      try {
        open_frames(path, index, {});
      } catch (const SourceError& error) {
        return static_cast<int>(error.fault());
      }
      return -1;
    };
    CHECK(fault_of(update.index.get()) == fault_of(nullptr));
    CHECK((fault_of(nullptr) >= 0) == !row.error.empty());
  }
}

TEST_CASE("damage is told by where the decoder found it") {
  if (!have_ffmpeg()) return;
  const Pass &hole = pass_of("hole.mp4"), &first = pass_of("no_first_key.mp4"), &flips = pass_of("flips.mp4");
  CHECK(hole.refused == 1);
  CHECK(first.refused > 0);
  CHECK(first.info.unusable_start == doctest::Approx(12 / 25.0));
  CHECK(damaged_in(flips) > 5);
  CHECK(damaged_in(flips) < 60);
  MESSAGE("flagged: hole ", damaged_in(hole), ", first key ", damaged_in(first), ", flips ", damaged_in(flips), " (",
          flips.refused, " packets refused), cut ", damaged_in(pass_of("cut.mp4")));
  const Pass& late = pass_of("late_key.ts");
  CHECK(late.info.unusable_start > 0.2);
  CHECK(late.info.unusable_start < 1.2);
  CHECK(late.info.unusable_start == doctest::Approx(std::round(late.info.unusable_start * 25) / 25).epsilon(1e-6));
}

TEST_CASE("what is odd about pictures is known") {
  if (!have_ffmpeg()) return;
  const auto told = [](auto member) {
    std::set<std::string> names;
    for (const BadInput& row : inputs().rows()) {
      if (!row.error.empty()) continue;
      if (pass_of(row.name).info.*member) names.insert(row.name);
    }
    return names;
  };
  using Names = std::set<std::string>;
  CHECK(told(&VideoInfo::alpha) == Names{"alpha.mov", "alpha.webm", "palette.gif", "palette.mkv"});
  CHECK(told(&VideoInfo::converted) == Names{"palette.mkv"});
  CHECK(told(&VideoInfo::interlaced) == Names{"interlaced.mp4"});
  CHECK(told(&VideoInfo::varied_size) == Names{"changes.ts"});
  Names varied = told(&VideoInfo::variable_rate);
  varied.erase("packed.avi");  // its only stamps are those of some pictures between others
  CHECK(varied == Names{"changes.ts", "varied.mp4"});
}

TEST_CASE("a header that turns pictures turns their pixels") {
  if (!have_ffmpeg()) return;
  const Pass& plain = pass_of("short.mp4");
  const Frame& stored = plain.frames[4];
  const int width = kSmall.width, height = kSmall.height;
  struct Turn {
    const char* name;
    int a, b, c, d, rotation;
    bool mirrored;
  };
  for (const Turn& turn :
       {Turn{"turned_90.mp4", 0, 1, -1, 0, 90, false}, Turn{"turned_180.mp4", -1, 0, 0, -1, 180, false},
        Turn{"turned_270.mp4", 0, -1, 1, 0, 270, false}, Turn{"mirrored.mp4", -1, 0, 0, 1, 0, true},
        Turn{"turned_30.mp4", 1, 0, 0, 1, 0, false}}) {
    CAPTURE(turn.name);
    const Pass& pass = pass_of(turn.name);
    CHECK(pass.info.rotation == turn.rotation);
    CHECK(pass.info.mirrored == turn.mirrored);
    const Frame& shown = pass.frames[4];
    const FrameSize size = turn.a == 0 ? FrameSize{height, width} : kSmall;
    REQUIRE(shown.size == size);
    // Where the first stored pixel goes is the corner that the others are counted from.
    const int left = std::min({0, turn.a * (width - 1), turn.c * (height - 1)});
    const int top = std::min({0, turn.b * (width - 1), turn.d * (height - 1)});
    int64_t different = 0;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const int u = turn.a * x + turn.c * y - left, v = turn.b * x + turn.d * y - top;
        const size_t from = static_cast<size_t>(y * width + x) * 3, to = static_cast<size_t>(v * size.width + u) * 3;
        different += std::memcmp(&stored.rgb[from], &shown.rgb[to], 3) != 0;
      }
    CHECK(different == 0);
  }
}

TEST_CASE("what the rows do not say: permission, a change, pictures larger than their header") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string path = folder / "a.mp4";
  fs::copy_file(inputs().path("short.mp4"), path);
  const IndexUpdate update = update_index("none", folder.path(), std::vector{path});
  write_file(path, read_file(path) + "x");
  CHECK(pass_over(path, update.index.get()).error ==
        path + ": changed since it was indexed; run engine_data index again");

  fs::permissions(path, fs::perms::none);
  fs::permissions(folder.path(), fs::perms::all);
  const uid_t user = geteuid();
  constexpr uid_t kNobody = 65534;
  if (user == 0) REQUIRE(seteuid(kNobody) == 0);
  const Pass locked = pass_over(path);
  if (user == 0) REQUIRE(seteuid(user) == 0);
  CHECK(locked.error == path + ": cannot be opened (Permission denied)");
  CHECK(locked.code == exit_code::kNoInput);

  SourceOptions small;
  small.max_pixels = 1000;
  const std::string lying = inputs().path("small_header.mp4");
  const auto [code, message] = error_of([&] { VideoReader(lying, small).read_frame(0); });
  CHECK(code == exit_code::kData);
  CHECK(message == lying + ": frame 0 of 6 (at 0 s) cannot be decoded; the file is damaged or cut off there");
}

TEST_CASE("the loader gives the same bytes with any number of workers, whatever is damaged") {
  if (!have_ffmpeg()) return;
  int64_t replaced = 0;
  for (const char* name : {"no_index.mp4", "cut.mp4", "hole.mp4", "no_first_key.mp4", "flips.mp4", "late_key.ts"}) {
    CAPTURE(name);
    const TimeLimit limit(120);
    Dataset dataset;
    dataset.classes = {"a", "b"};
    for (const char* file : {name, "short.mp4", "422.mp4", "deep.mp4", "narrow.mp4", "bt709.mp4"})
      dataset.samples.push_back({inputs().path(file), std::ssize(dataset.samples) / 3, file});
    std::vector<std::string> paths;
    for (const Sample& sample : dataset.samples) paths.push_back(sample.path);
    const IndexUpdate update = update_index("none", inputs().folder().path(), paths);
    for (const BadClip policy : {BadClip::replace, BadClip::leave_out}) {
      const auto epochs = [&](int workers) {
        LoaderOptions options;
        options.clip.frames = 5;
        options.clip.height = 24, options.clip.width = 40;
        options.batch = 4;
        options.workers = workers;
        options.seed = 3;
        options.on_bad = policy;
        if (workers % 2 == 0) options.index = update.index;
        Loader loader(dataset, options);
        std::string seen;
        for (int64_t epoch = 0; epoch < 2; ++epoch) {
          loader.start_epoch(epoch);
          for (Batch batch; loader.next(batch);) {
            const auto bytes = batch.frames.values<uint8_t>();
            seen.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            for (const int64_t item : batch.items) seen += concat(" ", item);
          }
          for (const LoaderStats::Bad& bad : loader.stats().bad) seen += concat("\n", bad.item, bad.why);
          if (workers == 0 && policy == BadClip::replace) replaced += std::ssize(loader.stats().bad);
          if (std::string(name) == "no_index.mp4") {
            REQUIRE(loader.stats().bad.size() == 1);
            CHECK(loader.stats().bad[0].why == paths[0] + ": " + inputs().named(name).error);
          }
        }
        return seen;
      };
      const std::string expected = epochs(0);
      CHECK(expected.size() > 2 * 5 * 24 * 40 * 3 * 5);
      for (const int workers : {1, 2, 16}) CHECK((epochs(workers) == expected));
    }
  }
  MESSAGE("clips replaced: ", replaced);
}
