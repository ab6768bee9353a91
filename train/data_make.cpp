#include "train/data_make.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "engine/tensor.h"
#include "io/atomic_file.h"
#include "io/decoded_clip.h"
#include "io/for_all.h"
#include "io/video_writer.h"
#include "train/data_index.h"
#include "train/data_lists.h"

namespace engine {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSetNames[] = {"train", "test"};
constexpr const char* kLists[] = {"train.txt", "test.txt", "classes.txt"};

struct Job {
  SyntheticId id;
  fs::path path;
};

[[noreturn]] void refuse(const std::string& message) { throw Error(message, exit_code::kUsage); }

void check_range(const char* flag, int value, int low, int high) {
  if (value < low || value > high) refuse(concat(flag, " ", value, " makes no sense; give ", low, " to ", high));
}

void check(const DataMakeOptions& options) {
  check_range("--train", options.train, 1, 1000000);
  check_range("--test", options.test, 1, 1000000);
  check_range("--frames", options.frames, 1, 100000);
  check_range("--fps", options.fps, 1, 1000);
  check_range("--threads", options.threads, 0, 1024);
  const auto valid = [](int side) { return side >= 16 && side <= 4096 && side % 2 == 0; };
  if (!valid(options.width) || !valid(options.height)) {
    refuse(
        concat("--size ", options.width, "x", options.height, " makes no sense; both sides must be even, 16 to 4096"));
  }
}

void throw_storage(const fs::path& path, const std::error_code& failure) {
  if (!failure) return;
  throw Error(
      concat("cannot write ", path.string(), ": ", failure.message(), "; choose a folder that can be written to"),
      exit_code::kStorage);
}

bool is_class(const std::string& name) {
  for (const SyntheticKind kind : {SyntheticKind::scenes, SyntheticKind::motion, SyntheticKind::speed}) {
    const auto names = synthetic_classes(kind);
    if (std::find(names.begin(), names.end(), name) != names.end()) return true;
  }
  return false;
}

// NUMBER.mp4 or NUMBER.frames, perhaps unfinished, which a process that was killed leaves behind.
bool is_clip(const fs::path& path) {
  std::string name = path.filename().string();
  if (name.starts_with(kTemporaryPrefix)) name.erase(0, kTemporaryPrefix.size());
  const size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
  return digits > 0 && (name.substr(digits) == ".mp4" || name.substr(digits) == ".frames");
}

// The clips of an earlier make. Refuses where the folder holds anything else, which we must not delete and which would
// end up in the set if it stayed.
std::vector<fs::path> earlier_clips(const fs::path& set) {
  std::vector<fs::path> clips;
  const auto foreign = [&](const fs::path& path) {
    refuse(concat(path.string(), " is not a clip made by engine_data; move it away or choose another folder"));
  };
  if (!fs::exists(set)) return clips;
  for (const fs::directory_entry& folder : fs::directory_iterator(set)) {
    if (folder.path().filename() == kIndexName) continue;  // renewed when it is used
    if (!folder.is_directory() || !is_class(folder.path().filename().string())) foreign(folder.path());
    for (const fs::directory_entry& file : fs::directory_iterator(folder)) {
      if (!file.is_regular_file() || !is_clip(file.path())) foreign(file.path());
      clips.push_back(file.path());
    }
  }
  return clips;
}

// The lists of an earlier make; refuses as above.
std::vector<fs::path> earlier_lists(const fs::path& out) {
  std::vector<fs::path> lists;
  for (const char* name : kLists) {
    if (!fs::exists(out / name)) continue;
    std::string start(kMadeHere.size(), '\0');
    std::ifstream(out / name, std::ios::binary).read(start.data(), std::ssize(start));
    if (start != kMadeHere)
      refuse(concat((out / name).string(),
                    " is a list that was not made by engine_data; move it away or choose another folder"));
    lists.push_back(out / name);
  }
  return lists;
}

void clear_earlier(const fs::path& out) {
  std::vector<fs::path> files = earlier_lists(out);
  for (const char* set : kSetNames) {
    const std::vector<fs::path> more = earlier_clips(out / set);
    files.insert(files.end(), more.begin(), more.end());
  }
  std::error_code failure;
  for (const fs::path& file : files) {
    fs::remove(file, failure);
    throw_storage(file, failure);
  }
  for (const fs::path& file : files)
    if (file.parent_path() != out) fs::remove(file.parent_path(), failure);  // fails until it is empty
}

void prepare_folder(const DataMakeOptions& options) {
  std::error_code failure;
  const fs::file_status status = fs::status(options.out, failure);
  if (fs::is_directory(status) && !fs::is_empty(options.out)) {
    if (!options.force) {
      refuse(
          concat(options.out.string(), " is not empty; choose another folder, or give --force to replace its clips"));
    }
    clear_earlier(options.out);
  } else if (fs::exists(status) && !fs::is_directory(status)) {
    refuse(concat(options.out.string(), " is not a folder; choose another name"));
  }
  for (const char* set : kSetNames) {
    for (const std::string_view name : synthetic_classes(options.kind)) {
      const fs::path folder = options.out / set / name;
      fs::create_directories(folder, failure);
      throw_storage(folder, failure);
    }
  }
}

int total_clips(const DataMakeOptions& options) {
  return (options.train + options.test) * static_cast<int>(synthetic_classes(options.kind).size());
}

// Number `index` of all clips: the training set first, and the classes in turn.
Job job_of(const DataMakeOptions& options, int index) {
  const auto names = synthetic_classes(options.kind);
  const int classes = static_cast<int>(names.size()), label = index % classes, round = index / classes;
  const SyntheticSet set = round < options.train ? SyntheticSet::train : SyntheticSet::test;
  const int number = round < options.train ? round : round - options.train;
  char file[24];
  std::snprintf(file, sizeof file, "%04d.%s", number, options.decoded ? "frames" : "mp4");
  return {{options.kind, label, options.seed, set, static_cast<uint32_t>(number)},
          options.out / kSetNames[static_cast<size_t>(set)] / names[static_cast<size_t>(label)] / file};
}

void make_clip(const DataMakeOptions& options, const Job& job) {
  const SyntheticClip clip(job.id, options.width, options.height);
  if (options.decoded) {
    const Tensor frames = Tensor::empty({options.frames, options.height, options.width, 3}, DType::u8);
    for (int i = 0; i < options.frames; ++i) clip.draw(i, frames.slice(i, i + 1).values<uint8_t>());
    return write_decoded_clip(job.path, frames);
  }
  VideoWriter writer(job.path, options.width, options.height, options.fps);
  std::vector<uint8_t> frame(static_cast<size_t>(options.width) * static_cast<size_t>(options.height) * 3);
  for (int i = 0; i < options.frames; ++i) {
    clip.draw(i, frame);
    writer.write(frame);
  }
  writer.finish();
}

// What a list says of a clip.
std::string labels_of(const DataMakeOptions& options, const SyntheticId& id) {
  if (id.kind == SyntheticKind::speed) return fmt::format("{:.6f}", synthetic_speed(id) * options.fps);
  const auto [first, second] = synthetic_pair(id);
  const auto names = synthetic_classes(id.kind);
  return fmt::format("{},{}", names[static_cast<size_t>(first)], names[static_cast<size_t>(second)]);
}

void write_lists(const DataMakeOptions& options) {
  std::string lists[] = {std::string(kMadeHere), std::string(kMadeHere)}, classes(kMadeHere);
  for (int i = 0; i < total_clips(options); ++i) {
    const Job job = job_of(options, i);
    lists[static_cast<size_t>(job.id.set)] +=
        fmt::format("{} {}\n", fs::relative(job.path, options.out).generic_string(), labels_of(options, job.id));
  }
  for (const std::string_view name : synthetic_classes(options.kind)) classes += fmt::format("{}\n", name);
  write_file_atomically((options.out / "train.txt").string(), lists[0]);
  write_file_atomically((options.out / "test.txt").string(), lists[1]);
  write_file_atomically((options.out / "classes.txt").string(), classes);
}

}  // namespace

Head head_for(SyntheticKind kind) {
  if (kind == SyntheticKind::speed) return Head::regression;
  return kind == SyntheticKind::pairs ? Head::multilabel : Head::classification;
}

int make_data(const DataMakeOptions& options, const DataMakeProgress& progress) {
  check(options);
  prepare_folder(options);
  const int total = total_clips(options);
  const auto done = static_cast<int>(for_all(
      total, options.threads, [&](int64_t i) { make_clip(options, job_of(options, static_cast<int>(i))); },
      [&](int64_t so_far) { return progress(static_cast<int>(so_far), total); }));
  if (done == total && head_for(options.kind) != Head::classification) write_lists(options);
  return done;
}

}  // namespace engine
