#include "train/data_split.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "engine/tensor.h"
#include "io/list_file.h"
#include "io/stratify.h"
#include "io/text.h"
#include "train/data_leaks.h"
#include "train/data_lists.h"
#include "train/output.h"

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExamples = R"(Examples:
  engine_data split videos --out lists                       lists/train.txt, val.txt, test.txt and classes.txt
  engine_data split videos --out lists --val 0.15 --test 0.15 --seed 7
  engine_data split videos --out lists --groups '(s\d+)_'    all clips of s1, s2, ... in one part, by their names
  engine_data split videos --out lists --groups meta.tsv:camera    by a column of a table whose first one is the path)";

constexpr std::array kPartNames = {"train", "val", "test"};

[[noreturn]] void refuse(const std::string& message, int code = exit_code::kUsage) { throw Error(message, code); }

void group_by_pattern(const std::string& pattern, std::vector<Sample>& samples) {
  std::regex expression;
  try {
    expression.assign(pattern);
  } catch (const std::regex_error& error) {
    refuse(fmt::format("--groups {}: not a regular expression ({})", escaped(pattern), error.what()));
  }
  for (Sample& sample : samples) {
    std::smatch match;
    if (!std::regex_search(sample.name, match, expression))
      refuse(
          fmt::format("--groups {}: {} does not match; every clip must be in a group", escaped(pattern), sample.name));
    sample.group = match.size() > 1 ? match[1].str() : match[0].str();
    if (sample.group.empty()) refuse(fmt::format("--groups {}: an empty group for {}", escaped(pattern), sample.name));
  }
}

void group_by_table(const std::string& file, const std::string& column, std::vector<Sample>& samples) {
  const TextTable table = read_table(file);
  const int64_t at = table.column(column);
  if (at < 0) refuse(fmt::format("--groups: {} has no column '{}'", escaped(file), escaped(column)));
  const auto real = [](const fs::path& path) { return fs::weakly_canonical(fs::absolute(path)).string(); };
  std::map<std::string, std::string> groups;
  for (const TextTable::Row& row : table.rows)
    groups.emplace(real(fs::path(file).parent_path() / row.cells[0]), row.cells[static_cast<size_t>(at)]);
  for (Sample& sample : samples) {
    const auto found = groups.find(real(sample.path));
    if (found == groups.end() || found->second.empty())
      refuse(
          fmt::format("{}: no {} for {}; every clip must be in a group", escaped(file), escaped(column), sample.name),
          exit_code::kData);
    sample.group = found->second;
  }
}

void check(const DataSplitOptions& options) {
  if (!(options.val >= 0 && options.test >= 0 && options.val + options.test < 1))
    refuse(fmt::format("--val {} and --test {} make no sense; both are 0 or more, and together below 1", options.val,
                       options.test));
}

// Clips of every class in every part.
std::string table_of(const Splits& splits) {
  size_t width = 5;
  for (const std::string& name : splits.train.classes) width = std::max(width, escaped(name).size());
  std::string text = fmt::format("{:<{}}  {:>7}  {:>7}  {:>7}\n", "class", width, "train", "val", "test");
  for (size_t label = 0; label < splits.train.classes.size(); ++label) {
    text += fmt::format("{:<{}}", escaped(splits.train.classes[label]), width);
    for (const Dataset* part : {&splits.train, &splits.val, &splits.test})
      text += fmt::format("  {:>7}", std::ranges::count_if(part->samples, [&](const Sample& sample) {
                            return part->head == Head::multilabel ? sample.targets[label] > 0
                                                                  : sample.label == static_cast<int64_t>(label);
                          }));
    text += "\n";
  }
  return text;
}

}  // namespace

void set_groups(const std::string& groups, std::vector<Sample>& samples) {
  std::error_code error;
  const size_t colon = groups.rfind(':');
  if (colon != groups.npos && fs::is_regular_file(groups.substr(0, colon), error))
    group_by_table(groups.substr(0, colon), groups.substr(colon + 1), samples);
  else if (!groups.empty())
    group_by_pattern(groups, samples);
}

int split_data(const DataSplitOptions& options) {
  check(options);
  const Splits given = open_data(options.data);
  if (given.train.classes.empty())
    refuse(fmt::format("{}: {}; labels are needed to split it", escaped(options.data.path), given.how));
  Dataset all = given.train;
  for (const Dataset* part : {&given.val, &given.test})
    all.samples.insert(all.samples.end(), part->samples.begin(), part->samples.end());
  set_groups(options.groups, all.samples);
  prepare_for_lists(options.out, options.force);

  const std::array fractions = {1 - options.val - options.test, options.val, options.test};
  const std::vector<size_t> chosen = stratify(all, fractions, options.seed);
  Splits splits;
  const std::array parts = {&splits.train, &splits.val, &splits.test};
  std::set<std::string> groups;
  for (Dataset* part : parts) *part = {{}, all.classes, all.source, all.head};
  for (size_t i = 0; i < chosen.size(); ++i) {
    parts.at(chosen[i])->samples.push_back(all.samples[i]);
    parts.at(chosen[i])->samples.back().line = 0;
    if (!all.samples[i].group.empty()) groups.insert(all.samples[i].group);
  }
  std::array<std::vector<ListedClip>, 3> lists;
  for (size_t part = 0; part < 3; ++part)
    for (const Sample& sample : parts.at(part)->samples) lists.at(part).push_back({sample.path, &sample});
  write_lists(options.out, lists, all);

  std::string text;
  for (size_t part = 0; part < 3; ++part)
    if (!lists.at(part).empty())
      text += fmt::format("{}.txt\t{} clips\n", (fs::path(options.out) / kPartNames.at(part)).string(),
                          lists.at(part).size());
  print_out(text);
  print_err(fmt::format("{}: {}\n", escaped(options.data.path), given.how));
  if (!given.val.samples.empty() || !given.test.samples.empty())
    print_err("Its parts were put together and new ones drawn\n");
  print_err(groups.empty()
                ? "No groups are known, so every clip stands alone; --groups keeps people or scenes together\n"
                : fmt::format("No group in two parts, of {}\n", counted(groups.size(), "group")));
  if (all.head != Head::regression) print_err(table_of(splits));
  print_err(leak_warning(splits, options.out));
  print_err(fmt::format("Next: engine_train {}\n", escaped(options.out)));
  return exit_code::kOk;
}

Subcommand declare_data_split(CLI::App& program) {
  CLI::App* command = program.add_subcommand("split", "Splits a data set into parts, written as lists");
  command->footer(kExamples);
  const auto options = std::make_shared<DataSplitOptions>();
  declare_data(*command, options->data);
  command->add_option("--out", options->out, "Folder for the lists")->required();
  command->add_option("--val", options->val, "Share for validation")->capture_default_str();
  command->add_option("--test", options->test, "Share for testing")->capture_default_str();
  command->add_option("--seed", options->seed, "Another seed, another split")->capture_default_str();
  command
      ->add_option("--groups", options->groups,
                   "What must not be in two parts: a regular expression whose (parenthesis) tells the group in a "
                   "clip's name, or TABLE:COLUMN; names as UCF101's are understood without it")
      ->type_name("REGEX|TABLE:COLUMN");
  command->add_flag("--force", options->force, "Replace lists that engine_data made before");
  return {command, [options] { return split_data(*options); }};
}

}  // namespace engine
