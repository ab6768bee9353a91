#include "io/known_splits.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <unordered_map>

#include "engine/tensor.h"
#include "io/list_file.h"
#include "io/text.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& message, int code = exit_code::kData) { throw Error(message, code); }

template <class T>
std::optional<T> parse(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The number between `before` and ".txt" at the end of a name.
std::optional<int> numbered(const std::string& name, std::string_view before) {
  const size_t at = name.rfind(before);
  if (at == name.npos || !name.ends_with(".txt")) return std::nullopt;
  const size_t begin = at + before.size();
  return begin + 4 > name.size() ? std::nullopt
                                 : parse<int>(std::string_view(name).substr(begin, name.size() - 4 - begin));
}

// A name without the ending of a video, if it has one.
std::string stem_of(const std::string& name) { return is_video_name(name) ? fs::path(name).stem().string() : name; }

// The videos below a folder, by name.
class Finder {
 public:
  bool empty() const { return by_name_.empty(); }
  void add(const fs::path& folder) {
    for (std::string& clip : find_clips(folder.string()))
      by_name_[stem_of(fs::path(clip).filename().string())].push_back(std::move(clip));
  }
  // The path of the video called `name`; of several the one in a folder called as one of `folders`. Empty: there is
  // none.
  std::string find(const std::string& name, const std::set<std::string>& folders) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return "";
    for (const std::string& clip : found->second)
      if (folders.contains(fs::path(clip).parent_path().filename().string())) return clip;
    return found->second.front();
  }

 private:
  std::unordered_map<std::string, std::vector<std::string>> by_name_;
};

// Split files that lie in one folder.
struct Found {
  enum class Kind { ucf101, hmdb51, kinetics } kind;
  fs::path folder;                 // of the split files
  fs::path root;                   // of everything
  std::vector<std::string> files;  // names
  std::vector<int> numbers;        // of the splits, ascending
};

bool is_kinetics_table(const fs::path& file) {
  if (file.extension() != ".csv") return false;
  std::string line;
  std::ifstream stream(file, std::ios::binary);
  for (char c; line.size() < 4096 && stream.get(c) && c != '\n';) line += c;
  return line.find("youtube_id") != line.npos && line.find("time_start") != line.npos &&
         line.find("time_end") != line.npos;
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error, ignored;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_regular_file(ignored)) names.push_back(entry->path().filename().string());
  std::ranges::sort(names);
  return names;
}

std::optional<Found> find_files(const fs::path& folder, const fs::path& root, const std::vector<std::string>& names) {
  std::set<int> ucf, hmdb;
  std::vector<std::string> lists, tables;
  for (const std::string& name : names) {
    if (const auto number = numbered(name, "trainlist"); number && name.starts_with("trainlist")) ucf.insert(*number);
    if (const auto number = numbered(name, "_test_split")) {
      hmdb.insert(*number);
      lists.push_back(name);
    }
    if (is_kinetics_table(folder / name)) tables.push_back(name);
  }
  if (!ucf.empty()) return Found{Found::Kind::ucf101, folder, root, names, {ucf.begin(), ucf.end()}};
  if (!hmdb.empty()) return Found{Found::Kind::hmdb51, folder, root, lists, {hmdb.begin(), hmdb.end()}};
  if (!tables.empty()) return Found{Found::Kind::kinetics, folder, root, tables, {}};
  return std::nullopt;
}

// The folders in a folder that have one of the words in their names, in small letters or large ones.
std::set<fs::path> folders_called(const fs::path& folder, std::initializer_list<std::string_view> words) {
  std::set<fs::path> folders;
  std::error_code error, ignored;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto is_in = [&](std::string_view word) { return name.find(word) != name.npos; };
    if (std::ranges::any_of(words, is_in) && entry->is_directory(ignored)) folders.insert(entry->path());
  }
  return folders;
}

std::optional<Found> find_known(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const std::string name = path.filename().string();
    const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
    if (is_kinetics_table(path)) return find_files(folder, folder, {name});
    const auto number = numbered(name, name.starts_with("trainlist") ? "trainlist" : "_test_split");
    if (!number) return std::nullopt;
    std::optional<Found> found = find_files(folder, folder, files_in(folder));
    if (found && found->kind != Found::Kind::kinetics) found->numbers = {*number};
    return found;
  }
  if (auto found = find_files(path, path, files_in(path))) return found;
  for (const fs::path& folder : folders_called(path, {"split", "list", "annotation"}))
    if (auto found = find_files(folder, path, files_in(folder))) return found;
  return std::nullopt;
}

int chosen_number(const Found& found, int wanted) {
  if (wanted == 0) return found.numbers.front();
  if (std::ranges::find(found.numbers, wanted) != found.numbers.end()) return wanted;
  std::string numbers;
  for (const int number : found.numbers) numbers += concat(numbers.empty() ? "" : ", ", number);
  refuse(concat("--split-number ", wanted, ": ", escaped(found.folder.string()), " has the splits ", numbers),
         exit_code::kUsage);
}

// "UCF101, split 1 of 1, 2, 3: "
std::string title_of(const char* name, const Found& found, int number) {
  if (found.numbers.size() == 1) return concat(name, ", split ", number);
  return concat(name, ", split ", number, " of ", found.numbers.size(), " (--split-number chooses)");
}

class Reader {
 public:
  Reader(const Found& found, std::vector<std::string>* problems) : found_(found), problems_(problems) {
    finder_.add(found.root);
    const fs::path above = fs::absolute(found.root / "x").lexically_normal().parent_path().parent_path();
    if (finder_.empty())
      for (const fs::path& folder : folders_called(above, {"ucf", "hmdb", "kinetics", "video"})) finder_.add(folder);
  }

  Splits ucf101(int number);
  Splits hmdb51(int number);
  Splits kinetics();

 private:
  void read_list_of_ucf101(const std::string& name, std::map<int64_t, std::string>& names, Dataset& part);
  void add_kinetics(const std::string& file, Splits& splits);
  // Runs `work`; what it refuses goes to the problems where they are wanted.
  template <class Work>
  void guarded(const Work& work) const {
    try {
      work();
    } catch (const Error& error) {
      if (!problems_) throw;
      problems_->push_back(error.what());
    }
  }
  // The path of a video; where there is none, the one it would have in the folder of its class.
  std::string path_of(const std::string& name, const std::string& class_name) const {
    const std::string path = finder_.find(stem_of(name), {class_name});
    return path.empty() ? (found_.root / class_name / name).string() : path;
  }
  // Gives every clip its class: `names` are those of samples, in their order.
  static void number_classes(Splits& splits, std::vector<std::string> classes, const std::vector<std::string>& names);

  const Found& found_;
  std::vector<std::string>* problems_;
  Finder finder_;
  std::vector<std::string> class_of_;  // of the samples of train, val and test, in this order
  int64_t without_video_ = 0, without_label_ = 0;
};

constexpr auto kParts = {&Splits::train, &Splits::val, &Splits::test};

void Reader::number_classes(Splits& splits, std::vector<std::string> classes, const std::vector<std::string>& names) {
  if (classes.empty()) {
    const std::set<std::string> sorted(names.begin(), names.end());
    classes.assign(sorted.begin(), sorted.end());
  }
  size_t i = 0;
  for (const auto part : kParts) {
    (splits.*part).classes = classes;
    for (Sample& sample : (splits.*part).samples)
      sample.label = std::ranges::find(classes, names[i++]) - classes.begin();
  }
}

// ---- UCF101 ----

std::map<int64_t, std::string> read_class_numbers(const fs::path& file) {
  std::map<int64_t, std::string> names;
  if (!fs::exists(file)) return names;
  for (const ListEntry& entry : read_list(file.string())) {  // `1 ApplyEyeMakeup`
    const auto number = parse<int64_t>(entry.path);
    if (!number || !names.emplace(*number, entry.label).second)
      refuse(
          concat(escaped(file.string()), ":", entry.line, ": a number that is there once, and a class are expected"));
  }
  return names;
}

void Reader::read_list_of_ucf101(const std::string& name, std::map<int64_t, std::string>& names, Dataset& part) {
  const std::string file = (found_.folder / name).string();
  part.source = file;
  for (const ListEntry& entry : read_list(file, LabelColumn::none)) {
    guarded([&] {
      const auto place = [&] { return concat(escaped(file), ":", entry.line, ": "); };
      std::string path = entry.path;
      std::optional<int64_t> number;
      if (const size_t blank = path.find_last_of(" \t"); blank != path.npos) {
        number = parse<int64_t>(path.substr(blank + 1));
        if (number) path.erase(path.find_last_not_of(" \t", blank) + 1);
      }
      const std::string folder = fs::path(path).parent_path().filename().string();
      if (!number && folder.empty())
        refuse(place() +
               "neither a number nor a folder tells the class; lines such as Diving/v_Diving_g01_c01.avi 26 "
               "are expected");
      std::string class_name = folder;
      if (number && !names.empty()) {
        const auto known = names.find(*number);
        if (known == names.end()) refuse(concat(place(), "classInd.txt has no class ", *number));
        class_name = known->second;
        if (!folder.empty() && folder != class_name)
          refuse(concat(place(), "class ", *number, " is ", escaped(class_name), " in classInd.txt, and the folder ",
                        escaped(folder)));
      } else if (folder.empty()) {
        class_name = std::to_string(*number);
      }
      const bool known = std::ranges::any_of(names, [&](const auto& each) { return each.second == class_name; });
      if (!names.empty() && !known)
        refuse(concat(place(), "the class ", escaped(class_name), " is not in classInd.txt"));
      const std::string video = fs::path(path).filename().string();
      part.samples.push_back({path_of(video, class_name), 0, escaped(path), entry.line});
      class_of_.push_back(class_name);
    });
  }
}

Splits Reader::ucf101(int number) {
  std::map<int64_t, std::string> numbers = read_class_numbers(found_.folder / "classInd.txt");
  Splits splits;
  std::string files;
  for (const auto& [kind, part] : {std::pair("train", &splits.train), {"val", &splits.val}, {"test", &splits.test}}) {
    char name[32];
    std::snprintf(name, sizeof name, "%slist%02d.txt", kind, number);
    if (!fs::exists(found_.folder / name)) continue;
    read_list_of_ucf101(name, numbers, *part);
    files += concat(files.empty() ? "" : ", ", name);
  }
  std::vector<std::string> classes;
  for (const auto& [unused, name] : numbers) classes.push_back(name);
  number_classes(splits, classes, class_of_);
  splits.how = concat(title_of("UCF101", found_, number), ": ", files);
  return splits;
}

// ---- HMDB51 ----

Splits Reader::hmdb51(int number) {
  Splits splits;
  splits.train.source = splits.test.source = found_.folder.string();
  std::vector<std::string> test_classes;
  int files = 0;
  for (const std::string& name : found_.files) {
    if (numbered(name, "_test_split") != number) continue;
    ++files;
    const std::string class_name = name.substr(0, name.rfind("_test_split"));
    const std::string file = (found_.folder / name).string();
    // Names of videos may start with #, which lists take for a comment elsewhere.
    for (const ListEntry& entry : read_list(file, LabelColumn::one, problems_, '\0')) {
      guarded([&] {
        if (entry.label != "0" && entry.label != "1" && entry.label != "2")
          refuse(concat(escaped(file), ":", entry.line,
                        ": 1 for training, 2 for testing or 0 for neither is expected, not \"", escaped(entry.label),
                        "\""));
        if (entry.label == "0") return;
        const bool train = entry.label == "1";
        Sample sample{path_of(entry.path, class_name), 0, escaped(class_name + "/" + entry.path), 0};
        const size_t film = entry.path.find("_" + class_name + "_");
        if (film != entry.path.npos && film > 0) sample.group = class_name + "/" + entry.path.substr(0, film);
        (train ? splits.train : splits.test).samples.push_back(std::move(sample));
        (train ? class_of_ : test_classes).push_back(class_name);
      });
    }
  }
  class_of_.insert(class_of_.end(), test_classes.begin(), test_classes.end());
  number_classes(splits, {}, class_of_);
  splits.how = concat(title_of("HMDB51", found_, number), ": ", files, " files *_test_split", number, ".txt");
  return splits;
}

// ---- Kinetics ----

// Where the rows of a table without a column `split` belong.
std::string part_in_name(const std::string& name) {
  for (const char* part : {"val", "test", "train"})
    if (name.find(part) != name.npos) return part;
  return "train";
}

void Reader::add_kinetics(const std::string& name, Splits& splits) {
  const std::string file = (found_.folder / name).string();
  const TextTable table = read_table(file);
  const auto cell = [&](const TextTable::Row& row, const char* column) {
    const int64_t at = table.column(column);
    return at < 0 ? std::string() : row.cells[static_cast<size_t>(at)];
  };
  for (const TextTable::Row& row : table.rows) {
    guarded([&] {
      const std::string label = cell(row, "label"), id = cell(row, "youtube_id");
      const auto begin = parse<double>(cell(row, "time_start")), end = parse<double>(cell(row, "time_end"));
      if (id.empty() || !begin || !end || !(*begin >= 0 && *begin < *end && *end < 1e6))
        refuse(concat(escaped(file), ":", row.line, ": youtube_id, time_start and time_end, in seconds, are expected"));
      if (label.empty()) {
        ++without_label_;
        return;
      }
      std::string with_underscores = label;
      std::ranges::replace(with_underscores, ' ', '_');
      char times[48];
      std::snprintf(times, sizeof times, "_%06d_%06d", static_cast<int>(*begin), static_cast<int>(*end));
      const std::set<std::string> folders = {label, with_underscores};
      Sample sample{finder_.find(id + times, folders), 0, escaped(id + times), 0};
      if (sample.path.empty()) {
        sample.path = finder_.find(id, folders);
        sample.begin = *begin;
        sample.end = *end;
      }
      if (sample.path.empty()) {
        ++without_video_;
        if (problems_)
          problems_->push_back(concat(escaped(file), ":", row.line, ": there is no video ", escaped(id + times), " or ",
                                      escaped(id), "; get it, or leave it: it is not used"));
        return;
      }
      sample.group = id;
      const std::string part = cell(row, "split").empty() ? part_in_name(name) : cell(row, "split");
      Dataset& target = part.starts_with("val") ? splits.val : part.starts_with("test") ? splits.test : splits.train;
      // Classes are sorted in the end; until then the label is a place in class_of_.
      sample.label = std::ssize(class_of_);
      class_of_.push_back(label);
      target.samples.push_back(std::move(sample));
    });
  }
}

Splits Reader::kinetics() {
  Splits splits;
  std::string files;
  for (const std::string& name : found_.files) {
    add_kinetics(name, splits);
    files += (files.empty() ? "" : ", ") + escaped(name);
  }
  splits.how = concat("Kinetics: ", files);
  if (without_video_ > 0) splits.how += concat("; ", without_video_, " clips without a video left out");
  if (without_label_ > 0) splits.how += concat("; ", without_label_, " clips without a label left out");
  if (class_of_.empty())
    refuse(concat(escaped(found_.root.string()), ": none of the videos of ", files, " is here (", without_video_,
                  " are missing); videos are called ID_000010_000020.mp4 or ID.mp4"),
           exit_code::kNoInput);
  std::vector<std::string> names;
  for (const auto part : kParts) {
    (splits.*part).source = found_.folder.string();
    for (const Sample& sample : (splits.*part).samples) names.push_back(class_of_[static_cast<size_t>(sample.label)]);
  }
  number_classes(splits, {}, names);
  return splits;
}

}  // namespace

std::optional<Splits> open_known_splits(const std::string& path, const SplitOptions& options) {
  const bool by_name = !(options.train_list + options.val_list + options.test_list + options.classes_file).empty();
  if (by_name || options.head != Head::classification) return std::nullopt;
  const std::optional<Found> found = find_known(path);
  if (!found) return std::nullopt;
  Reader reader(*found, options.problems);
  if (found->kind == Found::Kind::kinetics) {
    if (options.split_number != 0)
      refuse(concat("--split-number ", options.split_number, ": Kinetics has one split"), exit_code::kUsage);
    return reader.kinetics();
  }
  const int number = chosen_number(*found, options.split_number);
  return found->kind == Found::Kind::ucf101 ? reader.ucf101(number) : reader.hmdb51(number);
}

}  // namespace engine
