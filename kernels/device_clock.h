// When a device gets through its queue.
#pragma once

#include <memory>
#include <vector>

#include "kernels/context.h"

namespace engine {

class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  // Queues a mark, which is reached when everything queued before it is done (on the CPU, which has no queue, at once),
  // and gives its number, from 0.
  virtual size_t mark() = 0;
  // Waits for the device; in seconds, from mark 0 to every mark.
  virtual std::vector<double> marks() = 0;
  // Opens or closes the window that Nsight records with --capture-range=cudaProfilerApi; nothing on the CPU.
  virtual void capture(bool /*open*/) {}
};
std::unique_ptr<DeviceClock> make_clock(CpuContext& ctx);
std::unique_ptr<DeviceClock> make_clock(CudaContext& ctx);

}  // namespace engine
