#include "io/for_all.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace engine {

int64_t for_all(int64_t count, int threads, const std::function<void(int64_t i)>& work,
                const std::function<bool(int64_t done)>& progress) {
  std::atomic<int64_t> next = 0;
  std::mutex mutex;  // of `done`, `failure` and the calls of `progress`
  int64_t done = 0;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (int64_t i = next++; i < count; i = next++) {
        work(i);
        const std::lock_guard lock(mutex);
        ++done;
        if (progress && !progress(done)) next = count;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  {
    std::vector<std::jthread> others;
    try {
      while (std::ssize(others) + 1 < std::min<int64_t>(threads, count)) others.emplace_back(run);
    } catch (const std::system_error&) {  // no more threads: those that there are do it
    }
    run();
  }
  if (failure) std::rethrow_exception(failure);
  return done;
}

}  // namespace engine
