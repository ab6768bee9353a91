#include "engine/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace engine {

TEST_CASE("the same key gives the same draws, another key others") {
  Random a(7, 1, 2), b(7, 1, 2), c(8, 1, 2), d(7, 2, 2), e(7, 1, 3);
  int same_c = 0, same_d = 0, same_e = 0;
  for (int i = 0; i < 100; ++i) {
    const uint32_t bits = a.bits();
    REQUIRE(bits == b.bits());
    same_c += bits == c.bits();
    same_d += bits == d.bits();
    same_e += bits == e.bits();
  }
  CHECK(same_c + same_d + same_e == 0);
}

TEST_CASE("uniform draws fill 256 bins evenly") {
  Random random(1);
  const int draws = 256000;
  std::vector<int> bins(256);
  for (int i = 0; i < draws; ++i) {
    const double value = random.uniform();
    REQUIRE(value >= 0.0);
    REQUIRE(value < 1.0);
    ++bins[static_cast<size_t>(value * 256)];
  }
  double chi_squared = 0;
  for (const int count : bins) chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  // 255 degrees of freedom: mean 255, deviation sqrt(510) = 22.6; five deviations either way.
  CHECK(chi_squared > 142);
  CHECK(chi_squared < 368);
}

TEST_CASE("normal draws have the moments of the normal distribution") {
  Random random(2);
  const int draws = 200000;
  double first = 0, second = 0, fourth = 0;
  for (int i = 0; i < draws; ++i) {
    const double x = random.normal();
    first += x, second += x * x, fourth += x * x * x * x;
  }
  // Deviations of the three means: 1, sqrt(2) and sqrt(96) over sqrt(draws); five of each.
  const double unit = 5 / std::sqrt(double{draws});
  CHECK(std::abs(first / draws) < unit);
  CHECK(std::abs(second / draws - 1) < unit * std::sqrt(2.0));
  CHECK(std::abs(fourth / draws - 3) < unit * std::sqrt(96.0));
}

TEST_CASE("below() hits every value, and permutations hold each number once") {
  Random random(3);
  std::vector<int> hits(7);
  for (int i = 0; i < 70000; ++i) ++hits[random.below(7)];
  for (const int count : hits) CHECK(std::abs(count - 10000) < 5 * 93);  // deviation sqrt(70000 * 6 / 49) = 93
  auto order = random.permutation(1000);
  CHECK(!std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) REQUIRE(order[static_cast<size_t>(i)] == i);
}

TEST_CASE("tensors are filled in the type asked for") {
  Random random(4);
  const Tensor x = uniform({1000}, -2, 3, random);
  CHECK(x.dtype() == DType::f32);
  const auto [low, high] = std::minmax_element(x.values<float>().begin(), x.values<float>().end());
  CHECK(*low >= -2);
  CHECK(*low < -1.9f);
  CHECK(*high < 3);
  CHECK(*high > 2.9f);
  CHECK(normal({3}, 0, 1, random, DType::bf16).dtype() == DType::bf16);
}

TEST_CASE("streams are named alike on every machine") {
  CHECK(stream_of("") == 0xcbf29ce484222325u);  // published vectors of FNV-1a
  CHECK(stream_of("a") == 0xaf63dc4c8601ec8cu);
  CHECK(stream_of("foobar") == 0x85944171f73967e8u);
}

}  // namespace engine
