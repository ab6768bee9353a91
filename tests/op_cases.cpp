#include "tests/op_cases.h"

namespace engine::test {
namespace {

template <class Row>
std::vector<Row> join(std::initializer_list<std::vector<Row>> families) {
  std::vector<Row> rows;
  for (const auto& family : families) rows.insert(rows.end(), family.begin(), family.end());
  return rows;
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const auto rows =
      join({pointwise_cases(), reduce_cases(), move_cases(), matmul_cases(), conv_cases(), pool_cases(), norm_cases(),
            softmax_cases(), loss_cases(), dropout_cases(), frame_cases()});
  return rows;
}

const std::vector<BadCall>& bad_calls() {
  static const auto rows = join({pointwise_bad_calls(), reduce_bad_calls(), move_bad_calls(), matmul_bad_calls(),
                                 conv_bad_calls(), pool_bad_calls(), norm_bad_calls(), softmax_bad_calls(),
                                 loss_bad_calls(), dropout_bad_calls(), frame_bad_calls()});
  return rows;
}

}  // namespace engine::test
