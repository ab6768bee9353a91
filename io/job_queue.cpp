#include "io/job_queue.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "engine/tensor.h"

namespace engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

void JobQueue::start(const JobPlan& plan, std::function<void(int64_t)> begin, std::function<void(int64_t)> run) {
  plan_ = plan;
  begin_ = std::move(begin);
  run_ = std::move(run);
  next_job_ = plan.first;
  next_group_ = group_of(plan.first);
  remaining_.assign(static_cast<size_t>(plan.depth), 0);
  failure_ = nullptr;
  times_ = {};
  try {
    for (int i = 0; i < plan.workers; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop();
    throw Error(concat("loader: cannot start ", plan.workers, " threads (", error.what(), "); use fewer workers"),
                exit_code::kMemory);
  }
}

void JobQueue::stop() {
  stop_.request_stop();
  workers_.clear();
  stop_ = {};
}

void JobQueue::work() {
  set_cpu_threads(1);  // of kernels that this thread calls: the workers are the parallel part
  const std::stop_token token = stop_.get_token();
  std::unique_lock lock(mutex_);
  try {
    const auto ended = [&] { return token.stop_requested() || failure_ || next_job_ == plan_.end; };
    const auto may_go_on = [&] { return ended() || group_of(next_job_) < next_group_ + plan_.depth; };
    for (;;) {
      if (!may_go_on()) {
        const auto begin = Clock::now();
        free_.wait(lock, token, may_go_on);
        times_.blocked += seconds_since(begin);
      }
      if (ended()) return;
      const int64_t job = next_job_++, group = group_of(job);
      if (job % plan_.group == 0) {
        remaining(group) = std::min(plan_.group, plan_.end - job);
        begin_(group);
      }
      lock.unlock();
      const StageSeconds before = stage_seconds();
      run_(job);
      lock.lock();
      count(before);
      if (--remaining(group) == 0) filled_.notify_all();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    failure_ = std::current_exception();
    filled_.notify_all();
  }
}

void JobQueue::count(const StageSeconds& before) {
  const StageSeconds now = stage_seconds();
  for (size_t i = 0; i < kStages; ++i) times_.stages[i] += now[i] - before[i];
}

void JobQueue::run_group() {
  begin_(next_group_);
  const StageSeconds before = stage_seconds();
  const int64_t end = std::min((next_group_ + 1) * plan_.group, plan_.end);
  while (next_job_ < end) run_(next_job_++);
  count(before);
}

void JobQueue::wait() {
  const auto begin = Clock::now();
  std::unique_lock lock(mutex_);
  if (plan_.workers == 0)
    run_group();
  else
    filled_.wait(lock,
                 [&] { return failure_ || (next_job_ > next_group_ * plan_.group && remaining(next_group_) == 0); });
  times_.waited += seconds_since(begin);
  if (failure_) std::rethrow_exception(failure_);
}

void JobQueue::taken() {
  {
    const std::lock_guard lock(mutex_);
    ++next_group_;
  }
  free_.notify_all();
}

JobTimes JobQueue::times() {
  const std::lock_guard lock(mutex_);
  return times_;
}

}  // namespace engine
