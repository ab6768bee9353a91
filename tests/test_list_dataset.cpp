// io/list_dataset: labels and numbers in lists.
#include <functional>

#include "io/dataset.h"
#include "program_run.h"
#include "train/head.h"

using namespace engine;
using namespace program_run;

namespace {

using Rows = std::vector<std::vector<double>>;

std::pair<int, std::string> refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {0, "nothing was thrown"};
}

// A folder with lists of clips that need not be videos.
class Lists {
 public:
  Lists() {
    for (const char* name : {"a.mp4", "b.mp4", "c c.mp4", "d.mp4", "e.mp4"}) write_text(folder_ / name, name);
  }
  Splits open(const std::string& train, Head head, double val_fraction = 0) const {
    write_text(folder_ / "train.txt", train);
    return open_splits(folder_.path(), {.val_fraction = val_fraction, .head = head});
  }
  std::string refused(const std::string& train, Head head, int code = exit_code::kData) const {
    const auto [got, message] = refusal([&] { open(train, head); });
    CHECK(got == code);
    return message;
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

Rows targets_of(const Dataset& dataset) {
  Rows rows;
  for (const Sample& sample : dataset.samples) rows.push_back(sample.targets);
  return rows;
}

}  // namespace

TEST_CASE("lists: several labels by name or number, and none") {
  const Lists lists;
  const Splits names =
      lists.open("a.mp4 wave,run\nb.mp4\twave\nc c.mp4 \"swipe left, run\"\nd.mp4 \"\"\n", Head::multilabel);
  CHECK(names.train.classes == std::vector<std::string>{"run", "swipe left", "wave"});
  CHECK(targets_of(names.train) == Rows{{1, 0, 1}, {0, 0, 1}, {1, 1, 0}, {0, 0, 0}});
  CHECK(names.train.samples[2].name == "c c.mp4");
  CHECK(targets_of(lists.open("a.mp4 0,3\nb.mp4 1\n", Head::multilabel).train) == Rows{{1, 0, 0, 1}, {0, 1, 0, 0}});
  const auto refused = [&](const std::string& line) { return lists.refused("a.mp4 x\n" + line, Head::multilabel); };
  CHECK(refused("b.mp4 x,,y\n").ends_with("train.txt:2: an empty label in \"x,,y\""));
  CHECK(refused("b.mp4 x,y,x\n").ends_with("train.txt:2: label \"x\" is there twice"));
  CHECK(refused("b.mp4 x,2\n").find("train.txt:2: label \"2\": this list mixes numbers and names") !=
        std::string::npos);
  for (const char* line : {"b.mp4 x, y\n", "b.mp4,x\n", "b.mp4\n", "b.mp4 ,x\n"})
    CHECK(refused(line).find("train.txt:2: a path and labels are expected: a blank or tab between the two") !=
          std::string::npos);
  CHECK(lists.refused("a.mp4 \"\"\n", Head::multilabel).ends_with("no clip has a label"));
  // What was meant, where the head is another one.
  CHECK(lists.refused("a.mp4 x,y\nb.mp4 x\n", Head::classification, exit_code::kNoInput).find("--head multilabel") !=
        std::string::npos);
  write_text(lists.folder() / "classes.txt", "run\nwave\n");
  CHECK(targets_of(lists.open("a.mp4 wave,run\nb.mp4 1\n", Head::multilabel).train) == Rows{{1, 1}, {0, 1}});
  CHECK(refused("b.mp4 x\n").ends_with("train.txt:1: label \"x\" is neither a number nor the name of a class"));
}

TEST_CASE("lists: numbers, as many in every line") {
  const Lists lists;
  const Splits one = lists.open("a.mp4 1.25\nb.mp4 -3e2\nc c.mp4 7\n", Head::regression);
  CHECK(one.train.classes == std::vector<std::string>{"target"});
  CHECK(targets_of(one.train) == Rows{{1.25}, {-300}, {7}});
  const Splits two = lists.open("a.mp4 1,2\nb.mp4 \"3, 4.5\"\n", Head::regression);
  CHECK(two.train.classes == std::vector<std::string>{"target 0", "target 1"});
  CHECK(targets_of(two.train) == Rows{{1, 2}, {3, 4.5}});
  const auto refused = [&](const std::string& line) { return lists.refused("a.mp4 1,2\n" + line, Head::regression); };
  CHECK(refused("b.mp4 3\n").find("train.txt:2: the number of targets is 1 here, and should be 2; give") !=
        std::string::npos);
  for (const char* word : {"fast", "nan", "inf", "1e300", "1.5x"})
    CHECK(refused(concat("b.mp4 3,", word, "\n")).find(concat("train.txt:2: target \"", word, "\" is not a number")) !=
          std::string::npos);
  write_text(lists.folder() / "classes.txt", "speed\n");
  CHECK(refused("").find("train.txt:1: the number of targets is 2 here, and should be 1") != std::string::npos);
  CHECK(lists.refused("a.mp4 1.5\nb.mp4 0\n", Head::classification).ends_with("learnt with --head regression"));
  const TemporaryFolder classes;
  write_text(classes / "run/a.mp4", "a");
  write_text(classes / "walk/a.mp4", "b");
  for (const Head head : {Head::regression, Head::multilabel}) {
    const auto [code, message] = refusal([&] { open_splits(classes.path(), {.head = head}); });
    CHECK(code == exit_code::kUsage);
    CHECK(message.find(concat("folders tell one class of each clip; --head ", name_of(head), " needs a list")) !=
          std::string::npos);
  }
}

TEST_CASE("lists: a validation part of numbers is a share of all clips") {
  const Lists lists;
  const Splits splits = lists.open("a.mp4 1\nb.mp4 2\nc c.mp4 3\nd.mp4 4\ne.mp4 5\n", Head::regression, 0.4);
  CHECK(splits.train.samples.size() == 3);
  CHECK(splits.val.samples.size() == 2);
  CHECK(splits.val.head == Head::regression);
  CHECK(splits.how.find("40%, drawn with seed") != std::string::npos);
}
