// The convolutions of the networks that we train, in the sizes that we train them in: cuDNN must have a plan for each.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/conv.h"

namespace engine::test {

struct ConvShape {
  std::string network;
  Shape x, w;  // of images or of clips
  Conv3d p;

  Shape y() const { return conv_shape(p, x, w); }
};

// `n` square images of `size`, c channels to k, kernel x kernel, padded to the same size before the stride.
inline ConvShape image_shape(const char* network, int64_t n, int64_t size, int64_t c, int64_t k, int64_t kernel = 3,
                             int64_t stride = 1) {
  return {network,
          {n, size, size, c},
          {k, kernel, kernel, c},
          {.stride_h = stride, .stride_w = stride, .pad_h = kernel / 2, .pad_w = kernel / 2}};
}

// The same of clips; `time` and `space` are lengths of the kernel.
inline ConvShape clip_shape(const char* network, int64_t n, int64_t frames, int64_t size, int64_t c, int64_t k,
                            int64_t time = 3, int64_t space = 3, int64_t stride_t = 1, int64_t stride = 1) {
  return {network,
          {n, frames, size, size, c},
          {k, time, space, space, c},
          {.stride_t = stride_t,
           .stride_h = stride,
           .stride_w = stride,
           .pad_t = time / 2,
           .pad_h = space / 2,
           .pad_w = space / 2}};
}

inline std::vector<ConvShape> conv_shapes() {
  std::vector<ConvShape> shapes;
  for (const int64_t n : {8, 32, 128, 512})
    for (const int64_t size : {64, 112})
      for (const auto& [scale, c, k] : {std::array<int64_t, 3>{1, 3, 64}, {2, 64, 128}, {4, 128, 256}})
        shapes.push_back(image_shape("sora-cnn", n, size / scale, c, k));

  struct Layer {
    int64_t size, c, k, kernel, stride;
  };
  const auto images = [&](const char* network, int64_t n, const std::vector<Layer>& layers) {
    for (const Layer& l : layers) shapes.push_back(image_shape(network, n, l.size, l.c, l.k, l.kernel, l.stride));
  };
  images("resnet-18", 64,
         {{224, 3, 64, 7, 2},
          {56, 64, 64, 3, 1},
          {56, 64, 128, 3, 2},
          {56, 64, 128, 1, 2},
          {28, 128, 128, 3, 1},
          {28, 128, 256, 3, 2},
          {28, 128, 256, 1, 2},
          {14, 256, 256, 3, 1},
          {14, 256, 512, 3, 2},
          {14, 256, 512, 1, 2},
          {7, 512, 512, 3, 1}});
  images("resnet-50", 64,
         {{56, 64, 64, 1, 1},
          {56, 64, 256, 1, 1},
          {56, 256, 64, 1, 1},
          {56, 256, 128, 1, 1},
          {56, 128, 128, 3, 2},
          {56, 256, 512, 1, 2},
          {28, 128, 512, 1, 1},
          {28, 512, 128, 1, 1},
          {28, 512, 256, 1, 1},
          {28, 256, 256, 3, 2},
          {28, 512, 1024, 1, 2},
          {14, 256, 1024, 1, 1},
          {14, 1024, 256, 1, 1},
          {14, 1024, 512, 1, 1},
          {14, 512, 512, 3, 2},
          {14, 1024, 2048, 1, 2},
          {7, 512, 2048, 1, 1},
          {7, 2048, 512, 1, 1}});
  images("vgg-11", 32,
         {{224, 3, 64, 3, 1},
          {112, 64, 128, 3, 1},
          {56, 128, 256, 3, 1},
          {56, 256, 256, 3, 1},
          {28, 256, 512, 3, 1},
          {28, 512, 512, 3, 1},
          {14, 512, 512, 3, 1}});

  struct ClipLayer {
    int64_t frames, size, c, k, time, space, stride_t, stride;
  };
  const auto clips = [&](const char* network, int64_t n, const std::vector<ClipLayer>& layers) {
    for (const ClipLayer& l : layers)
      shapes.push_back(clip_shape(network, n, l.frames, l.size, l.c, l.k, l.time, l.space, l.stride_t, l.stride));
  };
  clips("c3d", 8,
        {{16, 112, 3, 64, 3, 3, 1, 1},
         {16, 56, 64, 128, 3, 3, 1, 1},
         {8, 28, 128, 256, 3, 3, 1, 1},
         {8, 28, 256, 256, 3, 3, 1, 1},
         {4, 14, 256, 512, 3, 3, 1, 1},
         {4, 14, 512, 512, 3, 3, 1, 1},
         {2, 7, 512, 512, 3, 3, 1, 1}});
  clips("r(2+1)d-18", 8,
        {{16, 112, 3, 45, 1, 7, 1, 2},
         {16, 56, 45, 64, 3, 1, 1, 1},
         {16, 56, 64, 144, 1, 3, 1, 1},
         {16, 56, 144, 64, 3, 1, 1, 1},
         {16, 56, 64, 230, 1, 3, 1, 2},
         {16, 28, 230, 128, 3, 1, 2, 1},
         {16, 56, 64, 128, 1, 1, 2, 2},
         {8, 28, 128, 288, 1, 3, 1, 1},
         {8, 14, 460, 256, 3, 1, 2, 1},
         {8, 28, 128, 256, 1, 1, 2, 2},
         {4, 14, 256, 921, 1, 3, 1, 2},
         {4, 7, 921, 512, 3, 1, 2, 1},
         {2, 7, 512, 1152, 1, 3, 1, 1},
         {2, 7, 1152, 512, 3, 1, 1, 1}});
  clips("i3d", 4,
        {{32, 224, 3, 64, 7, 7, 2, 2},
         {16, 56, 64, 64, 1, 1, 1, 1},
         {16, 56, 64, 192, 3, 3, 1, 1},
         {16, 28, 192, 96, 1, 1, 1, 1},
         {16, 28, 96, 128, 3, 3, 1, 1},
         {16, 28, 16, 32, 3, 3, 1, 1},
         {8, 14, 112, 224, 3, 3, 1, 1},
         {8, 14, 24, 64, 3, 3, 1, 1},
         {4, 7, 832, 384, 1, 1, 1, 1},
         {4, 7, 192, 384, 3, 3, 1, 1}});
  return shapes;
}

}  // namespace engine::test
