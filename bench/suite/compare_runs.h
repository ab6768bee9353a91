// What moved between two runs of the suite.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace engine::bench {

// A line for every benchmark of both runs (JSON of Google Benchmark, with repetitions) whose median time changed by
// more than three times the noise (the two runs' relative deviations, as the root of the sum of their squares, and 2 %
// at least), and none of whose times in one run lies between those of the other: deviations of few times say little.
// Then how many there are, and which are in one run only.
std::string compare_runs(const nlohmann::json& before, const nlohmann::json& after);

// The same of several runs of each, made in turn: medians and deviations are those over the runs.
nlohmann::json joined_runs(const std::vector<nlohmann::json>& runs);

}  // namespace engine::bench
