// Recording what a device is given to do and replaying it: a CUDA graph. A replay costs one call where the recorded
// work cost one per kernel.
#pragma once

#include <functional>
#include <memory>

#include "kernels/context.h"

namespace engine {

// Recorded work. It owns the memory that was allocated while it was recorded, so it must outlive every tensor made
// then.
class Recording {
 public:
  virtual ~Recording() = default;
  // Queues the work again, on the same memory: whatever changes from time to time is read from memory.
  virtual void replay() = 0;
};

// Calls body once; what it queues on the device is recorded and not done. body must not wait for the device nor read
// its memory, and should have run before, so that plans and algorithms are chosen. An exception of body passes through
// and leaves the device as it was. The CPU cannot record: throws Error.
std::unique_ptr<Recording> record_work(CpuContext& ctx, const std::function<void()>& body);
std::unique_ptr<Recording> record_work(CudaContext& ctx, const std::function<void()>& body);

// Brings data to a device while that computes: two buffers and a queue of their own.
class Upload {
 public:
  virtual ~Upload() = default;
  // Copies `bytes` from host memory, which may be reused at once, to `destination` on the device: after everything
  // queued there before, before everything queued after. bytes <= capacity.
  virtual void copy(void* destination, const void* source, size_t bytes) = 0;
};
std::unique_ptr<Upload> make_upload(CpuContext& ctx, size_t capacity);
std::unique_ptr<Upload> make_upload(CudaContext& ctx, size_t capacity);

}  // namespace engine
