#include "train/data_leaks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <unordered_map>

#include "io/file_ends.h"
#include "io/text.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChunk = 1 << 20;

bool same_bytes(const std::string& a, const std::string& b) {
  std::ifstream first(a, std::ios::binary), second(b, std::ios::binary);
  std::string left(kChunk, '\0'), right(kChunk, '\0');
  while (first && second) {
    first.read(left.data(), kChunk);
    second.read(right.data(), kChunk);
    if (first.gcount() != second.gcount() || first.bad() || second.bad()) return false;
    if (std::memcmp(left.data(), right.data(), static_cast<size_t>(first.gcount())) != 0) return false;
  }
  return first.eof() && second.eof();
}

using Repeats = std::vector<std::pair<size_t, Repeat>>;  // with the number of the later clip

void find_same_paths(const std::vector<Clip>& clips, std::vector<bool>& told, Repeats& repeats) {
  std::unordered_map<std::string, std::vector<size_t>> seen;
  for (size_t i = 0; i < clips.size(); ++i) {
    const Sample& sample = *clips[i].sample;
    std::error_code error;
    const fs::path real = fs::weakly_canonical(sample.path, error);
    std::vector<size_t>& same = seen[error ? sample.path : real.string()];
    const auto repeated = std::ranges::find_if(same, [&](size_t j) {
      const Sample& other = *clips[j].sample;
      return clips[j].part != clips[i].part || (other.begin == sample.begin && other.end == sample.end);
    });
    if (repeated != same.end()) {
      repeats.push_back({i, {Repeat::Kind::path, clips[i], clips[*repeated]}});
      told[i] = true;
    }
    told[i] = told[i] || !same.empty();  // another part of the same file has the same bytes
    same.push_back(i);
  }
}

void find_same_bytes(const std::vector<Clip>& clips, bool leaks_only, std::vector<bool>& told, Repeats& repeats) {
  const auto in_two_parts = [&](const std::vector<size_t>& members) {
    return std::ranges::any_of(members, [&](size_t i) { return clips[i].part != clips[members[0]].part; });
  };
  const auto worth_reading = [&](const std::vector<size_t>& members) {
    return members.size() > 1 && (!leaks_only || in_two_parts(members));
  };
  std::map<int64_t, std::vector<size_t>> by_size;
  for (size_t i = 0; i < clips.size(); ++i) {
    std::error_code error;
    const std::string& path = clips[i].sample->path;
    if (told[i] || !fs::is_regular_file(path, error)) continue;
    const auto bytes = static_cast<int64_t>(fs::file_size(path, error));
    if (!error && bytes > 0) by_size[bytes].push_back(i);
  }
  for (const auto& [bytes, members] : by_size) {
    if (!worth_reading(members)) continue;
    std::map<uint64_t, std::vector<size_t>> by_ends;
    for (const size_t i : members) by_ends[file_ends(clips[i].sample->path, bytes)].push_back(i);
    for (const auto& [sum, alike] : by_ends) {
      if (!worth_reading(alike)) continue;
      for (size_t k = 1; k < alike.size(); ++k) {
        const auto same = std::find_if(alike.begin(), alike.begin() + static_cast<std::ptrdiff_t>(k), [&](size_t j) {
          return (!leaks_only || clips[j].part != clips[alike[k]].part) &&
                 same_bytes(clips[j].sample->path, clips[alike[k]].sample->path);
        });
        if (same != alike.begin() + static_cast<std::ptrdiff_t>(k))
          repeats.push_back({alike[k], {Repeat::Kind::bytes, clips[alike[k]], clips[*same]}});
      }
    }
  }
}

void find_same_groups(const std::vector<Clip>& clips, Repeats& repeats) {
  std::map<std::string, std::vector<size_t>> firsts;  // of each part
  for (size_t i = 0; i < clips.size(); ++i) {
    if (clips[i].sample->group.empty()) continue;
    std::vector<size_t>& parts = firsts[clips[i].sample->group];
    if (std::ranges::any_of(parts, [&](size_t j) { return clips[j].part == clips[i].part; })) continue;
    if (!parts.empty()) repeats.push_back({i, {Repeat::Kind::group, clips[i], clips[parts.front()]}});
    parts.push_back(i);
  }
}

}  // namespace

std::vector<Repeat> find_repeats(const std::vector<Clip>& clips, bool leaks_only) {
  Repeats repeats;
  std::vector<bool> told(clips.size(), false);
  find_same_paths(clips, told, repeats);
  find_same_bytes(clips, leaks_only, told, repeats);
  find_same_groups(clips, repeats);
  std::ranges::stable_sort(repeats, {}, [](const auto& each) { return each.first; });
  std::vector<Repeat> found;
  for (const auto& [number, repeat] : repeats)
    if (!leaks_only || repeat.leaks()) found.push_back(repeat);
  return found;
}

std::string leak_warning(const Splits& splits, const std::string& path) {
  const std::vector<Repeat> leaks = find_repeats(clips_of(splits), true);
  if (leaks.empty()) return "";
  const Repeat& first = leaks.front();
  const bool group = first.kind == Repeat::Kind::group;
  return fmt::format(
      "warning: {} in two parts, the first: {} {} and {} {} {}; figures will be too good, engine_data check {} lists "
      "them\n",
      leaks.size() == 1 ? "1 clip is" : fmt::format("{} clips are", leaks.size()), first.earlier.part_name,
      place_of(first.earlier), first.clip.part_name, place_of(first.clip),
      group ? "are of group " + escaped(first.clip.sample->group) : "are the same video", escaped(path));
}

}  // namespace engine
