#include "kernels/recording.h"

#include <cstring>

#include "kernels/cpu/context.h"

namespace engine {
namespace {

class CpuUpload : public Upload {
 public:
  void copy(void* destination, const void* source, size_t bytes) override { std::memcpy(destination, source, bytes); }
};

}  // namespace

std::unique_ptr<Recording> record_work(CpuContext&, const std::function<void()>&) {
  throw Error("record_work: work on the CPU cannot be recorded");
}

std::unique_ptr<Upload> make_upload(CpuContext&, size_t) { return std::make_unique<CpuUpload>(); }

}  // namespace engine
