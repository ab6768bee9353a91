// How far a run is: a bar that rewrites itself on a terminal, plain lines in a log file.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace engine {

enum class ProgressMode {
  automatic,  // bar where stderr is a terminal that can, else lines
  bar,
  lines,  // at most one every ten seconds
  none
};

struct ProgressState {
  std::string label;   // "Epoch 2/5"
  int64_t done = 0;    // steps
  int64_t total = 0;   // steps
  int64_t clips = 0;   // so far
  double loss = 0;     // mean so far; NaN where there is none
  double seconds = 0;  // so far
};

// "Epoch 2/5 ━━━━╸─── 63% 188/298  loss 1.204  767 clips/s  ETA 0:05", at most `width` columns.
std::string bar_text(const ProgressState& state, int width);
// The same facts without the drawing.
std::string line_text(const ProgressState& state);
// "0:05", "12:34", "1:02:03".
std::string clock_text(double seconds);

// Writes to stderr only.
class Progress {
 public:
  explicit Progress(ProgressMode mode);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void start(const std::string& label, int64_t total_steps);
  void update(int64_t done, int64_t clips, double mean_loss);
  // Takes the bar away, so that other output can follow.
  void finish();
  double seconds() const;  // since start()

 private:
  using Clock = std::chrono::steady_clock;
  void show();

  ProgressMode mode_;
  ProgressState state_;
  Clock::time_point started_ = Clock::now(), shown_ = started_;
  bool drawn_ = false;
};

}  // namespace engine
