// What data sets, lists and clips cannot be, told in one line each; no FFmpeg is needed for any of it.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <thread>

#include "io/decoded_clip.h"
#include "io/job_queue.h"
#include "io/list_file.h"
#include "io/loader.h"
#include "io/trim.h"
#include "io/video_index.h"
#include "tests/refusals.h"
#include "tests/video_fixtures.h"
#include "train/data_index.h"
#include "train/data_lists.h"
#include "train/data_options.h"
#include "train/data_tools.h"
#include "train/run_folder.h"
#include "train/short_videos.h"
#include "train/signals.h"

using namespace engine;
using namespace engine::fixtures;
using engine::test::check_refusals;
using engine::test::Refusal;

namespace {

// a/1.mp4, a/2.mp4 and b/1.mp4, which are found and not opened.
void make_classes(const TemporaryFolder& folder, const std::string& set) {
  for (const char* name : {"/a/1.mp4", "/a/2.mp4", "/b/1.mp4"}) touch(folder / (set + name));
}

// Opens it as a data set.
std::function<void()> opening(const std::string& path, const SplitOptions& options = {}) {
  return [=] { open_splits(path, options); };
}

// A clip of so many frames, stored decoded.
std::string decoded(const TemporaryFolder& folder, const std::string& name, int64_t frames) {
  write_decoded_clip(folder / name, Tensor::full({frames, 4, 4, 3}, 7, DType::u8));
  return folder / name;
}

}  // namespace

TEST_CASE("data sets that are refused") {
  const TemporaryFolder folder;
  make_classes(folder, "set");
  make_classes(folder, "deep");
  touch(folder / "deep/a/more/notes.txt");
  make_classes(folder, "bare");
  fs::create_directories(folder / "bare/c");
  make_classes(folder, "parts/train");
  touch(folder / "parts/val/z/1.mp4");
  write_file(folder / "train.list", "set/a/1.mp4 0\nset/b/1.mp4 1\n");
  write_file(folder / "val.list", "set/a/2.mp4 0\nset/b/1.mp4 1\n");
  write_file(folder / "none.txt", "# nothing\n\n");
  touch(folder / "kinetics/abc_000001_000011.mp4");
  write_file(folder / "kinetics/train.csv", "label,youtube_id,time_start,time_end,split\nx,abc,1,11,train\n");
  for (const char* video : {"a", "b"}) touch(folder / concat("ucf/", video, "/v_", video, "_g01_c01.avi"));
  write_file(folder / "ucf/classInd.txt", "1 a\nsecond b\n");
  write_file(folder / "ucf/trainlist01.txt", "a/v_a_g01_c01.avi 1\nb/v_b_g01_c01.avi 2\n");
  const std::string set = folder / "set";
  check_refusals({
      {opening(folder / "nowhere"), "nowhere: no such folder or list", exit_code::kNoInput},
      {opening(set, {.val_fraction = 1}), "the validation fraction is 1; it must be from 0 to below 1",
       exit_code::kUsage},
      {opening(set, {.split_number = 2}), "--split-number 2: " + set + " does not come with several splits",
       exit_code::kUsage},
      {opening(set, {.val_list = folder / "val.list"}),
       set + ": lists for other parts were given, but none to train on", exit_code::kUsage},
      {opening(set, {.head = Head::multilabel}),
       "--head multilabel needs a list with labels (lines such as clip.mp4 a,b)", exit_code::kUsage},
      {opening(set, {.train_list = folder / "train.list", .val_list = folder / "val.list"}),
       "val.list:2: set/b/1.mp4: the same clip as " + (folder / "train.list") +
           ":2: set/b/1.mp4, which is in another part of the data: accuracy there would be false",
       exit_code::kData},
      {opening(folder / "deep"), "deep/a/more: a folder in a class folder must hold PNG or JPEG frames of one clip",
       exit_code::kData},
      {opening(folder / "bare"), "bare/c: no clip in this class folder; videos with a usual ending (.mp4, ",
       exit_code::kData},
      {opening(folder / "parts"), "parts/val/z: there is no such class in train", exit_code::kData},
      {opening(folder / "none.txt"), "none.txt: no clip in this list", exit_code::kData},
      {opening(folder / "kinetics", {.split_number = 1}), "--split-number 1: Kinetics has one split",
       exit_code::kUsage},
      {opening(folder / "ucf"), "classInd.txt:2: a number that is there once, and a class are expected",
       exit_code::kData},
  });
}

TEST_CASE("lists and tables that are refused") {
  const TemporaryFolder folder;
  write_file(folder / "nul.txt", std::string("a.mp4 0\nb.mp4\0 1\n", 17));
  write_file(folder / "empty.tsv", "\n");
  write_file(folder / "long.txt", std::string(65537, 'a') + " 0\n");
  write_file(folder / "large.txt", "a.mp4 0\n");
  fs::resize_file(folder / "large.txt", (uint64_t{1} << 30) + 1);  // of which a file system keeps one block
  check_refusals({
      {[&] { read_list(folder / "nul.txt"); }, "nul.txt:2: a NUL byte; this is not a text file", exit_code::kData},
      {[&] { read_list(folder / "long.txt"); }, "long.txt:1: longer than 65536 bytes", exit_code::kData},
      {[&] { read_list(folder / "large.txt"); }, "large.txt: larger than 1 GiB; this is no list", exit_code::kData},
      {[&] { read_table(folder / "empty.tsv"); }, "empty.tsv: an empty table; its first line must name the columns",
       exit_code::kData},
  });
}

TEST_CASE("clips that are refused") {
  const TemporaryFolder folder;
  const std::string clip = decoded(folder, "a.frames", 5);
  fs::create_directories(folder / "linked");
  fs::create_directories(folder / "large");
  fs::create_symlink(folder / "nothing", folder / "linked/1.png");
  write_file(folder / "large/1.png", "\x89PNG");
  fs::resize_file(folder / "large/1.png", (64 << 20) + 1);
  const ClipOptions by_time{.frames = 4, .sampling = Sampling::dense, .fps = 5};
  const ClipOptions skipping{.frames = 16, .short_videos = ShortVideo::skip};
  check_refusals({
      {[&] { sample_frames({.frames = 20, .name = "a.frames"}, by_time, nullptr); },
       "a.frames: only videos have times, so that frames can be taken at 5 a second; leave --fps out",
       exit_code::kData},
      {[&] { sample_frames({.frames = 5, .name = "a.mp4"}, skipping, nullptr); },
       "a.mp4: only 5 frames long, and a clip takes 16 frames; --short says what becomes of short videos",
       exit_code::kData},
      {[&] { open_clip({.path = clip, .name = "a.frames", .begin = 1.5}); },
       clip + ": only videos have times, so that a part from 1.5 s on can be taken; cut the clip out",
       exit_code::kData},
      {[&] { open_frames(folder / "linked"); }, "linked/1.png: missing or not a regular file", exit_code::kNoInput},
      {[&] { open_frames(folder / "large"); }, "1.png: 67108865 bytes are too many for one image", exit_code::kData},
  });
}

TEST_CASE("a data set of nothing but short videos is refused where they are left out") {
  const TemporaryFolder folder;
  Splits splits;
  splits.train.samples = {{.path = decoded(folder, "a.frames", 2), .name = "a.frames"},
                          {.path = decoded(folder, "b.frames", 3), .name = "b.frames"}};
  check_refusals({{[&] { settle_short_videos(splits, {.frames = 4, .short_videos = ShortVideo::skip}, nullptr); },
                   "2 of 2 clips are shorter than 4 frames, the first is a.frames: they are left out, and there is "
                   "nothing to train on; use fewer --frames",
                   exit_code::kData}});
}

TEST_CASE("lists that cannot be written are refused") {
  const TemporaryFolder folder;
  touch(folder / "a\nb.mp4");
  touch(folder / "file");
  const Sample sample{.path = folder / "a\nb.mp4", .name = "a"};
  Dataset format{.samples = {}, .classes = {"a"}, .source = {}};
  const auto write = [&] { write_lists(folder.path(), {{{{{sample.path, &sample}}}, {}, {}}}, format); };
  check_refusals({
      {write, "a\\u000ab.mp4: a list cannot hold a name with line breaks; rename the file", exit_code::kData},
      {[&] { format.classes = {"b\nc"}, write(); }, "class \"b\\u000ac\": a list cannot hold a name with line breaks",
       exit_code::kData},
      {[&] { prepare_for_lists(folder / "file", false); },
       "cannot make the folder " + (folder / "file") + ": Not a directory; choose another", exit_code::kStorage},
      {[&] { videos_of(folder.path() + "/none"); }, "none: no such file", exit_code::kNoInput},
      {[&] { fs::create_directory(folder / "bare"), videos_of(folder / "bare"); }, "bare: no videos here",
       exit_code::kNoInput},
      {[&] { sampling_named("often"); }, "sampling must be uniform or dense, not 'often'", exit_code::kCheckpoint},
  });
}

TEST_CASE("work on clips that a signal ends says how far it came") {
  const auto work = [](size_t) { ::raise(SIGTERM); };
  check_refusals({{[&] { for_each(50, 1, "clips", work); }, "stopped with 1 of 50 clips done", exit_code::kStopped}});
}

TEST_CASE("an index that a signal ends is what it was before") {
  const TemporaryFolder folder;
  for (int i = 0; i < 400; ++i) touch(folder / concat("set/", i, ".mp4"));
  CLI::App program;
  const Subcommand index = declare_data_index(program);
  const std::string set = folder / "set";
  program.parse(std::vector<std::string>{set, "index"});
  const StopSignals outer;  // whose handler is there before and after the index's own
  std::atomic<bool> over{false};
  std::thread signals([&] {
    while (!over) {
      ::kill(::getpid(), SIGTERM);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  // On a busy machine a round may be over before a signal comes.
  const auto stopped = [&] {
    for (int round = 0; round < 100; ++round) {
      index.run();
      fs::remove(set + "/.engine-index");
    }
  };
  if (video_available()) check_refusals({{stopped, "stopped; the index is what it was before", exit_code::kStopped}});
  over = true;
  signals.join();
  CHECK_FALSE(fs::exists(set + "/.engine-index"));
}

TEST_CASE("threads that cannot be had are refused") {
  pthread_attr_t usual, huge;
  REQUIRE(pthread_getattr_default_np(&usual) == 0);
  REQUIRE(pthread_attr_init(&huge) == 0);
  REQUIRE(pthread_attr_setstacksize(&huge, size_t{1} << 50) == 0);  // more than there are addresses
  REQUIRE(pthread_setattr_default_np(&huge) == 0);
  JobQueue queue;
  const auto nothing = [](int64_t) {};
  check_refusals(
      {{[&] { queue.start({.end = 4, .workers = 3}, nothing, nothing); },
        "loader: cannot start 3 threads (Resource temporarily unavailable); use fewer workers", exit_code::kMemory}});
  REQUIRE(pthread_setattr_default_np(&usual) == 0);
  pthread_attr_destroy(&huge);
}

TEST_CASE("files that cannot be read are refused") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "images");
  fs::create_symlink("/proc/self/mem", folder / "images/1.png");  // a regular file of a size that nobody knows
  const std::string memory = "/proc/self/mem";                    // whose first byte is not there
  check_refusals({
      {[&] { read_list(memory); }, memory + ": cannot be read", exit_code::kNoInput},
      {[&] { open_frames(folder / "images"); }, "images/1.png: cannot be opened", exit_code::kNoInput},
  });
  if (video_available())
    check_refusals({{[&] { VideoReader reader(memory); }, memory + ": cannot be read", exit_code::kNoInput}});
}

TEST_CASE("what takes a descriptor is refused where there is none") {
  const TemporaryFolder folder;
  write_file(folder / "list.txt", "a.mp4 0\n");
  write_file(folder / "a.mp4", "<html>");
  const std::string path = folder / "a.mp4";
  const auto index =
      video_available() ? update_index(folder / "none", folder.path(), std::vector{path}).index : nullptr;
  // doctest's own reports must not need one.
  const auto without_descriptors = [](const std::function<void()>& fault) {
    return [fault] {
      rlimit before{};
      getrlimit(RLIMIT_NOFILE, &before);
      const rlimit none{0, before.rlim_max};
      setrlimit(RLIMIT_NOFILE, &none);
      const auto [code, message] = error_of(fault);
      setrlimit(RLIMIT_NOFILE, &before);
      if (code >= 0) throw Error(message, code);
    };
  };
  const std::string why = "cannot be opened (Too many open files)";
  check_refusals({
      {without_descriptors([&] { read_list(folder / "list.txt"); }), "list.txt: cannot be opened", exit_code::kNoInput},
      {without_descriptors([&] { RunFolder(folder / "run", RunFolder::Earlier::refuse); }),
       "run' cannot be opened: Too many open files; choose another with --out", exit_code::kStorage},
  });
  if (!video_available()) return;
  check_refusals({
      {without_descriptors([&] { VideoReader reader(path); }), "a.mp4: " + why, exit_code::kNoInput},
      {without_descriptors([&] { VideoReader reader(path, *index); }), "a.mp4: " + why, exit_code::kNoInput},
  });
}
