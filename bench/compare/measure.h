// How long work takes on a device: medians over windows in which the device's queue is full.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "engine/recording.h"

namespace engine::bench {

struct Timing {
  double median = 0, p10 = 0, p90 = 0;  // milliseconds of one call
  int64_t windows = 0;
};

inline void wait_for(Device device) {
  on(device, [](auto& ctx) { synchronize(ctx); });
}

// Milliseconds that `work` takes, waiting for the device at the end.
inline double milliseconds(Device device, const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  wait_for(device);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// At least `windows` windows of at least 20 ms each, after as long a warm-up; about `seconds` in all where that allows
// more. `calls_per_work`: how many calls one `work` makes.
inline Timing time_calls(Device device, const std::function<void()>& work, double calls_per_work, double seconds) {
  constexpr double kWindow = 20;
  constexpr size_t kWindows = 20;
  int64_t repeats = 1;
  const auto window = [&] {
    return milliseconds(device, [&] {
      for (int64_t i = 0; i < repeats; ++i) work();
    });
  };
  for (double took = window(); took < kWindow; took = window())
    repeats =
        std::max(repeats + 1, static_cast<int64_t>(static_cast<double>(repeats) * std::min(8.0, 1.2 * kWindow / took)));
  std::vector<double> times;
  for (double spent = 0; times.size() < kWindows || (spent < 1000 * seconds && times.size() < 50 * kWindows);) {
    times.push_back(window());
    spent += times.back();
  }
  std::ranges::sort(times);
  const auto at = [&](double share) {
    const double index = share * static_cast<double>(times.size() - 1);
    return times[static_cast<size_t>(index + 0.5)] / static_cast<double>(repeats) / calls_per_work;
  };
  return {at(0.5), at(0.1), at(0.9), static_cast<int64_t>(times.size())};
}

// The same for a function of an input set: `sets` of them, so many that together they do not fit into a cache, are
// worked on in turn. With `record`, on a device that can, one recording holds a call for every set.
inline Timing time_sets(Device device, bool record, int64_t sets, const std::function<void(int64_t set)>& call,
                        double seconds) {
  const auto all = [&] {
    for (int64_t set = 0; set < sets; ++set) call(set);
  };
  for (int i = 0; i < 2; ++i) all();  // plans, algorithms, memory
  wait_for(device);
  std::unique_ptr<Recording> recording;
  std::function<void()> work = all;
  if (record && can_record(device)) {
    recording = record_work(device, all);
    work = [&] { recording->replay(); };
  }
  const Timing timing = time_calls(device, work, static_cast<double>(sets), seconds);
  wait_for(device);
  return timing;
}

}  // namespace engine::bench
