#include "io/torch_weights.h"

#include "engine/ops.h"

namespace engine {
namespace {

constexpr std::string_view kCounter = "num_batches_tracked";

bool is_called(const std::string& path, std::string_view name) {
  return path == name || path.ends_with(concat(".", name));
}

// The axes (0, C, places...) become (0, places..., C), or the other way round.
Tensor channels_last(const Tensor& x, bool last) {
  std::vector<int> axes{0};
  if (!last) axes.push_back(x.rank() - 1);
  for (int axis = last ? 2 : 1; axis < x.rank() - (last ? 0 : 1); ++axis) axes.push_back(axis);
  if (last) axes.push_back(1);
  return permute(x, axes);
}

Tensor convert(const NamedTensor& from, const FlattenedInputs& flattened, bool last) {
  const Tensor x = from.tensor.detach();
  if (const auto found = flattened.find(from.name); found != flattened.end()) {
    const Shape& map = found->second;
    ENGINE_CHECK(map.rank() >= 2, "flattened input of '", from.name, "': expected (C, ...), got ", map);
    if (x.rank() != 2 || x.size(1) != map.elements())
      throw Error(concat("weight '", from.name, "': expected (K,", map.elements(), "), which sees a flattened map ",
                         map, ", got ", x.shape()),
                  exit_code::kCheckpoint);
    Shape split{x.size(0)};
    for (int axis = 0; axis < map.rank(); ++axis) split.push_back(map[last ? axis : (axis + 1) % map.rank()]);
    return channels_last(x.reshape(split), last).reshape(x.shape());
  }
  const bool convolution = is_called(from.name, "weight") && (x.rank() == 4 || x.rank() == 5);
  return convolution ? channels_last(x, last) : x;
}

}  // namespace

std::vector<NamedTensor> from_torch(const std::vector<NamedTensor>& tensors, const FlattenedInputs& flattened) {
  std::vector<NamedTensor> ours;
  for (const NamedTensor& each : tensors)
    if (!is_called(each.name, kCounter)) ours.push_back({each.name, convert(each, flattened, true)});
  return ours;
}

std::vector<NamedTensor> to_torch(const std::vector<NamedTensor>& tensors, const FlattenedInputs& flattened) {
  constexpr std::string_view kVariance = "running_var";
  std::vector<NamedTensor> theirs;
  for (const NamedTensor& each : tensors) {
    theirs.push_back({each.name, convert(each, flattened, false)});
    if (!is_called(each.name, kVariance)) continue;
    const std::string prefix = each.name.substr(0, each.name.size() - kVariance.size());
    theirs.push_back({concat(prefix, kCounter), Tensor::zeros({}, DType::i64)});
  }
  return theirs;
}

}  // namespace engine
