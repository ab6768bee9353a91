#include "train/self_test.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "train/trainer.h"

namespace engine {
namespace {

constexpr int64_t kLargest = 8;  // of the integers

Tensor integers(const Shape& shape, Random& random) {
  const Tensor tensor = Tensor::empty(shape);
  for (float& value : tensor.values<float>())
    value = static_cast<float>(static_cast<int64_t>(random.below(2 * kLargest + 1)) - kLargest);
  return tensor;
}

bool product_is_exact(int64_t m, int64_t n, int64_t k, Device device, Random& random) {
  const Tensor a = integers({m, k}, random), b = integers({k, n}, random);
  const Tensor c = matmul(a.to(device), b.to(device)).to(kCpu);
  const auto x = a.values<float>(), y = b.values<float>(), z = c.values<float>();
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      int64_t sum = 0;
      for (int64_t l = 0; l < k; ++l)
        sum += static_cast<int64_t>(x[static_cast<size_t>(i * k + l)]) *
               static_cast<int64_t>(y[static_cast<size_t>(l * n + j)]);
      if (z[static_cast<size_t>(i * n + j)] != static_cast<float>(sum)) return false;
    }
  return true;
}

struct ConvolutionCase {
  int64_t height, width, channels, outputs, kernel, stride, pad;
};

bool convolution_is_exact(const ConvolutionCase& c, Device device, Random& random) {
  constexpr int64_t kImages = 2;
  const Tensor x = integers({kImages, c.height, c.width, c.channels}, random);
  const Tensor w = integers({c.outputs, c.kernel, c.kernel, c.channels}, random);
  const Conv2d p{.stride_h = c.stride, .stride_w = c.stride, .pad_h = c.pad, .pad_w = c.pad};
  const Tensor y = conv2d(x.to(device), w.to(device), {}, p).to(kCpu);
  const auto in = x.values<float>(), weight = w.values<float>(), out = y.values<float>();
  const auto at = [](std::initializer_list<std::pair<int64_t, int64_t>> places) {
    int64_t index = 0;
    for (const auto& [place, extent] : places) index = index * extent + place;
    return static_cast<size_t>(index);
  };
  const int64_t rows = y.size(1), columns = y.size(2);
  for (int64_t n = 0; n < kImages; ++n)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t k = 0; k < c.outputs; ++k) {
          int64_t sum = 0;
          for (int64_t r = 0; r < c.kernel; ++r)
            for (int64_t s = 0; s < c.kernel; ++s) {
              const int64_t h = i * c.stride - c.pad + r, v = j * c.stride - c.pad + s;
              if (h < 0 || h >= c.height || v < 0 || v >= c.width) continue;
              for (int64_t channel = 0; channel < c.channels; ++channel)
                sum +=
                    static_cast<int64_t>(in[at({{n, kImages}, {h, c.height}, {v, c.width}, {channel, c.channels}})]) *
                    static_cast<int64_t>(
                        weight[at({{k, c.outputs}, {r, c.kernel}, {s, c.kernel}, {channel, c.channels}})]);
            }
          if (out[at({{n, kImages}, {i, rows}, {j, columns}, {k, c.outputs}})] != static_cast<float>(sum)) return false;
        }
  return true;
}

SelfCheck check_products(Device device) {
  Random random(1);
  int exact = 0, count = 0;
  for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 1}, {3, 5, 7}, {64, 64, 64}, {65, 33, 129}, {1, 512, 300}, {200, 1, 77}, {127, 128, 511}}) {
    exact += product_is_exact(m, n, k, device, random) ? 1 : 0;
    ++count;
  }
  return {"products of integers", exact == count, fmt::format("{} of {} exact", exact, count)};
}

SelfCheck check_convolutions(Device device) {
  Random random(2);
  int exact = 0, count = 0;
  for (const ConvolutionCase& each : std::vector<ConvolutionCase>{{1, 1, 1, 1, 1, 1, 0},
                                                                  {17, 13, 3, 16, 3, 1, 1},
                                                                  {16, 16, 64, 32, 3, 1, 1},
                                                                  {15, 18, 3, 8, 7, 2, 3},
                                                                  {9, 9, 40, 24, 1, 1, 0},
                                                                  {14, 11, 32, 48, 5, 3, 2}}) {
    exact += convolution_is_exact(each, device, random) ? 1 : 0;
    ++count;
  }
  return {"convolutions of integers", exact == count, fmt::format("{} of {} exact", exact, count)};
}

constexpr int64_t kClips = 4, kFrames = 4, kSide = 16, kSteps = 10;

std::vector<double> ten_losses(Device device) {
  ModelFile file;
  file.model = "sora-serial";
  file.model_options = {{"size", "tiny"}, {"dropout", "0"}};
  file.classes = {"a", "b", "c"};
  file.preprocessing.frames = kFrames;
  file.preprocessing.height = file.preprocessing.width = kSide;
  file.seed = 3;
  Classifier classifier(file);
  TrainerOptions options;
  options.schedule = {.kind = ScheduleKind::constant, .peak = 1e-3};
  options.device = device;
  Trainer trainer(classifier, options);
  const Batch batch{.frames = Tensor::empty({kClips, kFrames, kSide, kSide, 3}, DType::u8),
                    .labels = Tensor::from(std::vector<int64_t>{0, 1, 2, 1}, {kClips}),
                    .items = {0, 1, 2, 3}};
  Random random(4);
  for (uint8_t& value : batch.frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
  std::vector<double> losses;
  for (int64_t step = 0; step < kSteps; ++step) losses.push_back(trainer.step(batch).loss);
  return losses;
}

// As computed with oneDNN 2.6. Its instruction sets from SSE 4.1 to AVX-512 differ by up to 2e-6 of the last loss; the
// tolerance leaves room for the orders of summation of other libraries and devices.
constexpr std::array<double, kSteps> kLosses = {1.077053666, 1.378982543, 0.826900780, 0.658702970, 0.647201002,
                                                0.547376752, 0.395062476, 0.263677716, 0.182345957, 0.126321688};
constexpr double kTolerance = 1e-4;

SelfCheck check_training(Device device) {
  const std::vector<double> losses = ten_losses(device), again = ten_losses(device);
  double worst = 0;
  for (size_t i = 0; i < losses.size(); ++i) worst = std::max(worst, std::abs(losses[i] / kLosses[i] - 1));
  const std::string found = fmt::format("losses within {:.1e} of those known{}", worst,
                                        losses == again ? ", the same bits twice" : ", other bits the second time");
  return {"ten steps of training", worst <= kTolerance && losses == again, found};
}

}  // namespace

std::vector<SelfCheck> self_test(Device device) {
  return {check_products(device), check_convolutions(device), check_training(device)};
}

}  // namespace engine
