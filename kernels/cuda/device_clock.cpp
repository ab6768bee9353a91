// Marks are CUDA events in the context's stream.
#include "kernels/device_clock.h"

#include <cuda_profiler_api.h>

#include "kernels/cuda/context.h"

namespace engine {
namespace {

class CudaClock : public DeviceClock {
 public:
  explicit CudaClock(CudaContext& ctx) : ctx_(ctx) {}
  size_t mark() override {
    ENGINE_CUDA(cudaEventCreateWithFlags(events_.emplace_back().receive(), cudaEventDefault));
    ENGINE_CUDA(cudaEventRecord(events_.back().get(), ctx_.stream()));
    return events_.size() - 1;
  }
  std::vector<double> marks() override {
    std::vector<double> seconds;
    for (const CudaEvent& event : events_) {
      float milliseconds = 0;
      ENGINE_CUDA(cudaEventSynchronize(event.get()));
      ENGINE_CUDA(cudaEventElapsedTime(&milliseconds, events_.front().get(), event.get()));
      seconds.push_back(static_cast<double>(milliseconds) / 1e3);
    }
    return seconds;
  }
  void capture(bool open) override { ENGINE_CUDA(open ? cudaProfilerStart() : cudaProfilerStop()); }

 private:
  CudaContext& ctx_;
  std::vector<CudaEvent> events_;
};

}  // namespace

std::unique_ptr<DeviceClock> make_clock(CudaContext& ctx) { return std::make_unique<CudaClock>(ctx); }

}  // namespace engine
