#include "io/dataset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <unordered_map>

#include "engine/random.h"
#include "io/known_splits.h"
#include "io/list_dataset.h"
#include "io/list_file.h"
#include "io/stratify.h"
#include "io/text.h"

namespace engine {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kVideoEndings[] = {
    ".264", ".265",  ".3g2", ".3gp", ".asf",   ".avi", ".flv", ".frames", ".gif", ".h264", ".h265", ".hevc",
    ".ivf", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4",    ".mpe", ".mpeg", ".mpg",  ".mts",
    ".mxf", ".obu",  ".ogg", ".ogv", ".ps",    ".ts",  ".vob", ".webm",   ".wmv", ".y4m"};
constexpr std::string_view kImageEndings[] = {".png", ".jpg", ".jpeg"};

[[noreturn]] void refuse(const std::string& message, int code = exit_code::kData) { throw Error(message, code); }

// The ending of a name, in lower case.
std::string ending_of(const std::string& name) {
  std::string ending = fs::path(name).extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// The names in a folder that are not hidden, sorted.
std::vector<std::string> names_in(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (const std::string name = entry->path().filename().string(); !name.starts_with('.')) names.push_back(name);
  if (error) refuse(concat(escaped(folder.string()), ": ", error.message()), exit_code::kNoInput);
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names = names_in(folder);
  std::erase_if(names, [&](const std::string& name) { return !is_folder(folder / name); });
  return names;
}

bool holds_images(const fs::path& folder) { return std::ranges::any_of(names_in(folder), is_image_name); }

// For messages about one clip: `list:line: name`, or its name.
std::string place_of(const Dataset& dataset, const Sample& sample) {
  return sample.line > 0 ? concat(escaped(dataset.source), ":", sample.line, ": ", sample.name) : sample.name;
}

// ---- a folder per class ----

void add_class_folder(Dataset& dataset, const fs::path& root, const std::string& name, int64_t label,
                      std::vector<std::string>* problems) {
  const size_t before = dataset.samples.size();
  for (const std::string& child : names_in(root / name)) {
    const fs::path path = root / name / child;
    const std::string shown = escaped(name + "/" + child);
    const bool folder = is_folder(path);
    if (folder && !holds_images(path))
      refuse(concat(escaped(path.string()), ": a folder in a class folder must hold PNG or JPEG frames of one clip"));
    if (folder || is_video_name(child)) dataset.samples.push_back({path.string(), label, shown, 0});
  }
  if (dataset.samples.size() > before) return;
  const std::string why =
      concat(escaped((root / name).string()),
             ": no clip in this class folder; videos with a usual ending (.mp4, .mkv, .avi, .webm, .mov, ...) or "
             "folders of images are expected");
  if (!problems) refuse(why);
  problems->push_back(why);
}

// `classes` are those of train for its other parts, empty for train itself.
Dataset read_class_folders(const fs::path& root, const std::vector<std::string>& classes,
                           std::vector<std::string>* problems) {
  Dataset dataset{{}, classes, root.string()};
  const std::vector<std::string> folders = folders_in(root);
  if (folders.empty())
    refuse(concat(escaped(root.string()), ": no class folders; put the clips of each class in a folder of its own"));
  if (classes.empty()) dataset.classes = folders;
  for (const std::string& name : folders) {
    const auto found = std::ranges::find(dataset.classes, name);
    if (found == dataset.classes.end()) {
      const std::string why = concat(escaped((root / name).string()), ": there is no such class in train");
      if (!problems) refuse(why);
      problems->push_back(why);
      continue;
    }
    add_class_folder(dataset, root, name, found - dataset.classes.begin(), problems);
  }
  return dataset;
}

constexpr std::array kValNames = {"val", "valid", "validation"};

std::optional<fs::path> validation_folder(const fs::path& root) {
  for (const char* name : kValNames)
    if (is_folder(root / name)) return root / name;
  return std::nullopt;
}

// train/ and nothing but the other parts beside it: a class may be called "train", too.
bool has_part_folders(const fs::path& root) {
  const auto is_part = [](const std::string& name) {
    return name == "train" || name == "test" || std::ranges::find(kValNames, name) != kValNames.end();
  };
  return is_folder(root / "train") && std::ranges::all_of(folders_in(root), is_part);
}

Splits open_folders(const fs::path& root, std::vector<std::string>* problems) {
  Splits splits;
  if (!has_part_folders(root)) {
    splits.train = read_class_folders(root, {}, problems);
    splits.how = "one folder per class";
    return splits;
  }
  splits.train = read_class_folders(root / "train", {}, problems);
  splits.how = "folders train";
  splits.val.classes = splits.test.classes = splits.train.classes;
  if (const auto folder = validation_folder(root)) {
    splits.val = read_class_folders(*folder, splits.train.classes, problems);
    splits.how += ", " + folder->filename().string();
  }
  if (is_folder(root / "test")) {
    splits.test = read_class_folders(root / "test", splits.train.classes, problems);
    splits.how += ", test";
  }
  return splits;
}

// ---- lists ----

Splits open_lists(const SplitOptions& lists) {
  std::vector<std::string> classes;
  if (!lists.classes_file.empty()) classes = read_classes(lists.classes_file);
  const auto name_of = [](const std::string& file) { return escaped(fs::path(file).filename().string()); };
  Splits splits;
  splits.train = read_list_dataset(lists.train_list, lists.head, classes, lists.problems);
  splits.how = "lists " + name_of(lists.train_list);
  splits.val = splits.test = {{}, classes, {}, lists.head};
  for (auto [file, part] : {std::pair(&lists.val_list, &splits.val), std::pair(&lists.test_list, &splits.test)}) {
    if (file->empty()) continue;
    *part = read_list_dataset(*file, lists.head, classes, lists.problems);
    splits.how += ", " + name_of(*file);
  }
  return splits;
}

// Completes the lists that were given with those that lie in the folder.
SplitOptions find_lists(const fs::path& path, SplitOptions lists) {
  const bool folder = is_folder(path);
  const fs::path root = folder ? path : path.parent_path();
  const auto complete = [&](std::string& file, const char* name) {
    if (file.empty() && is_file(root / name)) file = (root / name).string();
  };
  if (!folder) lists.train_list = path.string();
  if (folder) {
    complete(lists.train_list, "train.txt");
    complete(lists.val_list, "val.txt");
    complete(lists.test_list, "test.txt");
  }
  if (!lists.train_list.empty()) complete(lists.classes_file, "classes.txt");
  return lists;
}

// ---- checks and the validation part ----

using Parts = std::array<const Dataset*, 3>;

void check_present(const Parts& parts) {
  size_t total = 0, missing = 0;
  std::string first, advice;
  for (const Dataset* part : parts) {
    for (const Sample& sample : part->samples) {
      ++total;
      if (is_file(sample.path) || is_folder(sample.path)) continue;
      if (missing++ > 0) continue;
      first = place_of(*part, sample);
      if (part->head == Head::classification && is_file(sample.path.substr(0, sample.path.find_last_of(" \t"))))
        advice = "; several labels of a clip need --head multilabel, several numbers --head regression";
    }
  }
  if (missing > 0)
    refuse(concat(missing, " of ", total, " clips are missing or not regular files, the first is ", first, advice),
           exit_code::kNoInput);
}

// A clip may occur once: twice in one part it would count double, in two parts it would make the measured accuracy a
// lie.
void check_distinct(const Parts& parts) {
  std::unordered_map<std::string, std::pair<const Dataset*, const Sample*>> seen;
  for (const Dataset* part : parts) {
    for (const Sample& sample : part->samples) {
      std::error_code error;
      const fs::path real = fs::weakly_canonical(sample.path, error);
      std::string clip = error ? sample.path : real.string();
      if (sample.begin > 0 || sample.end > 0) clip += concat("#t=", sample.begin, ",", sample.end);
      const auto [found, fresh] = seen.emplace(clip, std::pair(part, &sample));
      if (fresh) continue;
      const auto& [other_part, other] = found->second;
      refuse(concat(place_of(*part, sample), ": the same clip as ", place_of(*other_part, *other),
                    other_part == part ? "" : ", which is in another part of the data: accuracy there would be false"));
    }
  }
}

void check_classes(const Dataset& train) {
  // A model file holds the names as JSON.
  for (const std::string& name : train.classes)
    if (find_invalid_utf8(name) != std::string::npos)
      refuse(concat(escaped(train.source), ": the class name \"", escaped(name),
                    "\" is not UTF-8; rename its folder, or save the list that it stands in as UTF-8"));
  if (train.head == Head::multilabel && train.classes.empty())
    refuse(concat(escaped(train.source), ": no clip has a label"));
  if (train.head != Head::classification) return;
  std::set<int64_t> labels;
  for (const Sample& sample : train.samples) labels.insert(sample.label);
  if (labels.size() < 2)
    refuse(concat(escaped(train.source), ": needs at least two classes with clips to train on, has ", labels.size()));
}

// Moves a share of every class from train to val, or of all clips where they do not have one class each: the nearest
// whole number, at least 1 where there are 2 clips or more.
std::set<size_t> draw_validation(const Splits& splits, const SplitOptions& options) {
  std::vector<std::vector<size_t>> members(splits.train.classes.size());
  for (size_t i = 0; i < splits.train.samples.size(); ++i)
    members[static_cast<size_t>(splits.train.samples[i].label)].push_back(i);
  std::set<size_t> chosen;
  for (size_t label = 0; label < members.size(); ++label) {
    const int64_t count = std::ssize(members[label]);
    if (count < 2) continue;
    const auto share = static_cast<int64_t>(std::lround(static_cast<double>(count) * options.val_fraction));
    Random random(options.seed, stream_of("validation split"), static_cast<uint32_t>(label));
    const std::vector<int64_t> order = random.permutation(count);
    for (int64_t i = 0; i < std::clamp<int64_t>(share, 1, count - 1); ++i)
      chosen.insert(members[label][static_cast<size_t>(order[static_cast<size_t>(i)])]);
  }
  return chosen;
}

// The same where clips belong to groups, which stay together.
std::set<size_t> draw_groups(const Splits& splits, const SplitOptions& options) {
  const std::array fractions = {1 - options.val_fraction, options.val_fraction};
  const std::vector<size_t> parts = stratify(splits.train, fractions, options.seed);
  std::set<size_t> chosen;
  for (size_t i = 0; i < parts.size(); ++i)
    if (parts[i] == 1) chosen.insert(i);
  return chosen;
}

void split_validation(Splits& splits, const SplitOptions& options) {
  const bool grouped = std::ranges::any_of(splits.train.samples, [](const Sample& s) { return !s.group.empty(); });
  const std::set<size_t> chosen = grouped ? draw_groups(splits, options) : draw_validation(splits, options);
  splits.val = {{}, splits.train.classes, splits.train.source, splits.train.head};
  std::vector<Sample> rest;
  for (size_t i = 0; i < splits.train.samples.size(); ++i)
    (chosen.contains(i) ? splits.val.samples : rest).push_back(std::move(splits.train.samples[i]));
  splits.train.samples = std::move(rest);
  splits.how +=
      concat("; no validation part, so ", splits.val.samples.size(), " of ",
             splits.val.samples.size() + splits.train.samples.size(), " training clips were set aside for it, ",
             std::lround(options.val_fraction * 100), "%", options.head == Head::classification ? " of each class" : "",
             ", drawn with seed ", options.seed, grouped ? " and no group in both" : "");
}

Splits read_splits(const std::string& path, const SplitOptions& options) {
  if (auto known = open_known_splits(path, options)) return std::move(*known);
  if (options.split_number != 0)
    refuse(concat("--split-number ", options.split_number, ": ", escaped(path), " does not come with several splits"),
           exit_code::kUsage);
  const SplitOptions lists = find_lists(path, options);
  if (lists.train_list.empty() && !(lists.val_list + lists.test_list + lists.classes_file).empty())
    refuse(concat(escaped(path), ": lists for other parts were given, but none to train on"), exit_code::kUsage);
  if (lists.train_list.empty() && options.head != Head::classification)
    refuse(
        concat(escaped(path), ": folders tell one class of each clip; --head ",
               options.head == Head::regression ? "regression needs a list with numbers (lines such as clip.mp4 1.25)"
                                                : "multilabel needs a list with labels (lines such as clip.mp4 a,b)"),
        exit_code::kUsage);
  return lists.train_list.empty() ? open_folders(path, options.problems) : open_lists(lists);
}

void collect_clips(const fs::path& folder, int depth, std::vector<std::string>& clips) {
  constexpr int kDeepest = 16;  // links may go round in a circle
  for (const std::string& name : names_in(folder)) {
    const fs::path path = folder / name;
    if (!is_folder(path)) {
      if (is_video_name(name)) clips.push_back(path.string());
    } else if (holds_images(path)) {
      clips.push_back(path.string());
    } else if (depth < kDeepest) {
      collect_clips(path, depth + 1, clips);
    }
  }
}

}  // namespace

bool is_video_name(const std::string& name) {
  return std::ranges::find(kVideoEndings, ending_of(name)) != std::end(kVideoEndings);
}

bool is_image_name(const std::string& name) {
  return !name.starts_with('.') && std::ranges::find(kImageEndings, ending_of(name)) != std::end(kImageEndings);
}

std::vector<std::string> find_clips(const std::string& folder) {
  std::vector<std::string> clips;
  collect_clips(folder, 0, clips);
  return clips;
}

Splits open_splits(const std::string& path, const SplitOptions& options) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1))
    refuse(concat("the validation fraction is ", options.val_fraction, "; it must be from 0 to below 1"),
           exit_code::kUsage);
  if (!is_folder(path) && !is_file(path))
    refuse(concat(escaped(path), ": no such folder or list"), exit_code::kNoInput);
  Splits splits = read_splits(path, options);
  for (Dataset* part : {&splits.train, &splits.val, &splits.test})
    for (Sample& sample : part->samples)
      if (sample.group.empty()) sample.group = group_in_name(sample.path);
  if (options.problems) return splits;
  const Parts parts = {&splits.train, &splits.val, &splits.test};
  check_classes(splits.train);
  check_present(parts);
  check_distinct(parts);
  if (splits.val.samples.empty() && options.val_fraction > 0) split_validation(splits, options);
  return splits;
}

}  // namespace engine
