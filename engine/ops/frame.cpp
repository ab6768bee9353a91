#include "kernels/frame.h"

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/ops/computed.h"

namespace engine {

namespace {

// Checks the arguments; from a mean and a deviation per channel.
NormalizeFrames scale_and_shift(const std::string& name, int64_t channels, const std::vector<double>& mean,
                                const std::vector<double>& deviation) {
  ENGINE_CHECK(channels >= 1 && channels <= NormalizeFrames::kMaxChannels && std::ssize(mean) == channels &&
                   std::ssize(deviation) == channels,
               name, ": expected one mean and one deviation for each of ", channels, " channels, at most ",
               NormalizeFrames::kMaxChannels, ", got ", mean.size(), " and ", deviation.size());
  NormalizeFrames p;
  for (size_t c = 0; c < mean.size(); ++c) {
    ENGINE_CHECK(deviation[c] > 0, name, ": the deviation of channel ", c, " must be positive, got ", deviation[c]);
    p.scale[c] = 1 / deviation[c];
    p.shift[c] = -mean[c] / deviation[c];
  }
  return p;
}

// Throws unless every sample of every picture lies in a buffer of so many bytes.
void check_pictures(std::span<const Picture> pictures, int64_t bytes) {
  constexpr int32_t kMaxSide = 1 << 24;  // every sample's place is an f32
  for (const Picture& picture : pictures)
    for (int k = 0; k < 3; ++k) {
      const Picture::Grid& g = picture.grid[k > 0];
      const int64_t last = int64_t{g.height - 1} * g.stride + int64_t{g.width - 1} * g.step, start = picture.plane[k];
      ENGINE_CHECK(std::min(g.width, g.height) >= 1 && std::max(g.width, g.height) <= kMaxSide &&
                       std::min(g.stride, g.step) >= 0 && g.step <= (picture.wide ? 2 : 3) && last < INT32_MAX &&
                       start >= 0 && start + last + 4 <= bytes,
                   "warp_frames: plane ", k, " of ", g.width, "x", g.height, " samples, ", g.step, " and ", g.stride,
                   " bytes apart, does not lie in ", bytes, " bytes from byte ", start,
                   " on with room for 4 bytes each");
    }
}

}  // namespace

Tensor normalize_frames(const Tensor& x, const std::vector<double>& mean, const std::vector<double>& deviation,
                        DType dtype) {
  ENGINE_CHECK(x.dtype() == DType::u8 && x.rank() >= 1, "normalize_frames: expected u8 pixels (..., C), got ",
               x.shape(), " ", x.dtype());
  ENGINE_CHECK(is_float(dtype), "normalize_frames: the result is a float tensor, not ", dtype);
  const ProfiledPass pass = forward_pass("normalize_frames", x);
  const NormalizeFrames p = scale_and_shift("normalize_frames", x.size(-1), mean, deviation);
  return record("normalize_frames", {x},
                computed(x.shape(), dtype, x.device(), [&](auto& ctx, View y) { normalize_frames(ctx, p, x, y); }), {});
}

Tensor warp_frames(const Tensor& pixels, std::span<const Picture> pictures, const Shape& size,
                   const std::vector<double>& mean, const std::vector<double>& deviation, DType dtype) {
  ENGINE_CHECK(pixels.dtype() == DType::u8, "warp_frames: expected u8 pixels, got ", pixels.dtype());
  ENGINE_CHECK(size.rank() == 3 && size[2] >= 3,
               "warp_frames: the result's size is (height, width, at least 3 channels), not ", size);
  ENGINE_CHECK(is_float(dtype) || dtype == DType::u8, "warp_frames: the result is u8 or a float tensor, not ", dtype);
  check_pictures(pictures, pixels.elements());
  const ProfiledPass pass = forward_pass("warp_frames", pixels);
  const NormalizeFrames p = scale_and_shift("warp_frames", 3, mean, deviation);
  const Tensor described = Tensor::empty({static_cast<int64_t>(pictures.size_bytes())}, DType::u8, pixels.device());
  copy_bytes(pixels.device(), described.memory(), kCpu, pictures.data(), pictures.size_bytes());
  return record("warp_frames", {pixels, described},
                computed({std::ssize(pictures), size[0], size[1], size[2]}, dtype, pixels.device(),
                         [&](auto& ctx, View y) { warp_frames(ctx, p, pixels, described, y); }),
                {});
}

void warp_frames(std::span<const uint8_t> pixels, std::span<const Picture> pictures, int64_t height, int64_t width,
                 std::span<uint8_t> rgb) {
  const Shape shape = {std::ssize(pictures), height, width, 3};
  ENGINE_CHECK(std::ssize(rgb) == shape.elements(), "warp_frames: ", rgb.size(), " bytes for pictures of ", shape);
  check_pictures(pictures, std::ssize(pixels));
  const auto bytes = [](const auto& span) {
    return ConstView(span.data(), DType::u8, {static_cast<int64_t>(span.size_bytes())});
  };
  warp_frames(cpu_context(), {.scale = {1, 1, 1}, .shift = {}}, bytes(pixels), bytes(pictures),
              View(rgb.data(), DType::u8, shape));
}

}  // namespace engine
