#include "kernels/frame.h"

#include "engine/ops.h"

namespace engine {

Tensor normalize_frames(const Tensor& x, const std::vector<double>& mean, const std::vector<double>& deviation,
                        DType dtype) {
  const auto channels = static_cast<int64_t>(mean.size());
  ENGINE_CHECK(x.dtype() == DType::u8 && x.rank() >= 1, "normalize_frames: expected u8 pixels (..., C), got ",
               x.shape(), " ", x.dtype());
  ENGINE_CHECK(channels >= 1 && channels <= NormalizeFrames::kMaxChannels && deviation.size() == mean.size() &&
                   x.size(-1) == channels,
               "normalize_frames: expected one mean and one deviation per channel of x ", x.shape(), ", at most ",
               NormalizeFrames::kMaxChannels, ", got ", mean.size(), " and ", deviation.size());
  ENGINE_CHECK(is_float(dtype), "normalize_frames: the result is a float tensor, not ", dtype);
  NormalizeFrames p;
  for (size_t c = 0; c < mean.size(); ++c) {
    ENGINE_CHECK(deviation[c] > 0, "normalize_frames: the deviation of channel ", c, " must be positive, got ",
                 deviation[c]);
    p.scale[c] = 1 / deviation[c];
    p.shift[c] = -mean[c] / deviation[c];
  }
  const Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  on(x.device(), [&](auto& ctx) { normalize_frames(ctx, p, x, y); });
  return y;
}

}  // namespace engine
