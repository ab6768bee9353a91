#include <algorithm>
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

enum class Layout { yuv420, nv12, rgb, wide420, wide444 };

// Picture n of N that share `bytes` bytes, of odd and different sizes; as decoders lay them out, with room behind rows.
Picture picture_of(Layout layout, int n, int64_t start) {
  const bool halved = layout == Layout::yuv420 || layout == Layout::nv12 || layout == Layout::wide420;
  const bool woven = layout == Layout::nv12, packed = layout == Layout::rgb;
  Picture p{};
  p.wide = layout == Layout::wide444 || layout == Layout::wide420;
  const int size = p.wide ? 2 : 1, width = 15 + 4 * n, height = 9 + 2 * n;
  const int chroma_width = halved ? (width + 1) / 2 : width, chroma_height = halved ? (height + 1) / 2 : height;
  const int step = packed ? 3 : size, chroma_step = woven ? 2 : step;
  p.grid[0] = {width, height, width * step + 5, step, {}};
  p.grid[1] = {
      chroma_width, chroma_height, packed ? width * step + 5 : chroma_width * chroma_step + 3, chroma_step, {}};
  const int64_t luma = p.grid[0].height * p.grid[0].stride, chroma = p.grid[1].height * p.grid[1].stride;
  p.plane[0] = start;
  p.plane[1] = packed ? start + 1 : start + luma;
  p.plane[2] = packed ? start + 2 : p.plane[1] + (woven ? 1 : chroma);
  p.fill_border = n % 2;
  const int erased[4] = {n, 1, n + 2, 4};
  std::copy_n(erased, 4, p.erased);
  return p;
}

constexpr int64_t kPictureBytes = 4096;  // enough for each of them

// The pictures with their matrices (N, 2, 2, 3), colours (N, 3, 4) and fills (N, 3). The colours are near those of
// BT.709, scaled to 16 bits where samples are wide.
std::vector<Picture> pictures_of(Layout layout, const Tensor& matrices, const Tensor& colours, const Tensor& fills) {
  constexpr double kBase[3][4] = {{1.16, 0, 1.79, -248}, {1.16, -0.21, -0.53, 77}, {1.16, 2.11, 0, -289}};
  std::vector<Picture> pictures;
  const Array m(cast(matrices.to(kCpu), DType::f64)), colour(cast(colours.to(kCpu), DType::f64));
  const Array fill(cast(fills.to(kCpu), DType::f64));
  for (int n = 0; n < m.size(0); ++n) {
    Picture& p = pictures.emplace_back(picture_of(layout, n, n * kPictureBytes + 1));
    for (int i = 0; i < 12; ++i) p.grid[i / 6].m[i / 3 % 2][i % 3] = static_cast<float>(m(n, i / 6, i / 3 % 2, i % 3));
    for (int i = 0; i < 12; ++i) {
      const double number = kBase[i / 4][i % 4] + 0.1 * colour(n, i / 4, i % 4);
      p.colour[i / 4][i % 4] = static_cast<float>(p.wide && i % 4 < 3 ? number / 257 : number);
    }
    for (int c = 0; c < 3; ++c) p.fill[c] = static_cast<float>(100 + 90 * fill(n, c));
  }
  return pictures;
}

// A sample of a plane, the nearest one for places outside.
double sample(const Tensor& pixels, const Picture& p, int k, double h, double w) {
  const Picture::Grid& g = p.grid[k > 0];
  const auto inside = [](double place, int size) { return static_cast<int>(std::clamp(place, 0.0, size - 1.0)); };
  const auto at = static_cast<size_t>(p.plane[k] + inside(h, g.height) * g.stride + inside(w, g.width) * g.step);
  const auto bytes = pixels.values<uint8_t>();
  return bytes[at] + (p.wide ? 256.0 * bytes[at + 1] : 0.0);
}

// The weighted mean of the four samples around a place; their centres are at halves.
double bilinear(const Tensor& pixels, const Picture& p, int k, double u, double v) {
  const double w = std::floor(u - 0.5), h = std::floor(v - 0.5), right = u - 0.5 - w, down = v - 0.5 - h;
  return (1 - down) * ((1 - right) * sample(pixels, p, k, h, w) + right * sample(pixels, p, k, h, w + 1)) +
         down * ((1 - right) * sample(pixels, p, k, h + 1, w) + right * sample(pixels, p, k, h + 1, w + 1));
}

Tensor warped(const Tensor& pixels, const std::vector<Picture>& pictures, const Shape& size,
              const std::vector<double>& mean, const std::vector<double>& deviation) {
  const Array y({std::ssize(pictures), size[0], size[1], size[2]});
  for (int64_t i = 0; i < y.elements(); ++i) {
    const int64_t c = i % size[2], q = i / size[2] % size[1], row = i / (size[2] * size[1]) % size[0];
    if (c >= 3) continue;
    const Picture& p = pictures[static_cast<size_t>(i / (size[2] * size[1] * size[0]))];
    const auto place = [&](int k, int axis) {
      const auto& m = p.grid[k > 0].m[axis];
      return std::fma(m[0], static_cast<float>(q) + 0.5f, std::fma(m[1], static_cast<float>(row) + 0.5f, m[2]));
    };
    double value = p.colour[c][3];
    for (int k = 0; k < 3; ++k) value += p.colour[c][k] * bilinear(pixels, p, k, place(k, 0), place(k, 1));
    const bool outside = place(0, 0) < 0 || place(0, 0) >= static_cast<float>(p.grid[0].width) || place(0, 1) < 0 ||
                         place(0, 1) >= static_cast<float>(p.grid[0].height);
    const bool erased = q >= p.erased[0] && row >= p.erased[1] && q < p.erased[2] && row < p.erased[3];
    if ((p.fill_border && outside) || erased) value = p.fill[c];
    const auto channel = static_cast<size_t>(c);
    y.flat(i) = (std::clamp(value, 0.0, 255.0) - mean[channel]) / deviation[channel];
  }
  return y.tensor;
}

// Positive matrices shrink and slant, normal ones also mirror, and see more of the outside. The bound of f32: in units
// of a grey level, terms below 600 are added four times and rounded to 2^-15, and the interpolations before round by
// 3 * 2^-17; of that the result is 1/57. These are largest errors; the mean square is well below 1e-6 of values of
// about 1.
OpCase warp_case(Layout layout, const std::string& name, int64_t count, const Shape& size, Fill fill) {
  const std::vector<double> mean{100.5, 105.5, 110.5}, deviation{57.25, 58.25, 59.25};
  return {.op = "warp_frames",
          .what = concat(count, " ", name, " to ", size),
          .inputs = {{{count * kPictureBytes}, Fill::bytes, false, DType::u8},
                     {{count, 2, 2, 3}, fill, false, DType::f32},
                     {{count, 3, 4}, Fill::normal, false, DType::f32},
                     {{count, 3}, Fill::normal, false, DType::f32},
                     {{1}, Fill::normal, false}},
          .run =
              [=](const Tensors& in) {
                return Tensors{
                    warp_frames(in[0], pictures_of(layout, in[1], in[2], in[3]), size, mean, deviation, in[4].dtype())};
              },
          .reference =
              [=](const Tensors& in) {
                return Tensors{warped(in[0], pictures_of(layout, in[1], in[2], in[3]), size, mean, deviation)};
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
          warp_case(Layout::yuv420, "yuv420", 3, {6, 9, 8}, Fill::positive),
          warp_case(Layout::yuv420, "yuv420", 2, {5, 131, 3}, Fill::normal),
          warp_case(Layout::nv12, "nv12", 2, {9, 33, 3}, Fill::positive),
          warp_case(Layout::rgb, "rgb", 3, {7, 6, 3}, Fill::normal),
          warp_case(Layout::wide444, "16-bit yuv444", 2, {5, 7, 20}, Fill::normal),
          warp_case(Layout::wide420, "16-bit yuv420", 3, {4, 7, 8}, Fill::positive)};
}

// A picture of 2 x 1 pixels of 3 bytes that fills 6 bytes of 9, changed so that it does not lie in them any more.
BadCall misplaced(void (*change)(Picture&)) {
  Picture picture{};
  for (Picture::Grid& grid : picture.grid) grid = {2, 1, 6, 3, {}};
  for (int k = 0; k < 3; ++k) picture.plane[k] = k;
  change(picture);
  return {"warp_frames", "does not lie in 9 bytes", [picture] {
            warp_frames(Tensor::zeros({9}, DType::u8), std::vector(1, picture), {2, 2, 3}, {0, 0, 0}, {1, 1, 1});
          }};
}

std::vector<BadCall> refused() {
  const Tensor x = Tensor::zeros({2, 3}, DType::u8);
  return {{"normalize_frames", "one mean and one deviation for each of 3 channels",
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
          {"warp_frames", "expected u8 pixels, got f32",
           [=] {
             warp_frames(Tensor::zeros({9}), {}, {4, 4, 3}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "(height, width, at least 3 channels), not (4,4,2)",
           [=] {
             warp_frames(x, {}, {4, 4, 2}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "(height, width, at least 3 channels), not (4,4)",
           [=] {
             warp_frames(x, {}, {4, 4}, {0, 0, 0}, {1, 1, 1});
           }},
          {"warp_frames", "one mean and one deviation for each of 3 channels",
           [=] {
             warp_frames(x, {}, {4, 4, 3}, {0, 0}, {1, 1});
           }},
          {"warp_frames", "u8 or a float tensor, not i64",
           [=] {
             warp_frames(x, {}, {4, 4, 3}, {0, 0, 0}, {1, 1, 1}, DType::i64);
           }},
          misplaced([](Picture& p) { p.plane[2] = 3; }),
          misplaced([](Picture& p) { p.plane[0] = -1; }),
          misplaced([](Picture& p) { p.wide = 1; }),
          misplaced([](Picture& p) { p.grid[0].step = 4; }),
          misplaced([](Picture& p) { p.grid[0].height = 2; }),
          misplaced([](Picture& p) { p.grid[0].step = -1; }),
          misplaced([](Picture& p) { p.grid[1].width = 0; }),
          misplaced([](Picture& p) { p.grid[1].height = 1 << 25; }),
          {"warp_frames", "11 bytes for pictures of (1,2,2,3)", [] {
             std::vector<uint8_t> pixels(6), rgb(11);
             warp_frames(pixels, std::vector(1, Picture{}), 2, 2, rgb);
           }}};
}

const Family frame_family{cases, refused};

}  // namespace
}  // namespace engine::test
