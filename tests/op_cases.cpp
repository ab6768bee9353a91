#include "tests/op_cases.h"

#include <algorithm>

namespace engine::test {
namespace {

// What the families gave, not yet called: rows may hold tensors, which must not be made before main() runs.
struct Source {
  std::vector<OpCase> (*rows)();
  std::vector<BadCall> (*bad)();
};

std::vector<Source>& sources() {
  static std::vector<Source> all;
  return all;
}

template <class Row>
std::vector<Row> join(std::vector<Row> (*Source::*member)()) {
  std::vector<Row> rows;
  for (const Source& source : sources())
    for (Row& row : (source.*member)()) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.op < b.op; });
  return rows;
}

}  // namespace

Family::Family(std::vector<OpCase> (*rows)(), std::vector<BadCall> (*bad)()) { sources().push_back({rows, bad}); }

const std::vector<OpCase>& op_cases() {
  static const auto rows = join(&Source::rows);
  return rows;
}

const std::vector<BadCall>& bad_calls() {
  static const auto rows = join(&Source::bad);
  return rows;
}

}  // namespace engine::test
