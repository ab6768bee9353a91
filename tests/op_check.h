// What the suites of the case table share: comparing what rows give.
#pragma once

#include "tests/op_run.h"

namespace engine::test {

double relative_l2(const Tensor& got, const Tensor& expected);
void check_close(const OpCase& row, const std::string& what, const Tensors& got, const Tensors& expected,
                 double tolerance);
void check_same_bytes(const OpCase& row, const std::string& what, const Tensors& a, const Tensors& b);

}  // namespace engine::test
