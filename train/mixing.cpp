#include "train/mixing.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace engine {
namespace {

double draw_gamma(double shape, Random& random) {
  if (shape < 1) {
    const double u = 1 - random.uniform();  // (0, 1]
    return draw_gamma(shape + 1, random) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal(), v = std::pow(1 + c * x, 3), u = 1 - random.uniform();
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

struct Box {
  int64_t top, bottom, left, right;
};

// A box of `area` (0 .. 1) of the picture and of its shape, around a place that is drawn, within the picture.
Box draw_box(int64_t height, int64_t width, double area, Random& random) {
  const double side = std::sqrt(area);
  const auto range = [&](int64_t size) {
    const auto extent = static_cast<int64_t>(std::lround(side * static_cast<double>(size)));
    const int64_t begin = static_cast<int64_t>(random.below(static_cast<uint64_t>(size))) - extent / 2;
    return std::pair(std::clamp<int64_t>(begin, 0, size), std::clamp<int64_t>(begin + extent, 0, size));
  };
  const auto [top, bottom] = range(height);
  const auto [left, right] = range(width);
  return {top, bottom, left, right};
}

// result = share x + (1 - share) other of each row, the rows of `other` in the order given.
template <class T>
void blend(const Tensor& x, const std::vector<int64_t>& order, double share, const Tensor& result) {
  const size_t row = x.values<T>().size() / order.size();
  const auto part = static_cast<float>(share);
  for (size_t n = 0; n < order.size(); ++n) {
    const std::span<const T> own = x.values<T>().subspan(n * row, row);
    const std::span<const T> other = x.values<T>().subspan(static_cast<size_t>(order[n]) * row, row);
    const std::span<T> to = result.values<T>().subspan(n * row, row);
    for (size_t i = 0; i < row; ++i) {
      const float value = part * static_cast<float>(own[i]) + (1 - part) * static_cast<float>(other[i]);
      to[i] = static_cast<T>(std::is_integral_v<T> ? value + 0.5f : value);
    }
  }
}

void paste(const Tensor& x, const std::vector<int64_t>& order, const Box& box, const Tensor& result) {
  const int64_t height = x.size(2), width = x.size(3), channels = x.size(4), frames = x.size(1);
  const auto bytes = static_cast<size_t>((box.right - box.left) * channels);
  for (size_t n = 0; n < order.size(); ++n)
    for (int64_t t = 0; t < frames; ++t)
      for (int64_t h = box.top; h < box.bottom; ++h) {
        const auto place = [&](int64_t clip) {
          return static_cast<size_t>((((clip * frames + t) * height + h) * width + box.left) * channels);
        };
        std::memcpy(&result.values<uint8_t>()[place(static_cast<int64_t>(n))],
                    x.values<uint8_t>().subspan(place(order[n]), bytes).data(), bytes);
      }
}

}  // namespace

double draw_beta(double alpha, Random& random) {
  const double x = draw_gamma(alpha, random), y = draw_gamma(alpha, random);
  return x + y > 0 ? x / (x + y) : random.chance(0.5) ? 1 : 0;  // both are 0 where alpha is tiny
}

Tensor class_rows(const Tensor& labels, int64_t classes, double label_smoothing) {
  const double others = label_smoothing / static_cast<double>(classes);
  const Tensor rows = Tensor::full({labels.size(0), classes}, others);
  size_t row = 0;
  for (const int64_t label : labels.values<int64_t>())
    rows.values<float>()[row++ * static_cast<size_t>(classes) + static_cast<size_t>(label)] =
        static_cast<float>(1 - label_smoothing + others);
  return rows;
}

std::pair<Tensor, Tensor> mix(const Tensor& frames, const Tensor& targets, const MixingOptions& options,
                              Random& random) {
  const bool cut = options.cutmix > 0 && (options.mixup == 0 || random.chance(0.5));
  double share = draw_beta(cut ? options.cutmix : options.mixup, random);
  const std::vector<int64_t> order = random.permutation(frames.size(0));
  const Tensor mixed_frames = frames.clone(), mixed_targets = targets.clone();
  if (cut) {
    const int64_t height = frames.size(2), width = frames.size(3);
    const Box box = draw_box(height, width, 1 - share, random);
    if (box.bottom > box.top && box.right > box.left) paste(frames, order, box, mixed_frames);
    share =
        1 - static_cast<double>((box.bottom - box.top) * (box.right - box.left)) / static_cast<double>(height * width);
  } else {
    blend<uint8_t>(frames, order, share, mixed_frames);
  }
  blend<float>(targets, order, share, mixed_targets);
  return {mixed_frames, mixed_targets};
}

}  // namespace engine
