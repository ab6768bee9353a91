#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "train/chart.h"
#include "train/progress.h"

using namespace engine;

namespace {

// Columns on a terminal: characters, not bytes.
int columns(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

}  // namespace

TEST_CASE("progress: clock") {
  CHECK(clock_text(5.4) == "0:05");
  CHECK(clock_text(754) == "12:34");
  CHECK(clock_text(3723) == "1:02:03");
}

TEST_CASE("progress: the bar tells rate and time left, and fits the width") {
  const ProgressState state{
      .label = "Epoch 2/5", .done = 30, .total = 120, .clips = 480, .loss = 1.2041, .seconds = 10};
  const std::string text = bar_text(state, 80);
  CHECK(text.starts_with("Epoch 2/5 ━"));
  CHECK(text.ends_with(" 25% 30/120  loss 1.204  48 clips/s  ETA 0:30"));
  CHECK(columns(text) == 79);
  CHECK(columns(bar_text(state, 40)) == 39);
  CHECK(line_text(state) == "Epoch 2/5 step 30/120 loss 1.204 clips/s 48.0 eta 0:30");
}

TEST_CASE("progress: nothing done yet is no division by zero") {
  CHECK(bar_text({.label = "Epoch 1/1", .total = 10}, 80).ends_with("  0% 0/10  loss 0.000  0 clips/s  ETA --:--"));
  CHECK(bar_text({.label = "Epoch 1/1"}, 80).find("nan") == std::string::npos);
}

TEST_CASE("chart: a rising line goes from the lower left to the upper right") {
  const auto rows = lines(draw_chart("accuracy", {0.0, 0.5, 1.0}, {.width = 9, .height = 3, .unicode = false}));
  REQUIRE(rows.size() == 4);
  CHECK(rows[0] == "accuracy");
  CHECK(rows[1] == "    1.000 |      /--");
  CHECK(rows[2] == "    0.500 |  /---/");
  CHECK(rows[3] == "    0.000 |--/");
}

TEST_CASE("chart: flat, short and broken curves") {
  CHECK(draw_chart("loss", {1.0}).empty());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(draw_chart("loss", {nan, 1.0, nan}).empty());
  const auto flat = lines(draw_chart("loss", {2.0, nan, 2.0}, {.width = 5, .height = 2, .unicode = false}));
  REQUIRE(flat.size() == 3);
  CHECK(flat[2] == "    2.000 |-----");
}
