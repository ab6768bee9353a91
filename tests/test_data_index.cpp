// train/data_index: the index of a video set, made by engine_data and by the programs that read clips.
#include "train/data_index.h"

#include <sys/stat.h>

#include <cstdlib>

#include "io/dataset.h"
#include "tests/program_run.h"

using namespace engine;
using namespace program_run;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("engine_data index tells what is in a set, and looks again only at what changed") {
  const TemporaryFolder folder;
  const std::string data = folder / "set";
  make_videos(data);
  const Outcome first = engine_data(folder, {"index", data});
  CHECK(first.code == exit_code::kOk);
  CHECK(contains(first.out, "30 videos\t120 frames"));
  CHECK(contains(first.out, "32x32"));
  CHECK(contains(first.out, "30\tread directly"));
  CHECK(contains(first.err, "30 scanned, 30 videos in all"));
  const std::string bytes = read_text(data + "/.engine-index");
  CHECK(VideoIndex::open(data + "/.engine-index", data)->size() == 30);
  CHECK(contains(engine_data(folder, {"index", data}).err, "0 scanned"));
  CHECK((read_text(data + "/.engine-index") == bytes));

  const std::string one = open_splits(data).train.samples[3].path;
  write_text(one, "<html>");
  const Outcome second = engine_data(folder, {"index", data, "--list"});
  CHECK(contains(second.err, " 1 scanned, 30 videos in all"));
  CHECK(contains(second.out, "error: not a video"));
  CHECK(std::ranges::count(second.out, '\n') == 30);
  CHECK(contains(engine_data(folder, {"index", data}).out, "1\tcannot be used; the first: train/"));

  // A new set may be made where the index of the old one lies.
  fs::copy(data + "/.engine-index", data + "/train/.engine-index");
  CHECK(engine_data(folder, {"make", data, "--train", "1", "--test", "1", "--force"}).code == exit_code::kOk);
  CHECK(engine_data(folder, {"index", folder / "missing"}).code == exit_code::kNoInput);
  fs::create_directory(folder / "empty");
  CHECK(engine_data(folder, {"index", folder / "empty"}).code == exit_code::kNoInput);
}

TEST_CASE("lists are indexed whatever their labels are") {
  const TemporaryFolder folder;
  make_videos(folder / "set", 1);
  const std::string path =
      "set/" + fs::relative(open_splits(folder / "set").train.samples[0].path, folder / "set").string();
  for (const std::string label : {" 0", ",0", " 1.5,2", " a,b", "\t\"\""}) {
    CAPTURE(label);
    write_text(folder / "list.txt", path + label + "\n");
    CHECK(videos_of(folder / "list.txt") == std::vector<std::string>{folder / path});
  }
  const Outcome outcome = engine_data(folder, {"index", folder / "list.txt"});
  CHECK(outcome.code == exit_code::kOk);
  CHECK(fs::exists(folder / "list.txt.engine-index"));
  const Outcome other = engine_data(folder, {"index", folder / "list.txt", "--out", folder / "x.index"});
  CHECK(other.code == exit_code::kOk);
  CHECK(VideoIndex::open(folder / "x.index", folder.path())->contains(folder / path));
}

TEST_CASE("an index lies beside the data, or in the cache where that cannot be written to") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "set");
  CHECK(index_place(folder / "set").write == folder / "set/.engine-index");
  CHECK(index_place(folder / "set/").write == folder / "set/.engine-index");
  CHECK(index_place(folder / "list.txt").write == folder / "list.txt.engine-index");
  CHECK(index_place(folder / "list.txt").folder == folder.path());
  REQUIRE(chmod((folder / "set").c_str(), 0500) == 0);
  if (access((folder / "set").c_str(), W_OK) == 0) {
    MESSAGE("skipped: this user may write everywhere");
    return;
  }
  setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);
  const IndexPlace place = index_place(folder / "set");
  CHECK(place.write.starts_with(folder / "cache/engine/"));
  CHECK(place.read == folder / "set/.engine-index");
  write_text(place.write, "");
  CHECK(index_place(folder / "set").read == place.write);
  unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("training and evaluation make the index, use it, and train the same network with it as without") {
  const TemporaryFolder folder;
  const std::string data = folder / "set";
  make_videos(data);
  const std::vector<std::string> arguments = {"--model",   "sora-cnn", "--epochs", "1", "--frames", "2",
                                              "--threads", "1",        "--seed",   "3", "--size",   "32"};
  const auto train = [&](const std::string& out) {
    std::vector<std::string> words = {data, "--out", folder / out};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run(folder, "engine_train", words);
  };
  const Outcome first = train("first");
  CHECK(first.code == exit_code::kOk);
  CHECK(contains(first.err, "index: 30 videos ("));
  const Outcome second = train("second");
  CHECK(second.code == exit_code::kOk);
  CHECK_FALSE(contains(second.err, "index:"));
  CHECK((read_text(folder / "first/best.safetensors") == read_text(folder / "second/best.safetensors")));

  fs::remove(data + "/.engine-index");
  const Outcome eval = run(folder, "engine_predict", {"eval", folder / "first/best.safetensors", data});
  CHECK(eval.code == exit_code::kOk);
  CHECK(contains(eval.err, "index: 30 videos ("));
  const Outcome again = run(folder, "engine_predict", {"eval", folder / "first/best.safetensors", data});
  CHECK(again.out == eval.out);
  CHECK(again.err.empty());

  fs::remove(data + "/.engine-index");  // a folder in its place
  fs::create_directories(data + "/.engine-index/x");
  const Outcome unkept = train("third");
  CHECK(unkept.code == exit_code::kOk);
  CHECK(contains(unkept.err, "warning: the index of the videos is not kept"));
  CHECK((read_text(folder / "first/best.safetensors") == read_text(folder / "third/best.safetensors")));
}
