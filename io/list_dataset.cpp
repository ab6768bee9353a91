#include "io/list_dataset.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>

#include "engine/tensor.h"
#include "io/list_file.h"
#include "io/text.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxClasses = 100000;
constexpr double kLargestTarget = 1e100;  // its square is a number, too

// Where a message is about: `file:line`.
struct Place {
  const std::string& file;
  int line;
};

template <class... Parts>
[[noreturn]] void refuse(const Place& place, const Parts&... parts) {
  throw Error(concat(escaped(place.file), ":", place.line, ": ", parts...), exit_code::kData);
}

template <class T>
std::optional<T> parse(const std::string& text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string quoted(const std::string& text) { return concat("\"", escaped(text), "\""); }

// What stands between the commas, without the blanks around it; nothing for an empty text.
std::vector<std::string> parts_of(const Place& place, const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const size_t first = std::min(text.find_first_not_of(" \t", begin), comma);
    if (first == comma) refuse(place, "an empty label in ", quoted(text));
    parts.push_back(text.substr(first, text.find_last_not_of(" \t", comma - 1) + 1 - first));
    begin = comma + 1;
  }
  return parts;
}

std::vector<std::string> labels_in(const Place& place, const ListEntry& entry, Head head) {
  return head == Head::classification ? std::vector{entry.label} : parts_of(place, entry.label);
}

// The classes of a list that comes without a file of names: numbers up to the largest one, or the names in it, sorted.
std::vector<std::string> classes_in(const std::string& file, const std::vector<ListEntry>& entries, Head head) {
  std::set<std::string> names;
  int64_t largest = -1;
  for (const ListEntry& entry : entries) {
    const Place place{file, entry.line};
    for (const std::string& label : labels_in(place, entry, head)) {
      const std::optional<int64_t> number = parse<int64_t>(label);
      if (number && (*number < 0 || *number >= kMaxClasses))
        refuse(place, "label ", *number, " is not from 0 to ", kMaxClasses - 1);
      if (number) largest = std::max(largest, *number);
      if (!number) names.insert(label);
      if (largest >= 0 && !names.empty())
        refuse(place, "label ", quoted(label), ": this list mixes numbers and names; use one of them");
    }
  }
  std::vector<std::string> classes(names.begin(), names.end());
  for (int64_t label = 0; label <= largest; ++label) classes.push_back(std::to_string(label));
  return classes;
}

std::vector<std::string> target_names(const std::string& file, const ListEntry& entry) {
  const size_t count = parts_of({file, entry.line}, entry.label).size();
  if (count < 2) return {"target"};
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(concat("target ", i));
  return names;
}

int64_t class_of(const Place& place, const std::string& label, const std::vector<std::string>& classes) {
  if (const std::optional<int64_t> number = parse<int64_t>(label)) {
    if (*number >= 0 && *number < std::ssize(classes)) return *number;
    refuse(place, "label ", *number, " is not from 0 to ", std::ssize(classes) - 1);
  }
  const auto named = std::ranges::find(classes, label);
  if (named == classes.end())
    refuse(place, "label ", quoted(label), " is neither a number nor the name of a class",
           parse<double>(label) ? "; numbers with a fraction are learnt with --head regression" : "");
  return named - classes.begin();
}

std::vector<double> labels_of(const Place& place, const std::string& text, const std::vector<std::string>& classes) {
  std::vector<double> targets(classes.size(), 0.0);
  for (const std::string& label : parts_of(place, text)) {
    double& target = targets[static_cast<size_t>(class_of(place, label, classes))];
    if (target > 0) refuse(place, "label ", quoted(label), " is there twice");
    target = 1;
  }
  return targets;
}

std::vector<double> numbers_of(const Place& place, const std::string& text, size_t count) {
  std::vector<double> targets;
  for (const std::string& part : parts_of(place, text)) {
    const std::optional<double> number = parse<double>(part);
    if (!number || !(std::abs(*number) <= kLargestTarget))
      refuse(place, "target ", quoted(part), " is not a number; --head regression expects numbers such as -1.25");
    targets.push_back(*number);
  }
  if (targets.size() != count)
    refuse(place, "the number of targets is ", targets.size(), " here, and should be ", count,
           "; give every clip as many, separated by commas without blanks");
  return targets;
}

// What a path in a list leads to: the path, and the part of it.
void find_clip(const fs::path& folder, const std::string& written, Sample& sample) {
  sample.path = (folder / written).string();
  std::error_code error;
  if (fs::exists(sample.path, error)) return;
  if (const size_t mark = sample.path.rfind("#t="); mark != sample.path.npos) {
    const std::string part = sample.path.substr(mark + 3);
    const size_t comma = std::min(part.find(','), part.size());
    const std::optional<double> begin = comma == 0 ? 0.0 : parse<double>(part.substr(0, comma));
    const std::optional<double> end = comma == part.size() ? 0.0 : parse<double>(part.substr(comma + 1));
    if (!begin || !end || !(*begin >= 0) || !(*end == 0 || *end > *begin) || !std::isfinite(*begin + *end)) return;
    sample.begin = *begin;
    sample.end = *end;
    sample.path.resize(mark);
  } else if (const size_t blank = sample.path.find_last_of(" \t,"); blank != sample.path.npos) {
    const std::string before = sample.path.substr(0, blank);
    if (parse<int64_t>(sample.path.substr(blank + 1)) && fs::is_directory(before, error)) sample.path = before;
  }
}

}  // namespace

Dataset read_list_dataset(const std::string& file, Head head, std::vector<std::string>& names,
                          std::vector<std::string>* problems) {
  const std::vector<ListEntry> entries =
      read_list(file, head == Head::classification ? LabelColumn::one : LabelColumn::several, problems);
  if (entries.empty()) throw Error(concat(escaped(file), ": no clip in this list"), exit_code::kData);
  if (names.empty())
    names = head == Head::regression ? target_names(file, entries.front()) : classes_in(file, entries, head);
  Dataset dataset{{}, names, file, head};
  const fs::path folder = fs::path(file).parent_path();
  for (const ListEntry& entry : entries) {
    const Place place{file, entry.line};
    Sample sample{"", 0, escaped(entry.path), entry.line};
    find_clip(folder, entry.path, sample);
    try {
      if (head == Head::classification) sample.label = class_of(place, entry.label, names);
      if (head == Head::regression) sample.targets = numbers_of(place, entry.label, names.size());
      if (head == Head::multilabel) sample.targets = labels_of(place, entry.label, names);
    } catch (const Error& error) {
      if (!problems) throw;
      problems->push_back(error.what());
      continue;
    }
    dataset.samples.push_back(std::move(sample));
  }
  return dataset;
}

}  // namespace engine
