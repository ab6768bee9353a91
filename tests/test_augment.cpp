// io/augment: what is drawn, how it is spread, and what it makes of a picture.
#include "io/augment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "io/picture.h"

namespace engine {
namespace {

constexpr FrameSize kSource{1200, 900}, kSize{64, 48};
constexpr int kDraws = 2000;

// kDraws draws, each of a stream of its own.
std::vector<Augmentation> draws(const AugmentOptions& options, FrameSize source = kSource) {
  std::vector<Augmentation> drawn;
  for (uint32_t i = 0; i < kDraws; ++i) {
    Random random(17, 3, i);
    drawn.push_back(draw_augmentation(source, kSize, options, &random));
  }
  return drawn;
}

// The Kolmogorov-Smirnov test that numbers are spread evenly over [low, high]: true where the largest difference of the
// distribution functions is below the value that one in 1000 such samples exceeds.
template <class F>
bool even(const std::vector<Augmentation>& drawn, double low, double high, const F& number) {
  std::vector<double> places;
  for (const Augmentation& each : drawn) places.push_back((number(each) - low) / (high - low));
  std::ranges::sort(places);
  double largest = 0;
  const auto count = static_cast<double>(places.size());
  for (size_t i = 0; i < places.size(); ++i)
    largest =
        std::max({largest, places[i] - static_cast<double>(i) / count, static_cast<double>(i + 1) / count - places[i]});
  return largest * std::sqrt(count) < 1.95;
}

// What `view` shows of a packed picture.
std::vector<uint8_t> seen(const std::vector<uint8_t>& rgb, FrameSize size, const FrameView& view) {
  std::vector<uint8_t> result(view.size.bytes());
  PictureViewer().see(packed_rgb(rgb.data(), size, int64_t{3} * size.width), view, result.data());
  return result;
}

std::vector<uint8_t> random_picture(FrameSize size) {
  Random random(4);
  std::vector<uint8_t> rgb(size.bytes());
  for (uint8_t& value : rgb) value = static_cast<uint8_t>(random.below(256));
  return rgb;
}

std::array<double, 3> painted(const std::array<double, 12>& m, std::array<double, 3> rgb) {
  std::array<double, 3> result{};
  for (size_t c = 0; c < 3; ++c)
    result[c] = m[4 * c] * rgb[0] + m[4 * c + 1] * rgb[1] + m[4 * c + 2] * rgb[2] + m[4 * c + 3];
  return result;
}

std::array<double, 12> colour_with(double brightness, double contrast, double saturation, double hue) {
  Augmentation drawn;
  drawn.brightness = brightness, drawn.contrast = contrast, drawn.saturation = saturation, drawn.hue = hue;
  return view_of(drawn, kSource, kSize, {}).colour;
}

bool close(const std::array<double, 3>& a, const std::array<double, 3>& b, double tolerance = 1e-9) {
  return std::abs(a[0] - b[0]) < tolerance && std::abs(a[1] - b[1]) < tolerance && std::abs(a[2] - b[2]) < tolerance;
}

}  // namespace

TEST_CASE("augment: without draws the centre is seen, resized until it covers, and nothing else happens") {
  const FrameSize size{48, 64};
  AugmentOptions options;
  options.max_scale = 2, options.random_crop = options.resized_crop = true, options.rotation = 30;
  options.flip_probability = options.erase_probability = 1;
  const Augmentation drawn = draw_augmentation({170, 128}, size, options, nullptr);
  // Resized to 85 x 64; columns 18 to 66 of it.
  CHECK(drawn.window == std::array<double, 4>{18.0 / 85, 0, 48.0 / 85, 1});
  CHECK(drawn.angle == 0);
  CHECK_FALSE(drawn.flip);
  const FrameView view = view_of(drawn, {170, 128}, size, options);
  CHECK(view.affine[0] == doctest::Approx(1.0 / 85).epsilon(1e-12));
  CHECK(view.affine[2] == doctest::Approx(18.0 / 85).epsilon(1e-12));
  CHECK(view.affine[4] == doctest::Approx(1.0 / 64).epsilon(1e-12));
  CHECK(view.erased == std::array<int, 4>{});
  CHECK_FALSE(view.fill_border);
  for (size_t i = 0; i < 12; ++i) CHECK(std::abs(view.colour[i] - (i % 5 == 0 ? 1 : 0)) < 1e-12);
  // Very long pictures are squeezed.
  CHECK(draw_augmentation({100000, 2}, size, {}, nullptr).window[2] == 1.0 / 16);
}

TEST_CASE("augment: the part seen lies in the picture, keeps its proportions, and is as large as drawn") {
  AugmentOptions options;
  options.min_scale = 1.2, options.max_scale = 1.9;
  options.random_crop = true;
  const std::vector<Augmentation> drawn = draws(options, {3000, 2000});
  for (const auto& each : drawn) {
    const auto [x, y, width, height] = each.window;
    CHECK((x >= 0 && y >= 0 && x + width <= 1 + 1e-12 && y + height <= 1 + 1e-12));
    CHECK(std::abs(width * 3000 / (height * 2000) - 64.0 / 48) < 0.03);  // sides are whole numbers
  }
  double mean = 0;
  for (const auto& each : drawn) mean += 1 / each.window[3] / kDraws;
  CHECK(std::abs(mean - 1.55) < 0.02);
  std::set<double> lefts;
  for (const auto& each : drawn) lefts.insert(std::round(each.window[0] / (1 - each.window[2]) * 10));
  CHECK(lefts.size() == 11);
}

TEST_CASE("augment: a resized crop's area, the logarithm of its ratio and its place are spread evenly") {
  AugmentOptions options;
  options.resized_crop = true;
  options.min_area = 0.1, options.max_area = 0.4, options.min_ratio = 0.8, options.max_ratio = 1.5;
  const std::vector<Augmentation> drawn = draws(options);
  CHECK(even(drawn, 0.1, 0.4, [](const auto& a) { return a.window[2] * a.window[3]; }));
  CHECK(even(drawn, std::log(0.8), std::log(1.5), [](const auto& a) { return std::log(double(a.cut[2]) / a.cut[3]); }));
  CHECK(even(drawn, 0, 1, [](const auto& a) { return (a.cut[0] + 0.5) / (kSource.width - a.cut[2] + 1); }));
  CHECK(even(drawn, 0, 1, [](const auto& a) { return (a.cut[1] + 0.5) / (kSource.height - a.cut[3] + 1); }));
  CHECK_FALSE(even(drawn, 0.1, 0.41, [](const auto& a) { return a.window[2] * a.window[3] + 0.02; }));
  for (const auto& each : drawn) {
    CHECK(std::abs(each.window[0] * kSource.width - each.cut[0]) < 1e-9);
    CHECK(std::abs(each.window[3] * kSource.height - each.cut[3]) < 1e-9);
  }
  // Where nothing fits it is the centre: a picture much wider than any ratio that may be drawn.
  options.min_area = options.max_area = 1;
  for (const auto& each : draws(options, {1000, 100})) CHECK(each.cut == std::array<int, 4>{425, 0, 150, 100});
}

TEST_CASE("augment: angles, factors and mirroring are spread as the options say") {
  AugmentOptions options;
  options.rotation = 25;
  options.brightness = 0.4, options.contrast = 0.3, options.saturation = 0.9, options.hue = 0.15;
  options.flip_probability = 0.3;
  const std::vector<Augmentation> drawn = draws(options);
  CHECK(even(drawn, -25, 25, [](const auto& a) { return a.angle; }));
  CHECK(even(drawn, 0.6, 1.4, [](const auto& a) { return a.brightness; }));
  CHECK(even(drawn, 0.7, 1.3, [](const auto& a) { return a.contrast; }));
  CHECK(even(drawn, 0.1, 1.9, [](const auto& a) { return a.saturation; }));
  CHECK(even(drawn, -0.15, 0.15, [](const auto& a) { return a.hue; }));
  const auto flips = std::ranges::count_if(drawn, [](const auto& a) { return a.flip; });
  CHECK(std::abs(flips - 600.0) < 3.3 * std::sqrt(kDraws * 0.3 * 0.7));
  // Mirroring is drawn last: with it or without, everything else is the same.
  options.flip_probability = 0;
  const std::vector<Augmentation> upright = draws(options);
  for (size_t i = 0; i < kDraws; ++i) CHECK((upright[i].hue == drawn[i].hue && !upright[i].flip));
}

TEST_CASE("augment: what is erased has the size drawn and lies inside") {
  AugmentOptions options;
  options.erase_probability = 0.5;
  std::vector<Augmentation> erased;
  for (uint32_t i = 0; i < kDraws; ++i) {
    Random random(2, 9, i);
    const Augmentation drawn = draw_augmentation(kSource, {1000, 1000}, options, &random);
    if (drawn.erased[2] > 0) erased.push_back(drawn);
  }
  CHECK(std::abs(static_cast<double>(erased.size()) - kDraws / 2) < 3.3 * std::sqrt(kDraws) / 2);
  const auto width = [](const Augmentation& a) { return a.erased[2] - a.erased[0]; };
  const auto height = [](const Augmentation& a) { return a.erased[3] - a.erased[1]; };
  for (const auto& each : erased) CHECK((each.erased[0] >= 0 && each.erased[2] <= 1000 && each.erased[3] <= 1000));
  // Long ones of a large area do not fit and are drawn again; small ones always do.
  std::erase_if(erased, [&](const auto& a) { return width(a) * height(a) > 250'000; });
  CHECK(even(erased, 0.02, 0.25, [&](const auto& a) { return width(a) * height(a) / 1e6; }));
  CHECK(even(erased, std::log(0.3), std::log(3.3),
             [&](const auto& a) { return std::log(double(height(a)) / width(a)); }));
}

TEST_CASE("augment: a turned and mirrored picture shows the pixels it should, and the fill outside") {
  const FrameSize size{7, 7};
  const std::vector<uint8_t> rgb = random_picture(size);
  AugmentOptions options;
  options.fill = {9, 8, 7};
  const auto pixel = [&](int x, int y, int c) { return rgb[static_cast<size_t>((y * 7 + x) * 3 + c)]; };
  for (const bool flip : {false, true}) {
    Augmentation drawn;
    drawn.flip = flip;
    drawn.angle = 90;
    drawn.erased = {1, 2, 3, 6};
    drawn.window = {2.0 / 7, 0, 1, 1};  // its right end shows what is outside
    const std::vector<uint8_t> result = seen(rgb, size, view_of(drawn, size, size, options));
    int wrong = 0;
    for (int y = 0; y < 7; ++y)
      for (int x = 0; x < 7; ++x)
        for (int c = 0; c < 3; ++c) {
          const int turned = (flip ? 6 - x : x) + 2;  // column of the picture turned counterclockwise
          const bool filled = turned > 6 || (x >= 1 && x < 3 && y >= 2 && y < 6);
          wrong += result[static_cast<size_t>((y * 7 + x) * 3 + c)] != (filled ? 9 - c : pixel(6 - y, turned, c));
        }
    CHECK(wrong == 0);
  }
}

TEST_CASE("augment: turning keeps shapes where the picture is not square") {
  // The distance of two neighbours, in pixels of the picture, is the same in all directions.
  Augmentation drawn;
  drawn.angle = 33;
  const FrameView view = view_of(drawn, {400, 100}, {400, 100}, {});
  const auto& m = view.affine;
  CHECK(std::hypot(m[0] * 400, m[3] * 100) == doctest::Approx(1));
  CHECK(std::hypot(m[1] * 400, m[4] * 100) == doctest::Approx(1));
  CHECK(std::abs(m[0] * m[1] * 160000 + m[3] * m[4] * 10000) < 1e-9);
  CHECK(m[0] * 200 + m[1] * 50 + m[2] == doctest::Approx(0.5));  // the centre stays
  CHECK(m[3] * 200 + m[4] * 50 + m[5] == doctest::Approx(0.5));
}

TEST_CASE("augment: colours") {
  const std::array<double, 3> rgb{200, 40, 90}, grey{77, 77, 77};
  CHECK(close(painted(colour_with(1.3, 1, 1, 0), rgb), {260, 52, 117}));
  CHECK(close(painted(colour_with(1, 0.5, 1, 0), rgb), {163.75, 83.75, 108.75}));
  const double luma = 0.299 * 200 + 0.587 * 40 + 0.114 * 90;
  CHECK(close(painted(colour_with(1, 1, 0, 0), rgb), {luma, luma, luma}));
  CHECK(close(painted(colour_with(1, 1, 1.7, 0.3), grey), grey));
  const auto turned = painted(colour_with(1, 1, 1, 0.3), rgb);
  CHECK_FALSE(close(turned, rgb, 20));
  CHECK(0.299 * turned[0] + 0.587 * turned[1] + 0.114 * turned[2] == doctest::Approx(luma));
  CHECK(close(painted(colour_with(1, 1, 1, -0.3), turned), rgb, 1e-6));
  CHECK(close(painted(colour_with(1, 1, 1, 0.5), painted(colour_with(1, 1, 1, 0.5), rgb)), rgb, 1e-6));
  // All of them are one after the other.
  CHECK(close(painted(colour_with(0.7, 1.2, 1.5, -0.2), rgb),
              painted(colour_with(1, 1, 1, -0.2),
                      painted(colour_with(1, 1, 1.5, 0),
                              painted(colour_with(1, 1.2, 1, 0), painted(colour_with(0.7, 1, 1, 0), rgb))))));
}

TEST_CASE("augment: three and ten views for testing") {
  // 160 x 96 covers 40 x 48 as 80 x 48.
  const auto left = [](const FrameView& view) { return view.affine[2] * 80; };
  const auto three = test_views({160, 96}, {40, 48}, TestCrops::three);
  REQUIRE(three.size() == 3);
  for (int i = 0; i < 3; ++i) CHECK(left(three[static_cast<size_t>(i)]) == doctest::Approx(20 * i));
  const auto high = test_views({96, 160}, {48, 40}, TestCrops::three);
  for (int i = 0; i < 3; ++i) CHECK(high[static_cast<size_t>(i)].affine[5] * 80 == doctest::Approx(20 * i));
  const auto ten = test_views({160, 96}, {40, 48}, TestCrops::ten);
  REQUIRE(ten.size() == 10);
  const double places[] = {0, 40, 0, 40, 20};
  for (size_t i = 0; i < 5; ++i) {
    CHECK(left(ten[i]) == doctest::Approx(places[i]));
    CHECK(ten[i].affine[0] == -ten[i + 5].affine[0]);
    CHECK(left(ten[i + 5]) == doctest::Approx(places[i] + 40));
  }
  CHECK(test_views({160, 96}, {40, 48}, TestCrops::centre)[0].affine ==
        view_of(draw_augmentation({160, 96}, {40, 48}, {}, nullptr), {160, 96}, {40, 48}, {}).affine);
}

}  // namespace engine
