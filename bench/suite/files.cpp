#include <sys/wait.h>

#include <filesystem>

#include "bench/suite/suite.h"
#include "io/loader.h"
#include "io/scratch_folder.h"
#include "io/video.h"
#include "train/checkpoint.h"
#include "train/classifier.h"
#include "train/data_index.h"
#include "train/data_make.h"
#include "train/data_tools.h"

namespace engine::bench {
namespace {

namespace fs = std::filesystem;

// With a small set of videos in it.
struct Folder : ScratchFolder {
  explicit Folder(bool quick) {
    DataMakeOptions options;
    options.out = path() / "set";
    options.train = quick ? 2 : 8;
    options.test = 1;
    options.width = options.height = quick ? 32 : 128;
    options.frames = quick ? 8 : 64;
    options.decoded = !video_available();
    make_data(options, [](int, int) { return true; });
  }
};

using FolderPointer = std::shared_ptr<Folder>;

Work load_clips(const FolderPointer& folder, const Suite& suite) {
  struct Loading {
    Splits splits;
    std::optional<Loader> loader;
    int64_t epoch = 0;
  };
  const auto loading = std::make_shared<Loading>();
  loading->splits = open_splits(*folder / "set", {});
  LoaderOptions options;
  options.clip.frames = 8;
  options.clip.height = options.clip.width = suite.quick ? 32 : 112;
  options.workers = 2;
  if (video_available()) options.index = prepare_index(*folder / "set", loading->splits, ProgressMode::none);
  loading->loader.emplace(loading->splits.train, options);
  const auto clips = static_cast<double>(loading->splits.train.samples.size());
  return {.call =
              [loading] {
                Batch batch;
                loading->loader->start_epoch(loading->epoch++);
                while (loading->loader->next(batch)) {
                }
              },
          .items = clips,
          .item = "clips"};
}

Work decode_videos(const FolderPointer& folder) {
  const auto splits = std::make_shared<const Splits>(open_splits(*folder / "set", {}));
  const auto call = [splits] {
    Frame frame;
    int64_t frames = 0;
    for (const Sample& sample : splits->train.samples)
      for (VideoReader video(sample.path); video.next(frame, {});) ++frames;
    return frames;
  };
  return {.call = [call] { call(); }, .items = static_cast<double>(call()), .item = "frames"};
}

ModelFile some_model() {
  ModelFile description;
  description.model = "sora-serial";
  for (int i = 0; i < 10; ++i) description.classes.push_back(std::to_string(i));
  return Classifier(description).file();
}

Work save(const FolderPointer& folder) {
  const auto model = std::make_shared<const ModelFile>(some_model());
  const std::string path = *folder / "model.safetensors";
  const auto call = [=] { save_model(path, *model); };
  call();
  return {.call = call, .written = static_cast<double>(fs::file_size(path))};
}

Work load(const FolderPointer& folder) {
  const std::string path = *folder / "model.safetensors";
  save_model(path, some_model());
  return {.call = [=] { Classifier::load(path); }, .written = static_cast<double>(fs::file_size(path))};
}

// From the command to the end of the first step, and of the program.
Work start_program(const FolderPointer& folder, const Suite& suite) {
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "engine_train";
  if (!fs::exists(program)) throw Error(concat(program.string(), " is not there; build it"), exit_code::kNoInput);
  const std::string command = concat("'", program.string(), "' '", *folder / "set",
                                     "' --epochs 1 --max-steps 1 --progress none --force --out '", *folder / "run",
                                     "' --device ", suite.device == kCpu ? "cpu" : "cuda", " >/dev/null 2>&1");
  return {.call = [=] {
    const int status = std::system(command.c_str());
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Error(concat("failed: ", command));
  }};
}

}  // namespace

void add_files(const Suite& suite) {
  const auto folder = [quick = suite.quick] {
    static std::weak_ptr<Folder> shared;
    FolderPointer made = shared.lock();
    if (!made) shared = made = std::make_shared<Folder>(quick);
    return made;
  };
  const auto with_folder = [&](const std::string& name, auto make) {
    add(suite, name, [=] {
      const FolderPointer held = folder();
      Work work = make(held);
      work.call = [call = work.call, held] { call(); };
      return work;
    });
  };
  with_folder("loader", [&suite](const FolderPointer& f) { return load_clips(f, suite); });
  if (video_available()) with_folder("decode", [](const FolderPointer& f) { return decode_videos(f); });
  with_folder("checkpoint/save", save);
  with_folder("checkpoint/load", load);
  with_folder("start", [&suite](const FolderPointer& f) { return start_program(f, suite); });
}

}  // namespace engine::bench
