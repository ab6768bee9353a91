// engine_data split and check, run as programs; find_repeats and decoded_frames.
#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "io/dataset.h"
#include "tests/program_run.h"
#include "tests/video_fixtures.h"
#include "train/data_check.h"
#include "train/data_leaks.h"
#include "train/data_speed.h"

using namespace engine;
using namespace engine::fixtures;
using program_run::engine_data;
using program_run::Outcome;
using program_run::run;
using program_run::write_text;

namespace {

// Three classes of six people with three clips each: CLASS/sPERSON_tCLIP.mp4; nobody opens them.
void make_people(const TemporaryFolder& folder) {
  for (const char* name : {"clap", "throw", "wave"})
    for (int person = 1; person <= 6; ++person)
      for (int clip = 1; clip <= 3; ++clip)
        write_text(folder / concat("set/", name, "/s", person, "_t", clip, ".mp4"), concat(name, person, clip));
}

std::set<std::string> people_of(const Dataset& dataset) {
  std::set<std::string> people;
  for (const Sample& sample : dataset.samples) people.insert(fs::path(sample.path).filename().string().substr(0, 2));
  return people;
}

std::map<int64_t, int> counts_of(const Dataset& dataset) {
  std::map<int64_t, int> counts;
  for (const Sample& sample : dataset.samples) ++counts[sample.label];
  return counts;
}

nlohmann::json checked(const TemporaryFolder& scratch, const std::string& path, int code,
                       const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"check", path, "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = engine_data(scratch, arguments);
  INFO(outcome.out, outcome.err);
  CHECK(outcome.code == code);
  return nlohmann::json::parse(outcome.out);
}

// "kind where" of every problem.
std::vector<std::string> problems_of(const nlohmann::json& report) {
  std::vector<std::string> found;
  for (const auto& each : report.at("problems"))
    found.push_back(each.at("kind").get<std::string>() + " " + each.at("where").get<std::string>());
  return found;
}

}  // namespace

TEST_CASE("split: lists that open as a data set, people kept together, the same for the same seed") {
  const TemporaryFolder folder;
  make_people(folder);
  const Outcome outcome = engine_data(folder, {"split", folder / "set", "--out", folder / "lists", "--groups",
                                               "(s[0-9]+)_", "--val", "0.16", "--test", "0.34", "--seed", "3"});
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.out == folder / "lists/train.txt" + "\t27 clips\n" + folder / "lists/val.txt" + "\t9 clips\n" +
                           folder / "lists/test.txt" + "\t18 clips\n");
  CHECK(contains(outcome.err, "No group in two parts, of 6 groups"));
  const Splits splits = open_splits(folder / "lists");
  CHECK(splits.train.classes == std::vector<std::string>{"clap", "throw", "wave"});
  CHECK(counts_of(splits.train) == std::map<int64_t, int>{{0, 9}, {1, 9}, {2, 9}});
  CHECK(counts_of(splits.val) == std::map<int64_t, int>{{0, 3}, {1, 3}, {2, 3}});
  CHECK(counts_of(splits.test) == std::map<int64_t, int>{{0, 6}, {1, 6}, {2, 6}});
  std::set<std::string> all;
  for (const Dataset* part : {&splits.train, &splits.val, &splits.test})
    for (const std::string& person : people_of(*part)) CHECK(all.insert(person).second);
  CHECK(all.size() == 6);
  CHECK(splits.train.samples[0].name.starts_with("../set/"));
  for (const Sample& sample : splits.train.samples)
    CHECK(contains(sample.path, splits.train.classes[static_cast<size_t>(sample.label)]));

  const std::string train = read_file(folder / "lists/train.txt");
  const auto again = [&](const std::string& seed) {
    engine_data(folder, {"split", folder / "set", "--out", folder / "again", "--groups", "(s[0-9]+)_", "--val", "0.16",
                         "--test", "0.34", "--seed", seed, "--force"});
    return read_file(folder / "again/train.txt");
  };
  CHECK(again("3") == train);
  CHECK(again("4") != train);
}

TEST_CASE("split: without groups every class in proportion; a table of groups; labels of every kind survive") {
  const TemporaryFolder folder;
  make_people(folder);
  REQUIRE(engine_data(folder, {"split", folder / "set", "--out", folder / "far/away/lists"}).code == 0);
  const Splits plain = open_splits(folder / "far/away/lists");
  for (const Dataset* part : {&plain.train, &plain.val, &plain.test})
    for (const auto& [label, count] : counts_of(*part))
      CHECK(std::abs(count - 18 * (part == &plain.train ? 0.7 : part == &plain.val ? 0.1 : 0.2)) <= 1);
  CHECK(plain.train.samples[0].name.starts_with("/"));

  std::string table = "path,room\n";
  for (const char* name : {"clap", "throw", "wave"})
    for (int person = 1; person <= 6; ++person)
      for (int clip = 1; clip <= 3; ++clip)
        table += concat("set/", name, "/s", person, "_t", clip, ".mp4,room ", person % 3, "\n");
  write_text(folder / "meta.csv", table);
  REQUIRE(engine_data(folder, {"split", folder / "set", "--out", folder / "rooms", "--groups", folder / "meta.csv:room",
                               "--val", "0.33", "--test", "0.33"})
              .code == 0);
  const Splits rooms = open_splits(folder / "rooms");
  for (const Dataset* part : {&rooms.train, &rooms.val, &rooms.test}) {
    const std::set<std::string> people = people_of(*part);
    CHECK(people.size() == 2);
    CHECK((*people.begin())[1] + 3 == (*people.rbegin())[1]);
  }

  write_text(folder / "few/a b.mp4", "1");
  write_text(folder / "few/#c.mp4", "2");
  write_text(folder / "few/d.mp4", "3");
  write_text(folder / "few/list.txt", "\"a b.mp4\" 0.25,-3\n\"#c.mp4\" 1e-7,4\nd.mp4 2,0\n");
  write_text(folder / "few/tags.txt", "\"a b.mp4\" \"x y,z\"\n\"#c.mp4\" \"\"\nd.mp4#t=0.5,2 z\n");
  for (const auto& [head, list] : {std::pair("regression", "list.txt"), {"multilabel", "tags.txt"}}) {
    REQUIRE(engine_data(folder, {"split", folder / concat("few/", list), "--head", head, "--out", folder / head,
                                 "--val", "0", "--test", "0"})
                .code == 0);
    const SplitOptions options{.val_fraction = 0,
                               .head = std::string(head) == "regression" ? Head::regression : Head::multilabel};
    const Dataset was = open_splits(folder / concat("few/", list), options).train,
                  now = open_splits(folder / head, options).train;
    CHECK(now.classes == was.classes);
    REQUIRE(now.samples.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(now.samples[i].targets == was.samples[i].targets);
      CHECK(fs::equivalent(now.samples[i].path, was.samples[i].path));
      CHECK(now.samples[i].begin == was.samples[i].begin);
      CHECK(now.samples[i].end == was.samples[i].end);
    }
  }
}

TEST_CASE("split: what is refused") {
  const TemporaryFolder folder;
  make_people(folder);
  const auto refused = [&](const std::vector<std::string>& more, const std::string& why, int code = exit_code::kUsage) {
    std::vector<std::string> arguments = {"split", folder / "set", "--out", folder / "lists"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = engine_data(folder, arguments);
    INFO(outcome.err);
    CHECK(outcome.code == code);
    CHECK(std::ranges::count(outcome.err, '\n') == 1);
    CHECK(contains(outcome.err, why));
    CHECK_FALSE(fs::exists(folder / "lists/train.txt"));
  };
  refused({"--val", "0.5", "--test", "0.5"}, "together below 1");
  refused({"--groups", "(s"}, "not a regular expression");
  refused({"--groups", "_x"}, "clap/s1_t1.mp4 does not match; every clip must be in a group");
  refused({"--groups", "(x*)"}, "--groups (x*): an empty group for clap/s1_t1.mp4");
  write_text(folder / "meta.tsv", "path\tclass\troom\nset/clap/s1_t1.mp4\tclap\t\n");
  refused({"--groups", folder / "meta.tsv:camera"}, "has no column 'camera'");
  refused({"--groups", folder / "meta.tsv:room"}, "meta.tsv: no room for clap/s1_t1.mp4; every clip must be in a group",
          exit_code::kData);
  write_text(folder / "lists/classes.txt", "mine\n");
  refused({}, "was not made by engine_data");
  fs::remove_all(folder / "lists");
  REQUIRE(engine_data(folder, {"split", folder / "set", "--out", folder / "lists"}).code == 0);
  const Outcome again = engine_data(folder, {"split", folder / "set", "--out", folder / "lists"});
  CHECK(again.code == exit_code::kUsage);
  CHECK(contains(again.err, "train.txt is there already; choose another folder, or give --force to replace it"));
  write_text(folder / "file", "x");
  const Outcome below = engine_data(folder, {"split", folder / "set", "--out", folder / "file"});
  CHECK(below.code == exit_code::kStorage);
  CHECK(contains(below.err, "cannot make the folder " + (folder / "file") + ": Not a directory; choose another\n"));
  write_text(folder / "heap/a.mp4", "x");
  const Outcome heap = engine_data(folder, {"split", folder / "heap", "--out", folder / "more"});
  CHECK(heap.code == exit_code::kUsage);
  CHECK(contains(heap.err, "; labels are needed to split it\n"));
}

TEST_CASE("repeats: the same file, the same bytes, the same group, in one part and in two") {
  const TemporaryFolder folder;
  const std::string bytes(200000, 'x'), other = bytes.substr(0, 100000) + "y" + bytes.substr(100001);
  write_text(folder / "a.mp4", bytes);
  write_text(folder / "b.mp4", bytes);
  write_text(folder / "c.mp4", other);  // of the same size, with the same ends
  write_text(folder / "d.mp4", bytes);
  Splits splits;
  const auto add = [&](Dataset& part, const std::string& name, const std::string& group) {
    Sample sample{folder / name, 0, name};
    sample.group = group;
    part.samples.push_back(sample);
  };
  add(splits.train, "a.mp4", "p");
  add(splits.train, "b.mp4", "q");
  add(splits.train, "c.mp4", "q");
  add(splits.test, "a.mp4", "");
  add(splits.test, "d.mp4", "r");
  add(splits.test, "gone.mp4", "q");
  const auto told = [&](bool leaks_only) {
    std::string text;
    for (const Repeat& each : find_repeats(clips_of(splits), leaks_only))
      text += concat(each.clip.part_name, " ", each.clip.sample->name, " ", static_cast<int>(each.kind), " ",
                     each.earlier.sample->name, "\n");
    return text;
  };
  CHECK(told(false) == "train b.mp4 1 a.mp4\ntest a.mp4 0 a.mp4\ntest d.mp4 1 a.mp4\ntest gone.mp4 2 b.mp4\n");
  CHECK(told(true) == "test a.mp4 0 a.mp4\ntest d.mp4 1 a.mp4\ntest gone.mp4 2 b.mp4\n");
  CHECK(contains(leak_warning(splits, "set"), "3 clips are in two parts, the first: train a.mp4 and test a.mp4"));
  splits.test.samples.clear();
  CHECK(leak_warning(splits, "set").empty());
}

TEST_CASE("engine_train warns of clips in two parts in one line") {
  const TemporaryFolder folder;
  program_run::make_videos(folder / "set");
  const auto train = [&] {
    return run(folder, "engine_train", {folder / "set", "--dry-run", "--out", folder / "run"}).err;
  };
  CHECK_FALSE(contains(train(), "warning"));
  for (const auto& entry : fs::directory_iterator(folder / "set/train/bars"))
    fs::copy_file(entry.path(), folder / "set/test/bars" + "/copy" + entry.path().extension().string(),
                  fs::copy_options::overwrite_existing);
  CHECK(contains(train(), "warning: 1 clip is in two parts"));
}

TEST_CASE("frames to decode for those of a clip") {
  CHECK(decoded_frames({0, 1, 2, 3}, 12) == 4);
  CHECK(decoded_frames({5, 5, 11}, 12) == 12);
  CHECK(decoded_frames({5, 14, 30}, 12) == 6 + 3 + 7);
  CHECK(decoded_frames({5, 14, 30}, 100) == 31);
  CHECK(decoded_frames({7}, 2.5) == 3);  // a key frame at 5
}

TEST_CASE("check: every planted fault, and nothing else") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string h264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 250 -bf 0 ";
  const auto path = [&](const std::string& name) { return folder / ("set/" + name); };
  fs::create_directories(path("a"));
  fs::create_directories(path("b"));
  make_video(path("a/good.mp4"), 40, h264 + "-movflags +faststart");
  make_video(path("b/good.mkv"), 48, h264);
  make_video(path("b/short.mp4"), 9, h264);
  make_video(path("b/tagged.mp4"), 20, h264 + "-colorspace bt709 -color_range tv");
  const std::string good = read_file(path("a/good.mp4")), matroska = read_file(path("b/good.mkv"));
  write_text(path("a/cut.mp4"), good.substr(0, good.size() * 6 / 10));
  write_text(path("a/cut.mkv"), matroska.substr(0, matroska.size() * 6 / 10));
  write_text(path("a/empty.mp4"), "");
  write_text(path("a/text.mp4"), "<html>not found</html>");
  std::string holes = good;  // damage that only decoding finds
  for (size_t i = holes.size() * 7 / 10; i < holes.size() * 7 / 10 + 2000; ++i) holes[i] = '\0';
  write_text(path("b/holes.mp4"), holes);
  ffmpeg("-f lavfi -i anullsrc=d=1 -c:a aac '" + path("b/sound.mp4") + "'");
  fs::copy_file(path("b/good.mkv"), path("b/copy.mkv"));
  write_text(path("classes.txt"), "a\nb\n");
  write_text(path("train.txt"),
             "a/good.mp4 0\nb/good.mkv 1\na/cut.mp4 0\na/cut.mkv 0\na/empty.mp4 0\na/text.mp4 0\nb/holes.mp4 1\n"
             "b/sound.mp4 1\nlonely.mp4\nb/short.mp4 5\na/gone.mp4 0\nb/tagged.mp4 1\n");
  write_text(path("test.txt"), "b/short.mp4 1\nb/copy.mkv 1\n");
  const auto report = checked(folder, folder / "set", exit_code::kData, {"--deep", "--size", "32"});
  const auto in_list = [&](const std::string& kind, const std::string& list, int line, const std::string& name) {
    return concat(kind, " ", path(list), ":", line, name.empty() ? "" : ": " + name);
  };
  CHECK(problems_of(report) ==
        std::vector<std::string>{
            in_list("unlabelled", "train.txt", 9, ""), in_list("broken list", "train.txt", 10, ""),
            in_list("cut off", "train.txt", 3, "a/cut.mp4"), in_list("cut off", "train.txt", 4, "a/cut.mkv"),
            in_list("empty", "train.txt", 5, "a/empty.mp4"), in_list("no video", "train.txt", 6, "a/text.mp4"),
            in_list("damaged", "train.txt", 7, "b/holes.mp4"), in_list("audio only", "train.txt", 8, "b/sound.mp4"),
            in_list("missing", "train.txt", 11, "a/gone.mp4"), in_list("short", "test.txt", 1, "b/short.mp4"),
            in_list("leak", "test.txt", 2, "b/copy.mkv")});
  CHECK(report.at("clips") == 12);
  CHECK(report.at("readable") == 8);
  CHECK(report.at("counts").at("size") == nlohmann::json{{"160x96", 8}});
  CHECK(report.at("counts").at("key frames").at("every 60 or less") == 4);
  CHECK(report.at("counts").at("colour").at("bt709 limited") == 1);
  CHECK(report.at("oddities").empty());
  CHECK(report.at("clips_per_second") > 0);
  CHECK_FALSE(report.contains("dense_key_frames"));  // every frame is decoded anyway
  const auto sparse = checked(folder, path("b/good.mkv"), 0, {"--frames", "2", "--size", "32"});
  CHECK(sparse.at("dense_key_frames").at("factor") > 0);
  CHECK(sparse.at("dense_key_frames").at("space") > 0);

  const Outcome text = engine_data(folder, {"check", folder / "set", "--deep"});
  CHECK(text.code == exit_code::kData);
  CHECK(text.err.empty());
  CHECK(contains(text.out, "cut off     " + path("train.txt") + ":3: a/cut.mp4: only "));
  CHECK(contains(text.out, " of 40 frames are there; get it again; what is there can be used\n"));
  CHECK(contains(text.out, "problems    cut off (2), audio only (1), broken list (1), "));

  fs::remove(path("train.txt"));
  write_text(path("train.txt"), "a/good.mp4 0\nb/good.mkv 1\n");
  fs::remove(path("test.txt"));
  CHECK(problems_of(checked(folder, folder / "set", 0)).empty());
}

TEST_CASE("check: the faults of real files, and none in sound ones") {
  const fs::path odd = fs::path(test::real_data()) / "odd";
  if (!video_available() || !fs::exists(odd / "README.md")) {
    MESSAGE("skipped: no FFmpeg in this build, or no ", odd, "; set ENGINE_REAL_DATA to the folder that holds odd/");
    return;
  }
  const std::map<std::string, std::string> expected = {{"audio_only.mp4", "audio only"},

                                                       {"cut.mkv", "cut off"},
                                                       {"cut.ts", "cut off"},
                                                       {"cut.webm", "cut off"},
                                                       {"cut_header_only.mp4", "cut off"},
                                                       {"cut_moov_first.mp4", "cut off"},
                                                       {"cut_no_index.avi", "cut off"},
                                                       {"cut_no_moov.mp4", "cut off"},
                                                       {"empty.mp4", "empty"},
                                                       {"encrypted.mp4", "encrypted"},
                                                       {"encrypted.webm", "corrupt"},
                                                       {"ended_early.mkv", "cut off"},
                                                       {"init_segment_only.mp4", "cut off"},
                                                       {"no_extension", "duplicate"},
                                                       {"text.mp4", "no video"},
                                                       {"truncated_5544.mp4", "cut off"},
                                                       {"vp9_invalid_bitstream.webm", "corrupt"},
                                                       {"ts_start_57s.ts", ""},
                                                       {"tiny_256x110.mp4", ""},
                                                       {"mdat_too_long.mp4", ""},
                                                       {"fragmented.mp4", ""},
                                                       {"no_duration.webm", ""},
                                                       {"partially_fragmented.mp4", ""},
                                                       {"phone_rot90.mp4", ""},
                                                       {"full_range_601.mp4", ""},
                                                       {"interlaced_h264.mp4", ""},
                                                       {"phone_h263_vfr.3gp", ""},
                                                       {"kinetics_demo.mp4", ""},
                                                       {"broken_audio.mp4", ""}};
  const TemporaryFolder folder;
  fs::create_directories(folder / "some");
  for (const auto& [name, kind] : expected) fs::create_symlink(fs::absolute(odd / name), folder / ("some/" + name));
  const auto report = checked(folder, folder / "some", exit_code::kData, {"--frames", "1", "--size", "16"});
  std::map<std::string, std::string> found;
  for (const auto& [name, kind] : expected) found[name];
  for (const auto& each : report.at("problems")) found[each.at("where")] += each.at("kind").get<std::string>();
  for (const auto& [name, kind] : expected) CHECK_MESSAGE(found[name] == kind, name, ": ", found[name]);
  CHECK(found.size() == expected.size());
  CHECK(report.at("oddities").at("interlaced (used as they are)") == 1);
  CHECK(report.at("oddities").at("of variable frame rate (frames are taken by number)") == 2);
  CHECK(report.at("oddities").at("rotated or mirrored by metadata (shown upright)") == 1);
  CHECK(report.at("oddities").at("with pixels that are not square (taken as square)") == 5);
  CHECK(report.at("counts").at("colour").at("bt601 full") == 1);
}

TEST_CASE("check: folders without labels, parts with the same group, and a data set that is not there") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  fs::create_directories(folder / "heap/deeper/still");
  make_video(folder / "heap/one.mp4", 18, kX264);
  make_video(folder / "heap/deeper/still/two.mp4", 19, kX264);
  fs::copy_file(folder / "heap/one.mp4", folder / "heap/deeper/no_ending");
  write_text(folder / "heap/notes", "no video");
  auto report = checked(folder, folder / "heap", exit_code::kData);
  CHECK(report.at("clips") == 4);
  INFO(report.dump(1));
  CHECK(contains(report.at("how"), "without labels"));
  CHECK(problems_of(report) == std::vector<std::string>{"duplicate deeper/no_ending", "no video notes"});
  CHECK(checked(folder, folder / "heap/one.mp4", 0).at("clips") == 1);

  CHECK(engine_data(folder, {"check", folder / "nothing"}).code == exit_code::kNoInput);
  fs::create_directories(folder / "split");
  make_video(folder / "split/s1_a.mp4", 17, kX264);
  make_video(folder / "split/s1_b.mp4", 18, kX264);
  make_video(folder / "split/s2_a.mp4", 19, kX264);
  write_text(folder / "split/train.txt", "s1_a.mp4 0\ns2_a.mp4 1\n");
  write_text(folder / "split/test.txt", "s1_b.mp4 0\n");
  CHECK(problems_of(checked(folder, folder / "split", exit_code::kData, {"--groups", "s[0-9]"})) ==
        std::vector<std::string>{"leak " + folder / "split/test.txt" + ":1: s1_b.mp4"});
}
