// Internal to io/: numbered jobs for threads, done ahead of a caller who takes their results in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "io/stages.h"

namespace engine {

// The jobs from `first` to `end` - 1, in groups of neighbours: job j is of group j / group.
struct JobPlan {
  int64_t first = 0, end = 0;  // `first` begins a group
  int64_t group = 1;           // jobs in each, the last may have fewer
  int64_t depth = 1;           // groups under way or waiting to be taken, at most
  int workers = 1;             // threads; 0: the caller does them when it asks for them
};

struct JobTimes {
  StageSeconds stages{};  // of the jobs
  double blocked = 0;     // seconds that workers waited for the caller, all of them together
  double waited = 0;      // seconds in wait()
};

// One thread at a time calls; the hooks are called by the workers.
class JobQueue {
 public:
  ~JobQueue() { stop(); }
  // begin(g) comes before the jobs of group g, in the order of groups, one at a time; run(j) from several threads.
  // Throws kMemory when the threads cannot be had. The queue must be stopped.
  void start(const JobPlan& plan, std::function<void(int64_t)> begin, std::function<void(int64_t)> run);
  // Jobs that were not begun are dropped, those under way waited for.
  void stop();
  // Told to stop when stop() is called, or the queue goes; good from one stop() to the next.
  std::stop_token token() const { return stop_.get_token(); }

  // Waits until every job of the next group is done; the group after it is next once it is taken(). Throws what a hook
  // threw.
  void wait();
  void taken();
  JobTimes times();  // since start()

 private:
  void work();
  void run_group();
  int64_t group_of(int64_t job) const { return job / plan_.group; }
  int64_t& remaining(int64_t group) { return remaining_[static_cast<size_t>(group % plan_.depth)]; }
  void count(const StageSeconds& before);

  JobPlan plan_;
  std::function<void(int64_t)> begin_, run_;
  std::mutex mutex_;                    // guards what follows
  std::condition_variable_any free_;    // a group may be begun
  std::condition_variable_any filled_;  // a group is done
  int64_t next_job_ = 0;                // that the next free worker takes
  int64_t next_group_ = 0;              // that the caller takes
  std::vector<int64_t> remaining_;      // jobs of the groups under way that are not done
  std::exception_ptr failure_;
  JobTimes times_;
  std::stop_source stop_;
  std::vector<std::jthread> workers_;
};

}  // namespace engine
