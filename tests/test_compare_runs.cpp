// What engine_bench says of two runs.
#include <doctest/doctest.h>

#include "bench/suite/compare_runs.h"

namespace engine::bench {
namespace {

using nlohmann::json;

json run_of(std::initializer_list<std::pair<const char*, std::vector<double>>> times) {
  json run;
  for (const auto& [name, list] : times)
    for (const double time : list)
      run["benchmarks"].push_back({{"run_name", name}, {"run_type", "iteration"}, {"real_time", time}});
  // What Google Benchmark adds up itself does not count again.
  run["benchmarks"].push_back(
      {{"run_name", "op/a"}, {"run_type", "aggregate"}, {"aggregate_name", "mean"}, {"real_time", 1e9}});
  return run;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("compare_runs: what moved beyond the noise, and nothing else") {
  const json before = run_of({{"op/a", {10, 10.1, 9.9}}, {"op/b", {10, 14, 6}}, {"op/c", {5, 5, 5}}, {"op/old", {1}}});
  const json after =
      run_of({{"op/a", {5, 5.05, 4.95}}, {"op/b", {13, 9, 17}}, {"op/c", {5.05, 5.05, 5.05}}, {"op/new", {1}}});
  const std::string text = compare_runs(before, after);
  CHECK(contains(text, "op/a"));
  CHECK(contains(text, "2.00x faster"));
  CHECK(!contains(text, "op/b"));  // 1.3 times as long, and as noisy as that
  CHECK(!contains(text, "op/c"));  // 1 %
  CHECK(contains(text, "only before: op/old"));
  CHECK(contains(text, "only after: op/new"));
  CHECK(contains(text, "1 of 3 moved beyond the noise"));
  CHECK(contains(compare_runs(after, before), "2.00x slower"));
  // 22 % is beyond three times the deviation of 7 %, but one of the earlier times was as long.
  const json outlier = run_of({{"op/a", {10, 10, 10, 10, 10, 10, 10, 10, 10, 12.2}}});
  CHECK(!contains(compare_runs(outlier, run_of({{"op/a", {12.15, 12.15, 12.15}}})), "op/a"));
  CHECK(contains(compare_runs(outlier, run_of({{"op/a", {12.25, 12.25, 12.25}}})), "1.23x slower"));
}

TEST_CASE("compare_runs: a median of an even number of times; failed benchmarks do not count") {
  json before = run_of({{"op/a", {10, 10, 10, 40}}});
  before["benchmarks"].push_back(
      {{"run_name", "op/x"}, {"run_type", "iteration"}, {"real_time", 0.0}, {"error_occurred", true}});
  CHECK(contains(compare_runs(before, before), "0 of 1 moved"));
  const json one = run_of({{"op/a", {1, 3}}}), two = run_of({{"op/a", {20, 20}}});
  CHECK(!contains(compare_runs(one, one), "op/a"));
  CHECK(contains(compare_runs(joined_runs({two, two}), run_of({{"op/a", {10, 10}}})), "20 ms ->"));
}

}  // namespace engine::bench
