// io/job_queue and io/stages: jobs in order of their groups, never too far ahead, clean ends; times that add up.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>

#include "engine/random.h"
#include "io/job_queue.h"

using namespace engine;

namespace {

constexpr auto kNothing = [](int64_t) {};

double sum(const StageSeconds& seconds) { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

TEST_CASE("every job is done once, before its group is taken and after the group was begun, within the depth") {
  for (const int workers : {0, 1, 2, 7}) {
    for (const JobPlan& plan : {JobPlan{0, 23, 4, 3, workers}, JobPlan{10, 23, 5, 1, workers},
                                JobPlan{6, 7, 2, 9, workers}, JobPlan{23, 23, 4, 2, workers}}) {
      std::vector<std::atomic<int>> done(23);
      std::atomic<int64_t> begun = plan.first / plan.group, given = begun.load();
      std::atomic<bool> in_order = true;
      JobQueue queue;
      queue.start(
          plan,
          [&](int64_t group) {
            if (group != begun++ || group >= given + plan.depth) in_order = false;
          },
          [&](int64_t job) {
            if (job / plan.group >= begun) in_order = false;
            ++done[static_cast<size_t>(job)];
          });
      for (int64_t group = plan.first / plan.group; group * plan.group < plan.end; ++group) {
        queue.wait();
        for (int64_t job = std::max(plan.first, group * plan.group); job < std::min(plan.end, (group + 1) * plan.group);
             ++job)
          CHECK(done[static_cast<size_t>(job)] == 1);
        CHECK(begun <= group + plan.depth);
        ++given;
        queue.taken();
      }
      CHECK(in_order);
      for (int64_t job = 0; job < plan.end; ++job) CHECK(done[static_cast<size_t>(job)] == (job >= plan.first));
    }
  }
}

TEST_CASE("what a hook throws reaches the caller, and the queue can start again") {
  for (const int workers : {0, 1, 4}) {
    JobQueue queue;
    const JobPlan plan{.end = 12, .group = 2, .depth = 2, .workers = workers};
    const auto take_all = [&] {
      for (int group = 0; group < 6; ++group) queue.wait(), queue.taken();
    };
    queue.start(plan, kNothing, [](int64_t job) {
      if (job == 7) throw std::runtime_error("job 7");
    });
    CHECK_THROWS_WITH(take_all(), "job 7");
    queue.stop();
    queue.start(
        plan,
        [](int64_t group) {
          if (group == 3) throw std::runtime_error("group 3");
        },
        kNothing);
    CHECK_THROWS_WITH(take_all(), "group 3");
    queue.stop();
    queue.start(plan, kNothing, kNothing);
    CHECK_NOTHROW(take_all());
    queue.stop();
  }
}

TEST_CASE("a queue stops at any moment, and tells its jobs") {
  for (uint32_t trial = 0; trial < 200; ++trial) {
    Random random(11, 0, trial);
    JobQueue queue;
    const int workers = static_cast<int>(random.below(5));
    const JobPlan plan{.end = 40, .group = 3, .depth = 1 + static_cast<int64_t>(random.below(4)), .workers = workers};
    const std::stop_token token = queue.token();
    std::atomic<int> under_way = 0;
    queue.start(plan, kNothing, [&](int64_t) {
      ++under_way;
      std::this_thread::yield();
      --under_way;
    });
    for (uint64_t taken = random.below(14); taken > 0; --taken) queue.wait(), queue.taken();
    CHECK_FALSE(token.stop_requested());
    queue.stop();
    CHECK(token.stop_requested());
    CHECK(under_way == 0);
  }
}

TEST_CASE("times: a stage inside another interrupts it, and what workers wait is counted") {
  constexpr std::chrono::milliseconds kPause(2);
  const auto begin = Clock::now();
  const StageSeconds before = stage_seconds();
  {
    const StageTimer outer(Stage::open);
    {
      const StageTimer inner(Stage::decode);
      std::this_thread::sleep_for(kPause);
    }
    const StageTimer other(Stage::decode);
    std::this_thread::sleep_for(kPause);
  }
  StageSeconds spent = stage_seconds();
  for (size_t i = 0; i < kStages; ++i) spent[i] -= before[i];
  CHECK(spent[static_cast<size_t>(Stage::decode)] >= 2 * std::chrono::duration<double>(kPause).count() - 1e-6);
  CHECK(spent[static_cast<size_t>(Stage::open)] > 0);
  CHECK(spent[static_cast<size_t>(Stage::read)] == 0);
  CHECK(sum(spent) <= seconds_since(begin));
  std::thread([] { CHECK(sum(stage_seconds()) == 0); }).join();

  for (const int workers : {0, 1, 3}) {
    JobQueue queue;
    const auto started = Clock::now();
    queue.start({.end = 9, .group = 1, .depth = 1, .workers = workers}, kNothing, [&](int64_t) {
      const StageTimer timer(Stage::convert);
      std::this_thread::sleep_for(kPause / 4);
    });
    for (int group = 0; group < 9; ++group) queue.wait(), queue.taken();
    const JobTimes times = queue.times();
    CHECK(times.stages[static_cast<size_t>(Stage::convert)] > 0);
    CHECK(times.waited > 0);
    CHECK(times.waited <= seconds_since(started));
    // A worker that has done its job holds the lock until it waits: the caller cannot be faster.
    CHECK((times.blocked > 0) == (workers > 0));
    CHECK(sum(times.stages) + times.blocked <= std::max(1, workers) * seconds_since(started));
  }
}
