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

// Milliseconds of `repeats` times `work`.
inline double window_of(Device device, const std::function<void()>& work, int64_t repeats) {
  return milliseconds(device, [&] {
    for (int64_t i = 0; i < repeats; ++i) work();
  });
}

// How often `work` is to be done in a window of at least 20 ms; a warm-up besides.
inline int64_t repeats_of(Device device, const std::function<void()>& work) {
  constexpr double kWindow = 20;
  int64_t repeats = 1;
  for (double took = window_of(device, work, repeats); took < kWindow; took = window_of(device, work, repeats))
    repeats =
        std::max(repeats + 1, static_cast<int64_t>(static_cast<double>(repeats) * std::min(8.0, 1.2 * kWindow / took)));
  return repeats;
}

// At least 20 windows of at least 20 ms each, after as long a warm-up; about `seconds` in all where that allows more.
// `calls_per_work`: how many calls one `work` makes.
inline Timing time_calls(Device device, const std::function<void()>& work, int64_t calls_per_work, double seconds) {
  constexpr size_t kWindows = 20;
  const int64_t repeats = repeats_of(device, work);
  std::vector<double> times;
  for (double spent = 0; times.size() < kWindows || (spent < 1000 * seconds && times.size() < 50 * kWindows);) {
    times.push_back(window_of(device, work, repeats));
    spent += times.back();
  }
  std::ranges::sort(times);
  const auto at = [&](double share) {
    const double index = share * static_cast<double>(times.size() - 1);
    return times[static_cast<size_t>(index + 0.5)] / static_cast<double>(repeats * calls_per_work);
  };
  return {at(0.5), at(0.1), at(0.9), static_cast<int64_t>(times.size())};
}

// A call for each of `sets` input sets, so many that together they do not fit into a cache. With `record`, on a device
// that can, the replay of a recording of them.
inline std::function<void()> work_on_sets(Device device, bool record, int64_t sets,
                                          const std::function<void(int64_t set)>& call) {
  const auto all = [=] {
    for (int64_t set = 0; set < sets; ++set) call(set);
  };
  for (int i = 0; i < 2; ++i) all();  // plans, algorithms, memory
  wait_for(device);
  if (!record || !can_record(device)) return all;
  const std::shared_ptr<Recording> recording = record_work(device, all);
  return [recording] { recording->replay(); };
}

}  // namespace engine::bench
