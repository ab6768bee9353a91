// Element-by-element ops where the case table does not go: values that are no numbers, and kinks.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/ops.h"

namespace engine {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Point {
  double x, y, slope;
};

// Calls f on the points, which are repeated so that there are whole vectors and a rest. NaN has to stay NaN.
void check_points(Tensor (*f)(const Tensor&), const std::vector<Point>& points, DType dtype) {
  const size_t count = 33 * points.size();
  const Tensor exact = Tensor::empty({static_cast<int64_t>(count)}, DType::f64);
  for (size_t i = 0; i < count; ++i) exact.values<double>()[i] = points[i % points.size()].x;
  const Tensor x = cast(exact, dtype);
  x.set_requires_grad();
  const Tensor y = f(x);
  sum(y).backward();
  const Tensor values = cast(y.detach(), DType::f64), slopes = cast(x.grad(), DType::f64);
  for (size_t i = 0; i < count; ++i) {
    const Point& expected = points[i % points.size()];
    INFO(dtype, ", element ", i, ": x = ", expected.x);
    CHECK((values.values<double>()[i] == expected.y ||
           (std::isnan(expected.y) && std::isnan(values.values<double>()[i]))));
    CHECK(slopes.values<double>()[i] == expected.slope);
  }
}

}  // namespace

TEST_CASE("the rectifiers at NaN, infinity and their kink") {
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    check_points(relu, {{NAN, NAN, 0}, {kInfinity, kInfinity, 1}, {-kInfinity, 0, 0}, {0.0, 0, 0}, {-0.0, 0, 0}},
                 dtype);
    check_points(
        [](const Tensor& x) { return leaky_relu(x, 0.25); },
        {{NAN, NAN, 0.25}, {kInfinity, kInfinity, 1}, {-kInfinity, -kInfinity, 0.25}, {0.0, 0, 0.25}, {-0.0, 0, 0.25}},
        dtype);
  }
}

}  // namespace engine
