#include "train/data_lists.h"

#include <fmt/format.h>

#include <fstream>

#include "engine/tensor.h"
#include "io/atomic_file.h"
#include "io/list_file.h"
#include "io/text.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::array kNames = {"train.txt", "val.txt", "test.txt", "classes.txt"};

bool made_here(const fs::path& file) {
  std::string start(kMadeHere.size(), '\0');
  std::ifstream(file, std::ios::binary).read(start.data(), std::ssize(start));
  return start == kMadeHere;
}

std::string path_in_list(const fs::path& out, const ListedClip& clip) {
  const fs::path folder = fs::weakly_canonical(out);
  const fs::path full = fs::weakly_canonical(fs::absolute(clip.path).parent_path()) / clip.path.filename();
  const fs::path relative = full.lexically_relative(folder);
  const bool far = relative.empty() || (*relative.begin() == ".." && *std::next(relative.begin()) == "..");
  std::string text = (far ? full : relative).generic_string();
  if (clip.sample->begin > 0 || clip.sample->end > 0) text += fmt::format("#t={}", clip.sample->begin);
  if (clip.sample->end > 0) text += fmt::format(",{}", clip.sample->end);
  if (text.find_first_of("\n\r") != text.npos)
    throw Error(fmt::format("{}: a list cannot hold a name with line breaks; rename the file", escaped(text)),
                exit_code::kData);
  return quoted_for_list(text);
}

std::string label_in_list(const Dataset& format, const Sample& sample) {
  if (format.head == Head::classification) return std::to_string(sample.label);
  std::string text;
  for (size_t i = 0; i < sample.targets.size(); ++i) {
    if (format.head == Head::regression) text += fmt::format("{}{}", i > 0 ? "," : "", sample.targets[i]);
    if (format.head == Head::multilabel && sample.targets[i] > 0)
      text += fmt::format("{}{}", text.empty() ? "" : ",", i);
  }
  return text.empty() ? "\"\"" : text;
}

}  // namespace

void prepare_for_lists(const fs::path& out, bool force) {
  for (const char* name : kNames) {
    const fs::path file = out / name;
    if (!fs::exists(file)) continue;
    if (!made_here(file))
      throw Error(fmt::format("{} is a list that was not made by engine_data; move it away or choose another folder",
                              escaped(file.string())),
                  exit_code::kUsage);
    if (!force)
      throw Error(fmt::format("{} is there already; choose another folder, or give --force to replace it",
                              escaped(file.string())),
                  exit_code::kUsage);
  }
  std::error_code failure;
  fs::create_directories(out, failure);
  if (failure)
    throw Error(fmt::format("cannot make the folder {}: {}; choose another", escaped(out.string()), failure.message()),
                exit_code::kStorage);
}

void write_lists(const fs::path& out, const std::array<std::vector<ListedClip>, 3>& parts, const Dataset& format) {
  std::string classes(kMadeHere);
  for (const std::string& name : format.classes) {
    if (name.find_first_of("\n\r") != name.npos)
      throw Error(fmt::format("class \"{}\": a list cannot hold a name with line breaks", escaped(name)),
                  exit_code::kData);
    classes += quoted_for_list(name) + "\n";
  }
  for (size_t part = 0; part < parts.size(); ++part) {
    const fs::path file = out / kNames.at(part);
    std::string list(kMadeHere);
    for (const ListedClip& clip : parts.at(part))
      list += path_in_list(out, clip) + " " + label_in_list(format, *clip.sample) + "\n";
    if (parts.at(part).empty())
      fs::remove(file);
    else
      write_file_atomically(file.string(), list);
  }
  write_file_atomically((out / "classes.txt").string(), classes);
}

}  // namespace engine
