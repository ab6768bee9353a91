// CUDA graphs, and uploads on a stream of their own.
#include "kernels/recording.h"

#include <cstring>

#include "kernels/cuda/context.h"

namespace engine {
namespace {

class GraphRecording : public Recording {
 public:
  GraphRecording(CudaContext& ctx, const std::function<void()>& body) : ctx_(ctx), memory_(ctx) {
    // Relaxed: the recording's memory is allocated while the stream is captured.
    ENGINE_CUDA(cudaStreamBeginCapture(ctx.stream(), cudaStreamCaptureModeRelaxed));
    ctx.begin_recording(memory_);
    CudaGraph graph;
    try {
      body();
    } catch (...) {
      cudaStreamEndCapture(ctx.stream(), graph.receive());
      cudaGetLastError();
      ctx.end_recording();
      throw;
    }
    cudaError_t status = cudaStreamEndCapture(ctx.stream(), graph.receive());
    ctx.end_recording();
    if (status == cudaSuccess) status = cudaGraphInstantiate(executable_.receive(), graph.get(), 0);
    ENGINE_CUDA(status);
  }
  ~GraphRecording() override { cudaStreamSynchronize(ctx_.stream()); }
  void replay() override { ENGINE_CUDA(cudaGraphLaunch(executable_.get(), ctx_.stream())); }

 private:
  CudaContext& ctx_;
  RecordedMemory memory_;
  CudaGraphExec executable_;
};

// Host memory -> pinned buffer -> device buffer on the copy stream -> destination on the context's stream. The last leg
// is a copy within the device, two orders of magnitude faster than the bus, and keeps `destination` one address, which
// a recording needs.
class StreamUpload : public Upload {
 public:
  StreamUpload(CudaContext& ctx, size_t capacity) : ctx_(ctx), capacity_(capacity) {
    ENGINE_CUDA(cudaStreamCreateWithFlags(stream_.receive(), cudaStreamNonBlocking));
    for (Buffer& buffer : buffers_) {
      ENGINE_CUDA(cudaMallocHost(buffer.pinned.receive(), capacity));
      ENGINE_CUDA(cudaMalloc(buffer.device.receive(), capacity));
      ENGINE_CUDA(cudaEventCreateWithFlags(buffer.arrived.receive(), cudaEventDisableTiming));
      ENGINE_CUDA(cudaEventCreateWithFlags(buffer.used.receive(), cudaEventDisableTiming));
    }
  }
  ~StreamUpload() override {
    cudaStreamSynchronize(stream_.get());
    cudaStreamSynchronize(ctx_.stream());
  }

  void copy(void* destination, const void* source, size_t bytes) override {
    ENGINE_CHECK(bytes <= capacity_, "upload: ", bytes, " bytes do not fit into a buffer of ", capacity_);
    Buffer& buffer = buffers_[next_];
    next_ = 1 - next_;
    ENGINE_CUDA(cudaEventSynchronize(buffer.arrived.get()));  // the pinned memory is free again
    std::memcpy(buffer.pinned.get(), source, bytes);
    ENGINE_CUDA(cudaStreamWaitEvent(stream_.get(), buffer.used.get(), 0));
    ENGINE_CUDA(
        cudaMemcpyAsync(buffer.device.get(), buffer.pinned.get(), bytes, cudaMemcpyHostToDevice, stream_.get()));
    ENGINE_CUDA(cudaEventRecord(buffer.arrived.get(), stream_.get()));
    ENGINE_CUDA(cudaStreamWaitEvent(ctx_.stream(), buffer.arrived.get(), 0));
    ENGINE_CUDA(cudaMemcpyAsync(destination, buffer.device.get(), bytes, cudaMemcpyDeviceToDevice, ctx_.stream()));
    ENGINE_CUDA(cudaEventRecord(buffer.used.get(), ctx_.stream()));
  }

 private:
  struct Buffer {
    PinnedMemory pinned;
    DeviceMemory device;
    CudaEvent arrived, used;  // an event that was never recorded counts as reached
  };

  CudaContext& ctx_;
  size_t capacity_;
  CudaStream stream_;
  Buffer buffers_[2];
  int next_ = 0;
};

}  // namespace

std::unique_ptr<Recording> record_work(CudaContext& ctx, const std::function<void()>& body) {
  return std::make_unique<GraphRecording>(ctx, body);
}

std::unique_ptr<Upload> make_upload(CudaContext& ctx, size_t capacity) {
  return std::make_unique<StreamUpload>(ctx, capacity);
}

}  // namespace engine
