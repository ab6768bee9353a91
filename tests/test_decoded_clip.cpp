// Clips stored decoded: written, read back at their own and at other sizes, and refused when they are something else.
#include "io/decoded_clip.h"

#include <doctest/doctest.h>

#include <fstream>

#include "engine/random.h"
#include "io/safetensors.h"
#include "tests/temporary_folder.h"

namespace engine {
namespace {

Tensor random_frames(const Shape& shape) {
  const Tensor frames = Tensor::empty(shape, DType::u8);
  Random random(7, 1);
  for (uint8_t& value : frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
  return frames;
}

std::vector<uint8_t> read(FrameSource& source, std::vector<int64_t> indices, FrameSize size) {
  std::vector<uint8_t> rgb(indices.size() * size.bytes(), 0xA5);
  source.read_frames(indices, size, rgb);
  return rgb;
}

int refused_with(const std::string& path) {
  try {
    open_frames(path);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(path) != std::string::npos);
    return error.code();
  }
  return 0;
}

}  // namespace

TEST_CASE("decoded clip: frames come back to the byte, in any order") {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.frames";
  const Tensor frames = random_frames({5, 7, 11, 3});
  write_decoded_clip(path, frames);
  const auto source = open_frames(path);
  CHECK(source->frame_count() == 5);
  CHECK(source->size() == FrameSize{11, 7});
  const std::vector<int64_t> order = {3, 0, 3, 4};
  const std::vector<uint8_t> got = read(*source, order, source->size());
  for (size_t i = 0; i < order.size(); ++i)
    CHECK(std::equal(got.begin() + static_cast<int64_t>(i) * 231, got.begin() + static_cast<int64_t>(i + 1) * 231,
                     frames.values<uint8_t>().begin() + order[i] * 231));
  CHECK_THROWS_AS(read(*source, {5}, source->size()), Error);
}

TEST_CASE("decoded clip: another size is interpolated between the centres of pixels") {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.frames";
  const Tensor frames = random_frames({2, 6, 9, 3});
  write_decoded_clip(path, frames);
  const auto source = open_frames(path);
  const FrameSize size{5, 13};
  const std::vector<uint8_t> got = read(*source, {1}, size);
  // Every source pixel weighs as far as it lies from the centre, by the triangle function; edges repeat.
  const auto at = [&](int64_t y, int64_t x, int64_t c) {
    y = std::clamp<int64_t>(y, 0, 5), x = std::clamp<int64_t>(x, 0, 8);
    return static_cast<double>(frames.values<uint8_t>()[static_cast<size_t>(((6 + y) * 9 + x) * 3 + c)]);
  };
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      for (int c = 0; c < 3; ++c) {
        const double y = (row + 0.5) * 6 / 13 - 0.5, x = (column + 0.5) * 9 / 5 - 0.5;
        double sum = 0;
        for (int64_t i = -1; i <= 6; ++i)
          for (int64_t j = -1; j <= 9; ++j)
            sum += std::max(0.0, 1 - std::abs(y - static_cast<double>(i))) *
                   std::max(0.0, 1 - std::abs(x - static_cast<double>(j))) * at(i, j, c);
        CHECK(std::abs(got[static_cast<size_t>((row * size.width + column) * 3 + c)] - sum) <= 0.5 + 1e-3);
      }
    }
  }
}

TEST_CASE("decoded clip: what is no clip is refused by name") {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.frames";
  CHECK(refused_with(path) == exit_code::kNoInput);
  std::ofstream(path) << "no clip";
  CHECK(refused_with(path) == exit_code::kData);
  for (const TensorFile& file : {TensorFile{{}, {{"frames", Tensor::zeros({2, 4, 4, 3})}}},
                                 TensorFile{{}, {{"pixels", random_frames({2, 4, 4, 3})}}},
                                 TensorFile{{}, {{"frames", random_frames({2, 4, 4, 4})}}},
                                 TensorFile{{}, {{"frames", random_frames({4, 4, 3})}}}}) {
    write_safetensors(path, file);
    CHECK(refused_with(path) == exit_code::kData);
  }
  CHECK_THROWS_AS(write_decoded_clip(path, Tensor::zeros({2, 4, 4, 3})), Error);
}

}  // namespace engine
