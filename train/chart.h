// Curves drawn with characters.
#pragma once

#include <string>
#include <vector>

namespace engine {

struct ChartStyle {
  int width = 60;       // columns of the plotting area
  int height = 8;       // rows
  bool unicode = true;  // box-drawing characters, else plain ASCII
};

// One curve of `values` over 1, 2, ... with its title above and the y axis on the left; values that are not finite are
// left out. Empty when fewer than two values are finite.
std::string draw_chart(const std::string& title, const std::vector<double>& values, const ChartStyle& style = {});

// True when the user's locale says that the terminal shows UTF-8.
bool locale_is_utf8();

}  // namespace engine
