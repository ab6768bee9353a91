// kernels/recording.h by device.
#pragma once

#include <atomic>

#include "engine/tensor.h"
#include "kernels/recording.h"

namespace engine {

// False while a profiler wants to see every op in every step.
inline std::atomic<bool> may_record = true;
// Whether work on `device` can be recorded.
inline bool can_record(Device device) { return device.type == DeviceType::cuda && may_record; }
inline std::unique_ptr<Recording> record_work(Device device, const std::function<void()>& body) {
  return on(device, [&](auto& ctx) { return record_work(ctx, body); });
}

// Copies a tensor on the CPU into one on a device, of the same shape and type, while the device computes.
class Uploader {
 public:
  // `target` stays the destination of every upload.
  explicit Uploader(const Tensor& target)
      : target_(target), upload_(on(target.device(), [&](auto& ctx) { return make_upload(ctx, target.bytes()); })) {}
  void operator()(const Tensor& source) const {
    ENGINE_CHECK(source.device() == kCpu && source.shape() == target_.shape() && source.dtype() == target_.dtype(),
                 "upload: expected ", target_.shape(), " ", target_.dtype(), " on the CPU, got ", source.shape(), " ",
                 source.dtype(), " on ", source.device());
    upload_->copy(target_.memory(), source.memory(), source.bytes());
  }
  const Tensor& target() const { return target_; }

 private:
  Tensor target_;
  std::unique_ptr<Upload> upload_;
};

}  // namespace engine
