#include "bench/suite/suite.h"

#include <benchmark/benchmark.h>

#include <optional>

#include "train/op_watch.h"

namespace engine::bench {
namespace {

// The work of the benchmark that runs, and what one call of it was seen to do.
struct Prepared {
  std::string name;
  Work work;
  double passes = 0, peak = 0;
};

const Prepared& prepare(const Suite& suite, const std::string& name, const std::function<Work()>& make) {
  static std::optional<Prepared> now;
  if (now && now->name == name) return *now;
  now.reset();
  Prepared made{.name = name, .work = make()};
  const OpWatch watch;
  made.work.call();
  wait_for(suite.device);
  made.passes = static_cast<double>(watch.passes);
  made.peak = static_cast<double>(watch.taken());
  return now.emplace(std::move(made));
}

void run(benchmark::State& state, const Suite& suite, const std::string& name, const std::function<Work()>& make) {
  using benchmark::Counter;
  try {
    const Prepared& prepared = prepare(suite, name, make);
    const Work& work = prepared.work;
    while (state.KeepRunningBatch(work.calls)) {
      work.call();
      wait_for(suite.device);
    }
    const auto rate = [&](double amount) { return Counter(amount, Counter::kIsIterationInvariantRate); };
    if (work.flop > 0) {
      state.counters["flop/s"] = rate(work.flop);
      state.counters["of_products"] = rate(work.flop / suite.ceilings.flop_per_second);
    }
    if (work.bytes > 0) {
      state.counters["bytes/s"] = rate(work.bytes);
      state.counters["of_copy"] = rate(work.bytes / suite.ceilings.bytes_per_second);
    }
    if (work.items > 0) state.counters[std::string(work.item) + "/s"] = rate(work.items);
    if (work.written > 0) state.counters["file_bytes/s"] = rate(work.written);
    if (prepared.passes > 0) state.counters["op_passes"] = prepared.passes / static_cast<double>(work.calls);
    if (prepared.peak > 0) state.counters["peak_bytes"] = prepared.peak;
  } catch (const std::exception& error) {  // the others still count
    state.SkipWithError(error.what());
  }
}

}  // namespace

void add(const Suite& suite, const std::string& name, std::function<Work()> make) {
  auto* added = benchmark::RegisterBenchmark(
      name.c_str(), [&suite, name, make = std::move(make)](benchmark::State& state) { run(state, suite, name, make); });
  added->UseRealTime()->Unit(benchmark::kMillisecond);
  if (suite.quick) added->Iterations(1);
}

}  // namespace engine::bench
