#include "kernels/frame.h"

#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine {

namespace {

// Checks the arguments; from a mean and a deviation per channel.
NormalizeFrames scale_and_shift(const std::string& name, const Tensor& x, const std::vector<double>& mean,
                                const std::vector<double>& deviation, DType dtype) {
  const auto channels = static_cast<int64_t>(mean.size());
  ENGINE_CHECK(channels >= 1 && channels <= NormalizeFrames::kMaxChannels && deviation.size() == mean.size() &&
                   x.size(-1) == channels,
               name, ": expected one mean and one deviation per channel of x ", x.shape(), ", at most ",
               NormalizeFrames::kMaxChannels, ", got ", mean.size(), " and ", deviation.size());
  ENGINE_CHECK(is_float(dtype), name, ": the result is a float tensor, not ", dtype);
  NormalizeFrames p;
  for (size_t c = 0; c < mean.size(); ++c) {
    ENGINE_CHECK(deviation[c] > 0, name, ": the deviation of channel ", c, " must be positive, got ", deviation[c]);
    p.scale[c] = 1 / deviation[c];
    p.shift[c] = -mean[c] / deviation[c];
  }
  return p;
}

}  // namespace

Tensor normalize_frames(const Tensor& x, const std::vector<double>& mean, const std::vector<double>& deviation,
                        DType dtype) {
  ENGINE_CHECK(x.dtype() == DType::u8 && x.rank() >= 1, "normalize_frames: expected u8 pixels (..., C), got ",
               x.shape(), " ", x.dtype());
  const ProfiledPass pass = forward_pass("normalize_frames", x);
  const NormalizeFrames p = scale_and_shift("normalize_frames", x, mean, deviation, dtype);
  const Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  on(x.device(), [&](auto& ctx) { normalize_frames(ctx, p, x, y); });
  return y;
}

Tensor warp_frames(const Tensor& x, const Tensor& matrix, const Shape& size, const std::vector<double>& mean,
                   const std::vector<double>& deviation, DType dtype) {
  constexpr int64_t kMaxSide = 1 << 24;  // every pixel's place is an f32
  ENGINE_CHECK(x.dtype() == DType::u8 && x.rank() == 4 && x.size(1) >= 1 && x.size(2) >= 1 && x.size(1) <= kMaxSide &&
                   x.size(2) <= kMaxSide,
               "warp_frames: expected u8 frames (N, H, W, C) with H and W from 1 to ", kMaxSide, ", got ", x.shape(),
               " ", x.dtype());
  ENGINE_CHECK(matrix.dtype() == DType::f32 && matrix.shape() == Shape({x.size(0), 2, 3}),
               "warp_frames: expected one matrix per frame, (", x.size(0), ",2,3) f32, got ", matrix.shape(), " ",
               matrix.dtype());
  ENGINE_CHECK(size.rank() == 3 && size[2] >= x.size(3), "warp_frames: the result's size is (height, width, at least ",
               x.size(3), " channels), not ", size);
  const ProfiledPass pass = forward_pass("warp_frames", x);
  const NormalizeFrames p = scale_and_shift("warp_frames", x, mean, deviation, dtype);
  const Tensor y = Tensor::empty({x.size(0), size[0], size[1], size[2]}, dtype, x.device());
  on(x.device(), [&](auto& ctx) { warp_frames(ctx, p, x, matrix, y); });
  return y;
}

}  // namespace engine
