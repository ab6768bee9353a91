#include "tests/op_check.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

namespace engine::test {
namespace {

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.memory(), b.memory(), a.bytes()) == 0;
}

}  // namespace

double relative_l2(const Tensor& got, const Tensor& expected) {
  const Tensor a = cast(got, DType::f64), b = cast(expected, DType::f64);
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.values<double>().size(); ++i) {
    const double x = a.values<double>()[i], y = b.values<double>()[i];
    error += (x - y) * (x - y);
    norm += y * y;
  }
  if (error == 0) return 0;
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

void check_close(const OpCase& row, const std::string& what, const Tensors& got, const Tensors& expected,
                 double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO(row.op, " (", row.what, "): ", what, " ", i);
    REQUIRE(got[i].defined());
    REQUIRE(got[i].shape() == expected[i].shape());
    const double error = relative_l2(got[i], expected[i]);
    CHECK(error <= tolerance);  // also fails on NaN
  }
}

void check_same_bytes(const OpCase& row, const std::string& what, const Tensors& a, const Tensors& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO(row.op, " (", row.what, "): ", what, " ", i);
    CHECK(same_bytes(a[i], b[i]));
  }
}

}  // namespace engine::test
