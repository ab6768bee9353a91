// Text for the user. A stream that cannot be written to never ends the work: a closed pipe or a full disk under a log
// must not cost a trained network. run_program() looks at stdout once more at the end.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace engine {

// Results.
inline void print_out(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// Talk.
inline void print_err(const std::string& text) { std::fputs(text.c_str(), stderr); }
// A line of it.
template <class... Parts>
void say(fmt::format_string<Parts...> format, Parts&&... parts) {
  print_err(fmt::format(format, std::forward<Parts>(parts)...) + "\n");
}

}  // namespace engine
