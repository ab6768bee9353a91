#include "layers/position.h"

#include <cmath>

namespace engine::layers {
namespace {

// The part of the table that belongs to axis `axis` of `axes`: (places, features), 0 in the other axes' features.
Tensor sinusoids_of(int64_t places, int64_t features, int axis, int axes) {
  const int64_t begin = axis * (features / 2) / axes, end = (axis + 1) * (features / 2) / axes;
  const Tensor table = Tensor::zeros({places, features}, DType::f64);
  for (int64_t p = 0; p < places; ++p)
    for (int64_t pair = begin; pair < end; ++pair) {
      const double period = std::pow(1e4, static_cast<double>(pair - begin) / static_cast<double>(end - begin));
      double* at = &table.values<double>()[static_cast<size_t>(p * features + 2 * pair)];
      at[0] = std::sin(static_cast<double>(p) / period);
      at[1] = std::cos(static_cast<double>(p) / period);
    }
  return table;
}

}  // namespace

PositionalEncoding::PositionalEncoding(const Shape& places, int64_t features, Random& random) {
  for (int axis = 0; axis < places.rank(); ++axis)
    learned_.push_back(add_parameter(concat("axis", axis), normal({places[axis], features}, 0, 0.02, random)));
}

Tensor PositionalEncoding::forward(const Tensor& x) {
  const int axes = x.rank() - 2;
  const Shape shape = x.shape().slice(1, x.rank());
  ENGINE_CHECK(axes >= 1 && (learned_.empty() ? x.size(-1) % 2 == 0 : learned_.size() == static_cast<size_t>(axes)),
               describe(), ": it does not fit x ", x.shape(), "; expected (N, places..., features)");
  if (sinusoids_ && sinusoids_.shape() == shape && sinusoids_.dtype() == x.dtype() && sinusoids_.device() == x.device())
    return add(x, sinusoids_);
  Tensor table;  // of the axes so far, (places, features)
  for (int axis = 0; axis < axes; ++axis) {
    const int64_t places = shape[axis];
    const Tensor next = learned_.empty() ? sinusoids_of(places, shape[-1], axis, axes)
                                         : learned_[static_cast<size_t>(axis)].slice(0, places);
    const int64_t before = table ? table.size(0) : 1;
    const Tensor repeat = Tensor::full({before, places, 1}, 1.0, next.dtype(), next.device());
    table = table ? add(matmul(repeat, table.reshape({before, 1, -1})), next).flatten(0, 1) : next;
  }
  if (!learned_.empty()) return add(x, table.reshape(shape));
  sinusoids_ = cast(table, x.dtype()).to(x.device()).reshape(shape);
  return add(x, sinusoids_);
}

}  // namespace engine::layers
