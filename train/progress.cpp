#include "train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace engine {
namespace {

using namespace std::chrono_literals;

constexpr int kNarrow = 40, kUsual = 80, kWide = 120;

bool stderr_can_draw() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (terminal == nullptr || std::string_view(terminal) != "dumb");
}

int terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
  return std::clamp<int>(size.ws_col, kNarrow, kWide);
}

double rate(const ProgressState& state) {
  return state.seconds > 0 ? static_cast<double>(state.clips) / state.seconds : 0.0;
}

std::string eta(const ProgressState& state) {
  if (state.done == 0) return "--:--";
  return clock_text(state.seconds * static_cast<double>(state.total - state.done) / static_cast<double>(state.done));
}

double part_of(const ProgressState& state) {
  return state.total > 0 ? static_cast<double>(state.done) / static_cast<double>(state.total) : 0.0;
}

}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string bar_text(const ProgressState& state, int width) {
  const std::string head = state.label + " ";
  const std::string loss = std::isnan(state.loss) ? "" : fmt::format("  loss {:.3f}", state.loss);
  const std::string tail = fmt::format(" {:3.0f}% {}/{}{}  {:.0f} clips/s  ETA {}", 100 * part_of(state), state.done,
                                       state.total, loss, rate(state), eta(state));
  const int room = width - 1 - static_cast<int>(head.size() + tail.size());
  if (room < 4) return (head + tail).substr(0, static_cast<size_t>(width - 1));
  const int full = static_cast<int>(part_of(state) * room);
  std::string bar;
  for (int i = 0; i < room; ++i) bar += i < full ? "━" : i == full ? "╸" : "─";
  return head + bar + tail;
}

std::string line_text(const ProgressState& state) {
  const std::string loss = std::isnan(state.loss) ? "" : fmt::format(" loss {:.3f}", state.loss);
  return fmt::format("{} step {}/{}{} clips/s {:.1f} eta {}", state.label, state.done, state.total, loss, rate(state),
                     eta(state));
}

Progress::Progress(ProgressMode mode) : mode_(mode) {
  if (mode_ == ProgressMode::automatic) mode_ = stderr_can_draw() ? ProgressMode::bar : ProgressMode::lines;
}

void Progress::start(const std::string& label, int64_t total_steps) {
  finish();
  state_ = {.label = label, .total = total_steps};
  started_ = shown_ = Clock::now();
}

void Progress::update(int64_t done, int64_t clips, double mean_loss) {
  state_.done = done;
  state_.clips = clips;
  state_.loss = mean_loss;
  const auto now = Clock::now();
  const auto pause = mode_ == ProgressMode::bar ? std::chrono::milliseconds(100ms) : std::chrono::milliseconds(10s);
  if (mode_ == ProgressMode::none || now - shown_ < pause) return;
  shown_ = now;
  show();
}

void Progress::show() {
  state_.seconds = seconds();
  if (mode_ == ProgressMode::lines) {
    std::fprintf(stderr, "%s\n", line_text(state_).c_str());
    return;
  }
  std::fprintf(stderr, "\r%s\033[K", bar_text(state_, terminal_width()).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::finish() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  std::fflush(stderr);
  drawn_ = false;
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

}  // namespace engine
