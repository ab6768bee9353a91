#include "kernels/cuda/conv_key.h"

namespace engine {
namespace {

constexpr int64_t kPaddedChannels = kConvAlignment / 2;  // of bf16

// Clips whose frames are convolved each for itself, as N T images.
void fold_time_into_batch(ConvKey& key) {
  key.axes = 2;
  key.n *= key.x[0];
  key.x[0] = key.y[0] = 1;
}

// Clips that are convolved along time alone, as images of height T and width H W.
void fold_frames_into_width(ConvKey& key) {
  key.axes = 2;
  for (ConvKey::Space* sizes : {&key.x, &key.w, &key.y}) *sizes = {1, (*sizes)[0], (*sizes)[1] * (*sizes)[2]};
  for (ConvKey::Space* steps : {&key.stride, &key.dilation}) *steps = {1, (*steps)[0], 1};
  key.pad = {0, key.pad[0], 0};
}

void write(std::ostream& out, const ConvKey& key, int64_t outer, const ConvKey::Space& space, int64_t channels) {
  out << "(" << outer;
  for (size_t axis = key.axes == 2 ? 1 : 0; axis < 3; ++axis) out << "," << space[axis];
  out << "," << channels << ")";
}
}  // namespace

ConvKey conv_key(ConvKey::Pass pass, ConvKey::Epilogue epilogue, const Conv3d& p, const Shape& x, const Shape& w,
                 const Shape& y, DType dtype, F32Products products) {
  ConvKey key{.pass = pass, .epilogue = epilogue, .dtype = dtype};
  key.tensor_cores = dtype == DType::bf16 || products == F32Products::tf32;
  key.axes = x.rank() - 2;
  key.n = x[0], key.c = x[-1], key.k = w[0], key.groups = p.groups;
  key.x = space_of(x), key.w = space_of(w), key.y = space_of(y);
  key.stride = p.stride(), key.pad = p.pad(), key.dilation = p.dilation();
  if (dtype == DType::bf16 && p.groups == 1 && pass != ConvKey::backward_input)
    key.c = std::max<int64_t>(key.c, kPaddedChannels);
  const auto idle = [&](size_t axis) { return key.w[axis] == 1 && key.stride[axis] == 1 && key.pad[axis] == 0; };
  if (key.axes == 3 && idle(0))
    fold_time_into_batch(key);
  else if (key.axes == 3 && idle(1) && idle(2))
    fold_frames_into_width(key);
  for (size_t axis = 0; axis < 3; ++axis)
    if (key.w[axis] == 1) key.dilation[axis] = 1;  // means nothing
  return key;
}

std::string text_of(const ConvKey& key) {
  constexpr std::array kPasses = {"forward", "backward_input", "backward_weight"};
  constexpr std::array kEpilogues = {"", " + bias", " + bias, relu"};
  std::ostringstream out;
  out << "conv" << key.axes << "d " << kPasses[key.pass] << kEpilogues[key.epilogue] << ": x ";
  write(out, key, key.n, key.x, key.c);
  out << ", w ";
  write(out, key, key.k, key.w, key.c / key.groups);
  out << ", y ";
  write(out, key, key.n, key.y, key.k);
  const auto text = [&](const Space& space) { return text_of(space, key.axes == 3); };
  out << ", stride " << text(key.stride) << ", padding " << text(key.pad) << ", dilation " << text(key.dilation)
      << ", groups " << key.groups << ", " << key.dtype;
  if (key.dtype == DType::f32) out << (key.tensor_cores ? " (TF32)" : " (strict)");
  return out.str();
}

}  // namespace engine
