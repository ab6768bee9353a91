#include "io/stratify.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>

#include "engine/random.h"

namespace engine {
namespace {

struct Group {
  std::vector<size_t> members;
  std::map<size_t, double> counts;  // of classes or labels
};

std::vector<Group> groups_of(const Dataset& dataset, size_t classes) {
  std::vector<Group> groups;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    const Sample& sample = dataset.samples[i];
    size_t number = groups.size();
    if (!sample.group.empty()) number = known.emplace(sample.group, number).first->second;
    if (number == groups.size()) groups.emplace_back();
    Group& group = groups[number];
    group.members.push_back(i);
    if (dataset.head == Head::classification)
      ++group.counts[static_cast<size_t>(sample.label)];
    else if (dataset.head == Head::multilabel)
      for (size_t label = 0; label < sample.targets.size(); ++label)
        if (sample.targets[label] > 0) ++group.counts[label];
    ++group.counts[classes];  // of clips
  }
  return groups;
}

}  // namespace

std::string group_in_name(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  const auto digits_from = [&](size_t at) { return std::min(stem.find_first_not_of("0123456789", at), stem.size()); };
  const size_t group = stem.rfind("_g"), clip = stem.rfind("_c");
  if (!stem.starts_with("v_") || group == stem.npos || clip == stem.npos || group < 2) return "";
  const bool numbers = digits_from(group + 2) == clip && clip > group + 2 && digits_from(clip + 2) == stem.size() &&
                       stem.size() > clip + 2;
  return numbers ? stem.substr(2, clip - 2) : "";
}

std::vector<size_t> stratify(const Dataset& dataset, std::span<const double> fractions, uint64_t seed) {
  const size_t classes = dataset.classes.size();
  const std::vector<Group> groups = groups_of(dataset, classes);
  std::vector<double> totals(classes + 1);
  for (const Group& group : groups)
    for (const auto& [label, count] : group.counts) totals.at(label) += count;

  std::vector<int64_t> order = Random(seed, stream_of("parts of a data set")).permutation(std::ssize(groups));
  const auto size_of = [&](int64_t g) { return groups[static_cast<size_t>(g)].members.size(); };
  std::ranges::stable_sort(order, std::greater{}, size_of);

  std::vector<size_t> parts(dataset.samples.size());
  std::vector<std::vector<double>> had(fractions.size(), std::vector<double>(classes + 1));
  for (const int64_t number : order) {
    const Group& group = groups[static_cast<size_t>(number)];
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t part = 0; part < fractions.size(); ++part) {
      double growth = 0;
      for (const auto& [label, count] : group.counts) {
        const double missing = fractions[part] * totals[label] - had[part][label];
        growth += count * (count - 2 * missing) / totals[label];
      }
      if (fractions[part] > 0 && growth < least) {
        least = growth;
        best = part;
      }
    }
    for (const auto& [label, count] : group.counts) had[best][label] += count;
    for (const size_t i : group.members) parts[i] = best;
  }
  return parts;
}

}  // namespace engine
