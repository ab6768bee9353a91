// What a convolution on CUDA is known by: everything that its plan depends on.
#pragma once

#include <compare>
#include <string>

#include "kernels/conv.h"

namespace engine {

// All operands are contiguous, channels innermost, and start at multiples of kConvAlignment bytes.
struct ConvKey {
  enum Pass : uint8_t { forward, backward_input, backward_weight };
  enum Epilogue : uint8_t { none, bias, bias_relu };
  using Space = engine::Space;

  Pass pass = forward;
  Epilogue epilogue = none;                 // of the forward pass
  DType dtype = DType::f32;                 // of all operands, f32 or bf16; sums are f32
  bool tensor_cores = false;                // may be used: in bf16 always, in f32 where TF32 is asked for
  int axes = 2;                             // 2: images, 3: clips
  int64_t n = 1, c = 1, k = 1, groups = 1;  // images or clips, channels of x (as cuDNN sees them), of y
  Space x{}, w{}, y{};
  Space stride{1, 1, 1}, pad{}, dilation{1, 1, 1};

  auto operator<=>(const ConvKey&) const = default;
};

inline constexpr size_t kConvAlignment = 16;  // what cuDNN's vector loads and tensor maps take

// The key of a pass over images or clips of these shapes.
// - A convolution of clips that moves along time only, or along height and width only, becomes one of images on the
// same
//   memory, for which cuDNN has more and better tried engines: (N,T,H,W,C) is then (N,T,HW,C) or (NT,H,W,C).
// - In bf16, fewer than 8 channels (frames) become 8, which the caller pads with zeros: cuDNN's tensor-core engines
// read
//   16 bytes of channels and would pad to them in each call; the gradient of x, which the first layer never needs, is
//   left to that. (TF32 engines want the same 8 channels or not, shape by shape, so f32 is left alone.)
ConvKey conv_key(ConvKey::Pass pass, ConvKey::Epilogue epilogue, const Conv3d& p, const Shape& x, const Shape& w,
                 const Shape& y, DType dtype, F32Products products);

// "conv2d forward of x (8,64,64,3) by w (64,3,3,3) to y ...", for messages and records.
std::string text_of(const ConvKey& key);

}  // namespace engine
