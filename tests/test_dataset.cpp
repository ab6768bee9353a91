// io/dataset: what is found at a path, how it is split, what is refused.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

#include "io/dataset.h"
#include "io/list_file.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

// `counts`: clips of classes "a", "b", ...
void make_classes(const std::string& root, const std::vector<int>& counts) {
  for (size_t label = 0; label < counts.size(); ++label)
    for (int i = 0; i < counts[label]; ++i)
      touch(root + "/" + static_cast<char>('a' + label) + "/clip" + std::to_string(i) + ".mp4");
}

std::vector<std::string> names_of(const Dataset& dataset) {
  std::vector<std::string> names;
  for (const Sample& sample : dataset.samples) names.push_back(sample.name);
  return names;
}

std::map<int64_t, int> counts_of(const Dataset& dataset) {
  std::map<int64_t, int> counts;
  for (const Sample& sample : dataset.samples) ++counts[sample.label];
  return counts;
}

// The whole of a data set as one part.
Splits open_whole(const std::string& path) {
  SplitOptions options;
  options.val_fraction = 0;
  return open_splits(path, options);
}

std::pair<int, std::string> refusal(const std::string& path, const SplitOptions& options = {}) {
  return error_of([&] { open_splits(path, options); });
}

}  // namespace

TEST_CASE("lists: separators, quotes, comments, line ends") {
  const TemporaryFolder folder;
  write_file(folder / "list.txt",
             "\xef\xbb\xbf# a comment\r\n"
             "plain.mp4 0\r\n"
             "\r\n"
             "with blanks in it.mp4 1\n"
             "tab.mp4\t2\n"
             "comma.mp4,3\n"
             "comma and blank.mp4, 4\n"
             "\"quoted, \"\"name\"\".mp4\",5\n"
             "  indented.mp4   6  \n"
             "named.mp4,\"swipe left\"\n"
             "v_#1 [x]&.avi 7");
  std::vector<std::string> seen;
  for (const ListEntry& entry : read_list(folder / "list.txt"))
    seen.push_back(std::to_string(entry.line) + "|" + entry.path + "|" + entry.label);
  CHECK(seen == std::vector<std::string>{"2|plain.mp4|0", "4|with blanks in it.mp4|1", "5|tab.mp4|2", "6|comma.mp4|3",
                                         "7|comma and blank.mp4|4", "8|quoted, \"name\".mp4|5", "9|indented.mp4|6",
                                         "10|named.mp4|swipe left", "11|v_#1 [x]&.avi|7"});
}

TEST_CASE("lists: malformed lines are named") {
  const TemporaryFolder folder;
  const std::pair<std::string, std::string> cases[] = {{"a.mp4 0\nlonely.mp4\n", "list.txt:2: "},
                                                       {"a.mp4,\n", "list.txt:1: "},
                                                       {"a.mp4 0\n\n\"b.mp4 1\n", "list.txt:3: "},
                                                       {std::string("a\0b.mp4 1\n", 10), "list.txt:1: "},
                                                       {std::string(70000, 'a') + " 1\n", "list.txt:1: "}};
  for (const auto& [content, place] : cases) {
    write_file(folder / "list.txt", content);
    const auto [code, message] = error_of([&] { read_list(folder / "list.txt"); });
    CHECK(code == exit_code::kData);
    CHECK(contains(message, place));
  }
  CHECK(error_of([&] { read_list(folder / "missing.txt"); }).first == exit_code::kNoInput);
  write_file(folder / "classes.txt", "run\n\n# no class\r\nwalk\r\n");
  CHECK(read_classes(folder / "classes.txt") == std::vector<std::string>{"run", "walk"});
  write_file(folder / "classes.txt", "run\nwalk\nrun\n");
  CHECK(contains(error_of([&] { read_classes(folder / "classes.txt"); }).second, "classes.txt:3: "));
}

TEST_CASE("a folder per class: sorted names, hidden and foreign files left out") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {2, 3});
  touch(folder / "a/.hidden.mp4");
  touch(folder / "a/notes.txt");
  touch(folder / "b/UPPER.AVI");
  touch(folder / "README.md");
  touch(folder / ".git/clip.mp4");
  const Splits splits = open_whole(folder.path());
  CHECK(splits.train.classes == std::vector<std::string>{"a", "b"});
  CHECK(names_of(splits.train) == std::vector<std::string>{"a/clip0.mp4", "a/clip1.mp4", "b/UPPER.AVI", "b/clip0.mp4",
                                                           "b/clip1.mp4", "b/clip2.mp4"});
  CHECK(counts_of(splits.train) == std::map<int64_t, int>{{0, 2}, {1, 4}});
  CHECK(splits.val.samples.empty());
  CHECK(splits.test.samples.empty());
  CHECK(fs::exists(splits.train.samples[0].path));
}

TEST_CASE("folders of images are clips of their class") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {1, 1});
  touch(folder / "a/frames1/img_1.png");
  touch(folder / "b/frames1/img_1.JPG");
  CHECK(names_of(open_whole(folder.path()).train) ==
        std::vector<std::string>{"a/clip0.mp4", "a/frames1", "b/clip0.mp4", "b/frames1"});
  touch(folder / "b/deeper/clip.mp4");
  CHECK(refusal(folder.path()).first == exit_code::kData);
  CHECK(contains(refusal(folder.path()).second, "b/deeper"));
}

TEST_CASE("folders of parts: train, val under any of its names, test") {
  for (const std::string val : {"val", "valid", "validation"}) {
    const TemporaryFolder folder;
    make_classes(folder / "train", {3, 3, 2});
    make_classes(folder / val, {1, 1});
    make_classes(folder / "test", {2, 1, 1});
    const Splits splits = open_splits(folder.path());
    CHECK(splits.train.samples.size() == 8);
    CHECK(counts_of(splits.val) == std::map<int64_t, int>{{0, 1}, {1, 1}});
    CHECK(splits.test.samples.size() == 4);
    CHECK(splits.val.classes == splits.train.classes);
    CHECK(contains(splits.how, val));
    touch(folder / "test/z/clip.mp4");
    CHECK(contains(refusal(folder.path()).second, "test/z"));
  }
  const TemporaryFolder folder;  // "train" is a class here
  touch(folder / "train/a.mp4");
  touch(folder / "plane/a.mp4");
  CHECK(open_whole(folder.path()).train.classes == std::vector<std::string>{"plane", "train"});
}

TEST_CASE("a folder with lists") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {4, 4});
  write_file(folder / "classes.txt", "first\nsecond\n");
  write_file(folder / "train.txt", "a/clip0.mp4 0\na/clip1.mp4 0\nb/clip0.mp4 1\nb/clip1.mp4 second\n");
  write_file(folder / "test.txt", "a/clip2.mp4 0\nb/clip2.mp4 1\n");
  const Splits drawn = open_splits(folder.path());
  CHECK(drawn.train.classes == std::vector<std::string>{"first", "second"});
  CHECK(counts_of(drawn.train) == std::map<int64_t, int>{{0, 1}, {1, 1}});
  CHECK(counts_of(drawn.val) == std::map<int64_t, int>{{0, 1}, {1, 1}});
  CHECK(names_of(drawn.test) == std::vector<std::string>{"a/clip2.mp4", "b/clip2.mp4"});
  CHECK(drawn.test.samples[1].line == 2);
  write_file(folder / "val.txt", "a/clip3.mp4 0\n");
  const Splits given = open_splits(folder.path());
  CHECK(given.train.samples.size() == 4);
  CHECK(names_of(given.val) == std::vector<std::string>{"a/clip3.mp4"});
}

TEST_CASE("a list by itself, and lists given by name") {
  const TemporaryFolder folder;
  make_classes(folder / "data", {3, 3});
  write_file(folder / "data/numbers.txt", "a/clip0.mp4 0\nb/clip0.mp4 2\n");
  CHECK(open_whole(folder / "data/numbers.txt").train.classes == std::vector<std::string>{"0", "1", "2"});
  write_file(folder / "data/names.txt", "a/clip0.mp4,zebra\nb/clip0.mp4,\"big ape\"\n");
  const Dataset named = open_whole(folder / "data/names.txt").train;
  CHECK(named.classes == std::vector<std::string>{"big ape", "zebra"});
  CHECK(named.samples[0].label == 1);
  write_file(folder / "elsewhere.txt", "data/a/clip1.mp4 0\ndata/b/clip1.mp4 1\n");
  write_file(folder / "names.txt", "ape\nbear\ncat\n");
  SplitOptions options;
  options.val_list = folder / "elsewhere.txt";
  options.classes_file = folder / "names.txt";
  const Splits splits = open_splits(folder / "data/numbers.txt", options);
  CHECK(splits.val.samples.size() == 2);
  CHECK(splits.val.classes == std::vector<std::string>{"ape", "bear", "cat"});
  SplitOptions only_val;
  only_val.val_list = folder / "elsewhere.txt";
  CHECK(refusal(folder / "data", only_val).first == exit_code::kUsage);
}

TEST_CASE("the validation share is drawn per class, by seed, and leaves every class in train") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {10, 1, 2, 25});
  SplitOptions options;
  options.seed = 3;
  const Splits first = open_splits(folder.path(), options), again = open_splits(folder.path(), options);
  CHECK(counts_of(first.val) == std::map<int64_t, int>{{0, 2}, {2, 1}, {3, 5}});
  CHECK(counts_of(first.train) == std::map<int64_t, int>{{0, 8}, {1, 1}, {2, 1}, {3, 20}});
  CHECK(names_of(first.val) == names_of(again.val));
  CHECK(contains(first.how, "8 of 38"));
  CHECK(contains(first.how, "seed 3"));
  std::set<std::string> all;
  for (const Dataset* part : {&first.train, &first.val})
    for (const std::string& name : names_of(*part)) CHECK(all.insert(name).second);
  CHECK(all.size() == 38);
  options.seed = 4;
  CHECK(names_of(open_splits(folder.path(), options).val) != names_of(first.val));
  options.val_fraction = 0.99;
  CHECK(counts_of(open_splits(folder.path(), options).train) == std::map<int64_t, int>{{0, 1}, {1, 1}, {2, 1}, {3, 1}});
  for (const double fraction : {-0.1, 1.0, 0.0 / 0.0}) {
    options.val_fraction = fraction;
    CHECK(refusal(folder.path(), options).first == exit_code::kUsage);
  }
}

TEST_CASE("labels out of range, mixed or unknown are named with their line") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {2, 2});
  const std::string list = folder / "list.txt";
  const auto refused = [&](const std::string& content, const std::string& why) {
    write_file(list, content);
    const auto [code, message] = refusal(list);
    CHECK(code == exit_code::kData);
    CHECK_MESSAGE(contains(message, why), message);
  };
  refused("a/clip0.mp4 0\nb/clip0.mp4 -1\n", "list.txt:2: label -1");
  refused("a/clip0.mp4 0\nb/clip0.mp4 999999999\n", "list.txt:2: label 999999999");
  refused("a/clip0.mp4 0\nb/clip0.mp4 one\n", "list.txt:2: label \"one\"");
  refused("a/clip0.mp4 0\nb/clip0.mp4 0\n", "at least two classes");
  refused("# nothing\n", "no clip");
  write_file(folder / "classes.txt", "x\ny\n");
  refused("a/clip0.mp4 0\nb/clip0.mp4 2\n", "list.txt:2: label 2 is not from 0 to 1");
  refused("a/clip0.mp4 0\nb/clip0.mp4 z\n", "list.txt:2: label \"z\"");
}

TEST_CASE("class names that are not UTF-8 are refused, wherever they come from") {
  const auto refused = [](const std::string& path) {
    const auto [code, message] = refusal(path);
    CHECK(code == exit_code::kData);
    CHECK(contains(message, "the class name \"caf\\xe9\" is not UTF-8"));
    CHECK_FALSE(contains(message, "\xe9"));
  };
  const TemporaryFolder folder;
  touch(folder / "folders/caf\xe9/clip0.mp4");
  touch(folder / "folders/bar/clip0.mp4");
  refused(folder / "folders");
  touch(folder / "lists/0.mp4");
  touch(folder / "lists/1.mp4");
  write_file(folder / "lists/named.txt", "0.mp4 bar\n1.mp4 caf\xe9\n");
  refused(folder / "lists/named.txt");
  write_file(folder / "lists/numbers.txt", "0.mp4 0\n1.mp4 1\n");
  write_file(folder / "lists/classes.txt", "bar\ncaf\xe9\n");
  refused(folder / "lists/numbers.txt");
  write_file(folder / "lists/classes.txt", "bar\ncaf\xc3\xa9\n");
  CHECK(open_whole(folder / "lists/numbers.txt").train.classes[1] == "caf\xc3\xa9");
}

TEST_CASE("clips listed twice, or in two parts, are refused") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {3, 3});
  write_file(folder / "train.txt", "a/clip0.mp4 0\nb/clip0.mp4 1\na/../a/clip0.mp4 1\n");
  auto [code, message] = refusal(folder.path());
  CHECK(code == exit_code::kData);
  CHECK(contains(message, "train.txt:3: "));
  CHECK(contains(message, "train.txt:1: "));
  write_file(folder / "train.txt", "a/clip0.mp4 0\nb/clip0.mp4 1\n");
  fs::create_symlink(folder / "b/clip0.mp4", folder / "b/link.mp4");
  write_file(folder / "test.txt", "a/clip1.mp4 0\nb/link.mp4 1\n");
  std::tie(code, message) = refusal(folder.path());
  CHECK(code == exit_code::kData);
  CHECK(contains(message, "test.txt:2: "));
  CHECK(contains(message, "train.txt:2: "));
  CHECK(contains(message, "accuracy"));
}

TEST_CASE("missing clips are counted before anything starts") {
  const TemporaryFolder folder;
  make_classes(folder.path(), {2, 2});
  REQUIRE(mkfifo((folder / "a/pipe.mp4").c_str(), 0600) == 0);
  write_file(folder / "train.txt", "a/clip0.mp4 0\nb/gone.mp4 1\nb/clip0.mp4 1\na/pipe.mp4 0\n");
  const auto [code, message] = refusal(folder.path());
  CHECK(code == exit_code::kNoInput);
  CHECK(contains(message, "2 of 4"));
  CHECK(contains(message, "train.txt:2: b/gone.mp4"));
  CHECK(refusal(folder / "nothing").first == exit_code::kNoInput);
}

TEST_CASE("folders without classes or clips are refused") {
  const TemporaryFolder folder;
  CHECK(refusal(folder.path()).first == exit_code::kData);
  touch(folder / "clip.mp4");
  CHECK(contains(refusal(folder.path()).second, "no class folders"));
  make_classes(folder.path(), {2});
  CHECK(contains(refusal(folder.path()).second, "at least two classes"));
  fs::create_directory(folder / "empty");
  CHECK(contains(refusal(folder.path()).second, "empty: no clip"));
}
