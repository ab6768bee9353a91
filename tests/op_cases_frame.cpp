#include <cmath>

#include "tests/op_cases.h"

namespace engine::test {
namespace {

// The second input is there for its type, which is the result's.
OpCase frame_case(const Shape& shape, const std::vector<double>& mean, const std::vector<double>& deviation) {
  return {.op = "normalize_frames",
          .what = concat(shape),
          .inputs = {{shape, Fill::bytes, false, DType::u8}, {{1}, Fill::normal, false}},
          .run = [=](const Tensors& in) { return Tensors{normalize_frames(in[0], mean, deviation, in[1].dtype())}; },
          .reference =
              [=](const Tensors& in) {
                const Array y(in[0].shape());
                for (size_t i = 0; i < in[0].values<uint8_t>().size(); ++i) {
                  const size_t c = i % mean.size();
                  y.flat(static_cast<int64_t>(i)) = (in[0].values<uint8_t>()[i] - mean[c]) / deviation[c];
                }
                return Tensors{y.tensor};
              }};
}

// A pixel of the frame, the nearest one for places outside.
double pixel(const Tensor& x, int64_t n, double h, double w, int64_t c) {
  const auto inside = [](double place, int64_t size) {
    return static_cast<int64_t>(std::clamp(place, 0.0, static_cast<double>(size - 1)));
  };
  const int64_t at = ((n * x.size(1) + inside(h, x.size(1))) * x.size(2) + inside(w, x.size(2))) * x.size(3) + c;
  return x.values<uint8_t>()[static_cast<size_t>(at)];
}

// The weighted mean of the four pixels around a place; their centres are at halves.
double bilinear(const Tensor& x, int64_t n, double u, double v, int64_t c) {
  const double w = std::floor(u - 0.5), h = std::floor(v - 0.5), right = u - 0.5 - w, down = v - 0.5 - h;
  return (1 - down) * ((1 - right) * pixel(x, n, h, w, c) + right * pixel(x, n, h, w + 1, c)) +
         down * ((1 - right) * pixel(x, n, h + 1, w, c) + right * pixel(x, n, h + 1, w + 1, c));
}

// Positive matrices shrink and slant, normal ones also mirror, and see more of the outside. The bound of f32: in units
// of a pixel's value, below 256, the interpolations round by 3 * 2^-17 at most and the scale by 2 * 2^-17, of which the
// result is at most 1/57; its shift and sum round by 2e-7. Together less than 1e-6, of values whose mean square is
// about 1.
OpCase warp_case(const Shape& frames, const Shape& size, Fill fill) {
  std::vector<double> mean, deviation;
  for (int64_t c = 0; c < frames[3]; ++c) {
    mean.push_back(100.5 + 5 * static_cast<double>(c));
    deviation.push_back(57.25 + static_cast<double>(c));
  }
  return {
      .op = "warp_frames",
      .what = concat(frames, " to ", size),
      .inputs = {{frames, Fill::bytes, false, DType::u8},
                 {{frames[0], 2, 3}, fill, false, DType::f32},
                 {{1}, Fill::normal, false}},
      .run =
          [=](const Tensors& in) { return Tensors{warp_frames(in[0], in[1], size, mean, deviation, in[2].dtype())}; },
      .reference =
          [=](const Tensors& in) {
            const Array matrix(in[1]), y({frames[0], size[0], size[1], size[2]});
            for (int64_t i = 0; i < y.elements(); ++i) {
              const int64_t c = i % size[2], q = i / size[2] % size[1], p = i / (size[2] * size[1]) % size[0];
              const int64_t n = i / (size[2] * size[1] * size[0]);
              const auto place = [&](int row) {
                const auto m = [&](int k) { return static_cast<float>(matrix(n, row, k)); };
                return std::fma(m(0), static_cast<float>(q) + 0.5f, std::fma(m(1), static_cast<float>(p) + 0.5f, m(2)));
              };
              const auto channel = static_cast<size_t>(c);
              if (c < frames[3])
                y.flat(i) = (bilinear(in[0], n, place(0), place(1), c) - mean[channel]) / deviation[channel];
            }
            return Tensors{y.tensor};
          }};
}

std::vector<OpCase> cases() {
  const std::vector<double> mean{123.675, 116.28, 103.53}, deviation{58.395, 57.12, 57.375};
  std::vector<double> many, spread;
  for (int c = 0; c < 16; ++c) {
    many.push_back(90.5 + 3 * c);
    spread.push_back(40.25 + c);
  }
  return {frame_case({2, 3, 5, 7, 3}, mean, deviation),
          frame_case({67, 53, 3}, mean, deviation),
          frame_case({3}, mean, deviation),
          frame_case({9, 1}, {127.5}, {127.5}),
          frame_case({5, 16}, many, spread),
          warp_case({2, 23, 31, 3}, {6, 9, 8}, Fill::positive),
          warp_case({3, 5, 4, 3}, {7, 6, 3}, Fill::normal),
          warp_case({2, 40, 29, 1}, {9, 33, 1}, Fill::positive),
          warp_case({2, 12, 15, 16}, {5, 5, 16}, Fill::positive),
          warp_case({5, 6, 8, 5}, {4, 7, 20}, Fill::normal),
          warp_case({1, 1, 1, 3}, {3, 3, 8}, Fill::normal)};
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3}, DType::u8), frames = Tensor::zeros({2, 5, 4, 3}, DType::u8);
  const Tensor matrix = Tensor::zeros({2, 2, 3});
  return {{"normalize_frames", "one mean and one deviation per channel of x (2,3)",
           [=] {
             normalize_frames(x, {1, 2}, {1, 2});
           }},
          {"normalize_frames", "got 3 and 2",
           [=] {
             normalize_frames(x, {1, 2, 3}, {1, 2});
           }},
          {"normalize_frames", "deviation of channel 1 must be positive, got 0",
           [=] {
             normalize_frames(x, {1, 2, 3}, {1, 0, 2});
           }},
          {"normalize_frames", "expected u8 pixels",
           [] {
             normalize_frames(Tensor::zeros({2, 3}), {0, 0, 0}, {1, 1, 1});
           }},
          {"normalize_frames", "the result is a float tensor, not i64",
           [=] {
             normalize_frames(x, {0, 0, 0}, {1, 1, 1}, DType::i64);
           }},
          {"warp_frames", "expected u8 frames (N, H, W, C)",
           [=] {
             warp_frames(x, matrix, {4, 4, 3}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "with H and W from 1 to 16777216, got (2,0,4,3)",
           [=] {
             warp_frames(Tensor::zeros({2, 0, 4, 3}, DType::u8), matrix, {4, 4, 3}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "one matrix per frame, (2,2,3) f32, got (1,2,3) f32",
           [=] {
             warp_frames(frames, matrix.slice(0, 1), {4, 4, 3}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "got (2,2,3) f64",
           [=] {
             warp_frames(frames, cast(matrix, DType::f64), {4, 4, 3}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "(height, width, at least 3 channels), not (4,4,2)",
           [=] {
             warp_frames(frames, matrix, {4, 4, 2}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "(height, width, at least 3 channels), not (4,4)",
           [=] {
             warp_frames(frames, matrix, {4, 4}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "one mean and one deviation per channel of x (2,5,4,3)",
           [=] {
             warp_frames(frames, matrix, {4, 4, 3}, {0, 0}, {1, 1});
           }},
          {"warp_frames", "not u8", [=] {
             warp_frames(frames, matrix, {4, 4, 3}, {0, 0, 0}, {1, 1, 1}, DType::u8);
           }}};
}

const Family frame_family{cases, refused};

}  // namespace
}  // namespace engine::test
