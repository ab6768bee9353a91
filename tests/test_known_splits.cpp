// io/known_splits, io/stratify, io/trim: data sets as they are published, groups, and parts of videos.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "io/dataset.h"
#include "io/list_file.h"
#include "io/loader.h"
#include "io/stratify.h"
#include "io/trim.h"
#include "tests/program_run.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;
using program_run::write_text;

namespace {

Splits open_whole(const std::string& path, int number = 0) {
  return open_splits(path, {.val_fraction = 0, .split_number = number});
}

std::pair<int, std::string> refusal(const std::string& path, int number = 0) {
  return error_of([&] { open_whole(path, number); });
}

// "Diving/v.avi=1 ..." in the order of the samples.
std::string told(const Dataset& dataset) {
  std::string text;
  for (const Sample& sample : dataset.samples)
    text += concat(text.empty() ? "" : " ", sample.name, "=", dataset.classes.at(static_cast<size_t>(sample.label)));
  return text;
}

void make_ucf101(const std::string& root, const std::string& lists) {
  for (const char* clip :
       {"Diving/v_Diving_g01_c01", "Diving/v_Diving_g02_c01", "Archery/v_Archery_g01_c01", "Archery/v_Archery_g03_c02"})
    touch(concat(root, "/UCF-101/", clip, ".avi"));
  write_text(lists + "/classInd.txt", "1 Archery\r\n2 Diving\r\n");
  write_text(lists + "/trainlist01.txt", "Diving/v_Diving_g02_c01.avi 2\r\nArchery/v_Archery_g03_c02.avi 1\r\n");
  write_text(lists + "/testlist01.txt", "Diving/v_Diving_g01_c01.avi\r\nArchery/v_Archery_g01_c01.avi\r\n");
  write_text(lists + "/trainlist03.txt", "Archery/v_Archery_g01_c01.avi 1\nDiving/v_Diving_g01_c01.avi 2\n");
}

}  // namespace

TEST_CASE("UCF101's split files, wherever they and the videos lie") {
  for (const std::string lists : {"", "/ucfTrainTestlist"}) {
    const TemporaryFolder folder;
    make_ucf101(folder.path(), folder.path() + lists);
    const Splits splits = open_whole(folder.path());
    CHECK(splits.train.classes == std::vector<std::string>{"Archery", "Diving"});
    CHECK(told(splits.train) == "Diving/v_Diving_g02_c01.avi=Diving Archery/v_Archery_g03_c02.avi=Archery");
    CHECK(told(splits.test) == "Diving/v_Diving_g01_c01.avi=Diving Archery/v_Archery_g01_c01.avi=Archery");
    CHECK(splits.test.samples[1].line == 2);
    CHECK(splits.train.samples[0].group == "Diving_g02");
    CHECK(splits.how == "UCF101, split 1 of 2 (--split-number chooses): trainlist01.txt, testlist01.txt");
    CHECK(told(open_whole(folder.path(), 3).train) ==
          "Archery/v_Archery_g01_c01.avi=Archery Diving/v_Diving_g01_c01.avi=Diving");
    const std::string file = folder.path() + lists + "/trainlist03.txt";
    CHECK(told(open_whole(file).train) == told(open_whole(folder.path(), 3).train));
    const auto [code, message] = refusal(folder.path(), 2);
    CHECK(code == exit_code::kUsage);
    CHECK(contains(message, "has the splits 1, 3"));
  }
}

TEST_CASE("UCF101: labels by folder, videos of another ending, and mistakes") {
  const TemporaryFolder folder;
  make_ucf101(folder / "data", folder / "data/lists");
  const std::string list = folder / "data/lists/trainlist01.txt";
  const auto refused = [&](const std::string& content, const std::string& why) {
    write_text(list, content);
    const auto [code, message] = refusal(folder / "data");
    CHECK(code == exit_code::kData);
    CHECK_MESSAGE(contains(message, why), message);
  };
  refused("Diving/v_Diving_g02_c01.avi 1\n",
          "trainlist01.txt:1: class 1 is Archery in classInd.txt, and the folder Div");
  refused("Diving/v_Diving_g02_c01.avi 9\n", "trainlist01.txt:1: classInd.txt has no class 9");
  refused("Rowing/v_Rowing_g02_c01.avi\n", "trainlist01.txt:1: the class Rowing is not in classInd.txt");
  refused("v_Diving_g02_c01.avi\n", "trainlist01.txt:1: neither a number nor a folder tells the class");
  fs::remove(folder / "data/lists/classInd.txt");
  fs::rename(folder / "data/UCF-101/Diving/v_Diving_g02_c01.avi", folder / "data/UCF-101/Diving/v_Diving_g02_c01.mp4");
  write_text(list, "Diving/v_Diving_g02_c01.avi\nArchery/v_Archery_g03_c02.avi\n");
  CHECK(told(open_whole(folder / "data").train) ==
        "Diving/v_Diving_g02_c01.avi=Diving Archery/v_Archery_g03_c02.avi=Archery");
  write_text(list, "Diving/v_Diving_g02_c01.avi\nArchery/v_Archery_g99_c01.avi\n");
  CHECK(refusal(folder / "data").first == exit_code::kNoInput);
  CHECK(contains(refusal(folder / "data").second, "1 of 4 clips are missing"));
  // The folder of the lists alone, with the videos beside it.
  write_text(list, "Diving/v_Diving_g02_c01.avi\nArchery/v_Archery_g03_c02.avi\n");
  CHECK(open_whole(folder / "data/lists").train.samples.size() == 2);
}

TEST_CASE("groups in names stay together where a validation part is split off") {
  const TemporaryFolder folder;
  std::string train;
  for (const std::string name : {"Diving", "Archery", "Rowing"})
    for (int group = 1; group <= 7; ++group)
      for (int clip = 1; clip <= 3; ++clip) {
        const std::string path = concat(name, "/v_", name, "_g0", group, "_c0", clip, ".avi");
        touch(folder / path);
        train += path + "\n";
      }
  write_text(folder / "trainlist01.txt", train);
  for (const uint64_t seed : {1u, 5u}) {
    const Splits splits = open_splits(folder.path(), {.val_fraction = 0.3, .seed = seed});
    std::set<std::string> groups;
    for (const Sample& sample : splits.train.samples) groups.insert(sample.group);
    std::map<int64_t, int> of_class;
    for (const Sample& sample : splits.val.samples) {
      CHECK_FALSE(groups.contains(sample.group));
      ++of_class[sample.label];
    }
    CHECK(of_class == std::map<int64_t, int>{{0, 6}, {1, 6}, {2, 6}});  // of 21; 6.3 are wanted
    CHECK(contains(splits.how, "and no group in both"));
  }
}

TEST_CASE("HMDB51's split files, with names that look like comments") {
  const TemporaryFolder folder;
  const std::string odd = "#20_Rhythm_[x]&_clap_u_nm_np1_fr_goo_0.avi";
  for (const std::string& clip : {"clap/" + odd, std::string("clap/Film_clap_u_nm_np1_fr_goo_1.avi"),
                                  std::string("clap/c.avi"), std::string("wave/c.avi"), std::string("wave/d.avi")})
    touch(folder / ("hmdb51_org/" + clip));
  const std::string lists = folder / "testTrainMulti_7030_splits/";
  write_text(lists + "clap_test_split2.txt", odd + " 1 \nFilm_clap_u_nm_np1_fr_goo_1.avi 2 \nc.avi 0 \n");
  write_text(lists + "wave_test_split2.txt", "c.avi 1 \nd.avi 2 \n");
  write_text(lists + "wave_test_split3.txt", "d.avi 1\n");
  write_text(lists + "clap_test_split3.txt", "c.avi 1\n");
  const Splits splits = open_whole(folder.path());
  CHECK(told(splits.train) == "clap/" + odd + "=clap wave/c.avi=wave");
  CHECK(told(splits.test) == "clap/Film_clap_u_nm_np1_fr_goo_1.avi=clap wave/d.avi=wave");
  CHECK(splits.train.samples[0].group == "clap/#20_Rhythm_[x]&");
  CHECK(splits.train.samples[1].path == folder / "hmdb51_org/wave/c.avi");
  CHECK(contains(splits.how, "HMDB51, split 2 of 2"));
  CHECK(open_whole(lists + "wave_test_split3.txt").train.samples.size() == 2);
  write_text(lists + "wave_test_split2.txt", "c.avi 1\nd.avi 3\n");
  CHECK(contains(refusal(folder.path()).second, "wave_test_split2.txt:2: 1 for training, 2 for testing or 0"));
}

TEST_CASE("Kinetics: columns by name, cut-out and whole videos, missing ones counted") {
  const TemporaryFolder folder;
  write_text(folder / "annotations/train.csv",
             "\xef\xbb\xbflabel,youtube_id,time_start,time_end,split,is_cc\r\n"
             "\"swinging, baseball\",-a_0,10,20,train,0\r\n"
             "riding mule,bbb,3.5,13.5,train,0\r\n"
             "riding mule,gone,1,11,train,0\r\n");
  write_text(folder / "annotations/validate.csv",
             "youtube_id,time_start,time_end,split,label\n"
             "ccc,0,10,validate,riding mule\n"
             "ddd,0,10,test,\n");
  touch(folder / "train/swinging_baseball/-a_0_000010_000020.mp4");
  touch(folder / "train/riding_mule/bbb.mkv");
  touch(folder / "val/ccc_000000_000010.mp4");
  const Splits splits = open_whole(folder.path());
  CHECK(told(splits.train) == "-a_0_000010_000020=swinging, baseball bbb_000003_000013=riding mule");
  CHECK(told(splits.val) == "ccc_000000_000010=riding mule");
  CHECK(splits.test.samples.empty());
  CHECK(splits.train.samples[0].end == 0);
  CHECK(splits.train.samples[1].begin == 3.5);
  CHECK(splits.train.samples[1].end == 13.5);
  CHECK(splits.how ==
        "Kinetics: train.csv, validate.csv; 1 clips without a video left out; 1 clips without a label left out");
  CHECK(refusal(folder.path(), 1).first == exit_code::kUsage);
  write_text(folder / "annotations/train.csv", "label,youtube_id,time_start,time_end\nx,bbb,10,3\n");
  CHECK(contains(refusal(folder.path()).second, "train.csv:2: youtube_id, time_start and time_end"));
  write_text(folder / "annotations/train.csv", "label,youtube_id,time_start,time_end\nx,\"bbb,10,3\n");
  CHECK(contains(refusal(folder.path()).second, "train.csv:2: a quote is not closed"));
  write_text(folder / "annotations/train.csv", "label,youtube_id,time_start,time_end\nx,bbb,1,3,train\n");
  CHECK(contains(refusal(folder.path()).second, "train.csv:2: 5 cells where the first line names 4"));
}

TEST_CASE("a part of a video: its frames and no others") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_video(folder / "a.mp4", 40, kX264);  // 25 a second
  make_video(folder / "b.mp4", 40, kX264);
  write_file(folder / "list.txt", "a.mp4#t=0.4,1.0 0\n\"b.mp4#t=0.8\" 1\na.mp4#t=,0.2\t0\n");
  const Splits splits = open_whole(folder / "list.txt");
  const std::array<std::pair<int, int>, 3> expected = {{{10, 15}, {20, 20}, {0, 5}}};
  for (size_t i = 0; i < 3; ++i) {
    const auto source = open_clip(splits.train.samples[i]);
    REQUIRE(source->frame_count() == expected[i].second);
    std::vector<int64_t> frames = {source->frame_count() - 1, 0};
    std::vector<uint8_t> rgb(2 * kSmall.bytes());
    source->read_frames(frames, {}, rgb);
    CHECK(number_shown(rgb.data() + kSmall.bytes(), kSmall) == expected[i].first);
    CHECK(number_shown(rgb.data(), kSmall) == expected[i].first + expected[i].second - 1);
    frames = {source->frame_count(), 0};
    CHECK_THROWS_AS(source->read_frames(frames, {}, rgb), Error);
  }
  LoaderOptions options{.clip = {.frames = 3, .height = kSmall.height, .width = kSmall.width}, .workers = 1};
  options.training = options.shuffle = false;
  Loader loader(splits.train, options);
  loader.start_epoch(0);
  Batch batch;
  REQUIRE(loader.next(batch));
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t t = 0; t < 3; ++t) {
      const auto [first, count] = expected[static_cast<size_t>(i)];
      const auto offset = static_cast<size_t>(i * 3 + t) * kSmall.bytes();
      CHECK(number_shown(batch.frames.values<uint8_t>().data() + offset, kSmall) ==
            first + (2 * static_cast<int>(t) + 1) * count / 6);
    }
  Sample late = splits.train.samples[0];
  late.begin = 9;
  late.end = 0;
  CHECK(contains(error_of([&] { open_clip(late); }).second, "begins at 9 s, and the video ends"));
  write_file(folder / "twice.txt", "a.mp4#t=0.4,1.0 0\nb.mp4 1\na.mp4#t=0.4,1 0\n");
  CHECK(contains(refusal(folder / "twice.txt").second, "twice.txt:3: a.mp4#t=0.4,1: the same clip as"));
}

TEST_CASE("lists: every combination of separator, quotes, line end and mark") {
  const TemporaryFolder folder;
  int lines = 0;
  for (const std::string mark : {"", "\xef\xbb\xbf"})
    for (const std::string end : {"\n", "\r\n"})
      for (const std::string separator : {" ", "\t", ",", ", ", " ,", "  ", "\t\t"})
        for (const std::string path : {"a.mp4", "a b,c.mp4", "\"a b,c.mp4\"", "\"a\"\"b.mp4\"", "/abs/d e.mp4"})
          for (const std::string label : {"3", "wave", "\"swipe left\"", "\"a, b\"", "\"\"\"x\"\"\""}) {
            const auto plain = [](std::string text) {
              if (!text.starts_with('"')) return text;
              text = text.substr(1, text.size() - 2);
              for (size_t at = 0; (at = text.find("\"\"", at)) != text.npos; ++at) text.erase(at, 1);
              return text;
            };
            write_file(folder / "list.txt",
                       mark + path + separator + label + end + "# no line" + end + path + separator + label);
            for (const ListEntry& entry : read_list(folder / "list.txt")) {
              CHECK(entry.path == plain(path));
              CHECK(entry.label == plain(label));
              ++lines;
            }
          }
  CHECK(lines == 2 * 2 * 2 * 7 * 5 * 5);
  for (const std::string text : {"", "a b", "#a", "\"", "a\"b", "plain", "a,b", "tab\t", " x "}) {
    write_file(folder / "list.txt", quoted_for_list(text.empty() ? "x y" : text) + " " + quoted_for_list(text));
    CHECK(read_list(folder / "list.txt").at(0).path == (text.empty() ? "x y" : text));
    CHECK(read_list(folder / "list.txt").at(0).label == text);
  }
  write_file(folder / "list.txt",
             "\xff\xfe"
             "a");
  CHECK(contains(error_of([&] { read_list(folder / "list.txt"); }).second, "list.txt:1: UTF-16; save the file as"));
}

TEST_CASE("lists: absolute paths, folders with the number of their frames, and paths alone") {
  const TemporaryFolder folder;
  touch(folder / "data/a.mp4");
  touch(folder / "data/b c.mp4");
  touch(folder / "frames/1.png");
  write_file(folder / "list.txt",
             concat(folder / "data/a.mp4", " 0\n\"", folder / "data/b c.mp4", "\",1\nframes 1 1\n"));
  const Dataset dataset = open_whole(folder / "list.txt").train;
  CHECK(dataset.samples[0].path == folder / "data/a.mp4");
  CHECK(dataset.samples[1].path == folder / "data/b c.mp4");
  CHECK(dataset.samples[2].path == folder / "frames");
  write_file(folder / "paths.txt", concat("data/b c.mp4\r\n", folder / "data/a.mp4", "\r\ndata/a.mp4 0\ngone.mp4\n"));
  CHECK(read_paths(folder / "paths.txt") == std::vector<std::string>{folder / "data/b c.mp4", folder / "data/a.mp4",
                                                                     folder / "data/a.mp4", folder / "gone.mp4"});
}

TEST_CASE("problems are collected where they are wanted") {
  const TemporaryFolder folder;
  touch(folder / "a.mp4");
  write_file(folder / "classes.txt", "x\ny\n");
  write_file(folder / "train.txt", "a.mp4 0\nlonely.mp4\na.mp4 7\ngone.mp4 1\na.mp4 0\n");
  std::vector<std::string> problems;
  const Splits splits = open_splits(folder.path(), {.problems = &problems});
  CHECK(splits.train.samples.size() == 3);
  REQUIRE(problems.size() == 2);
  CHECK(contains(problems[0], "train.txt:2: a path and a label are expected"));
  CHECK(contains(problems[1], "train.txt:3: label 7 is not from 0 to 1"));
}

TEST_CASE("stratify: whole groups, every class in proportion, by seed") {
  Dataset dataset;
  dataset.classes = {"a", "b", "c"};
  Random random(11);
  for (int person = 0; person < 20; ++person)
    for (int64_t label = 0; label < 3; ++label)
      for (uint64_t i = 0, n = 2 + random.below(3); i < n; ++i) {
        Sample sample;
        sample.label = label;
        sample.group = concat("s", person);
        dataset.samples.push_back(sample);
      }
  const std::array fractions = {0.65, 0.15, 0.2};
  const std::vector<size_t> parts = stratify(dataset, fractions, 3);
  CHECK(parts == stratify(dataset, fractions, 3));
  CHECK(parts != stratify(dataset, fractions, 4));
  std::map<std::string, std::set<size_t>> parts_of;
  std::array<std::array<double, 3>, 3> counts{};
  std::array<double, 3> totals{};
  for (size_t i = 0; i < parts.size(); ++i) {
    parts_of[dataset.samples[i].group].insert(parts[i]);
    const auto label = static_cast<size_t>(dataset.samples[i].label);
    ++counts.at(parts[i]).at(label);
    ++totals.at(label);
  }
  for (const auto& [group, in] : parts_of) CHECK(in.size() == 1);
  for (size_t part = 0; part < 3; ++part)
    for (size_t label = 0; label < 3; ++label)
      CHECK(std::abs(counts.at(part).at(label) / totals.at(label) - fractions.at(part)) < 0.05);
  for (Sample& sample : dataset.samples) sample.group.clear();
  const std::vector<size_t> single = stratify(dataset, fractions, 3);
  counts = {};
  for (size_t i = 0; i < single.size(); ++i) ++counts.at(single[i]).at(static_cast<size_t>(dataset.samples[i].label));
  for (size_t part = 0; part < 3; ++part)
    for (size_t label = 0; label < 3; ++label)
      CHECK(std::abs(counts.at(part).at(label) - fractions.at(part) * totals.at(label)) <= 1);
  CHECK(group_in_name("x/v_BoxingPunchingBag_g11_c02.avi") == "BoxingPunchingBag_g11");
  for (const char* name : {"v_a_g1.avi", "a_g01_c01.avi", "v_a_gx_c01.mp4", "v_a_g01_c.mp4", "v_g_c", "v_a_g_c1"})
    CHECK(group_in_name(name).empty());
}
