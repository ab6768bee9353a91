// Where a network looks.
#pragma once

#include <string>

#include "train/classifier.h"

namespace engine {

struct Explanation {
  // (T, h, w) f32 in 0..1, on the CPU: the T frames of the model's input, and in each h x w places of equal size. Where
  // the input is differences, frame t is that between frames t and t + 1 of the clip.
  Tensor heat;
  std::string method;  // for people: "Grad-CAM of layer4, 7x7 places"
};

// Grad-CAM (Selvaraju et al., arXiv 1610.02391): relu(sum over channels k of weight_k map_k), divided by its largest
// value. weight_k is the mean gradient of output `target` to map k: over places and times where the network convolves
// over time, whose maps are then interpolated to T frames; frame by frame where it sees single frames. The map is that
// of the last convolution, block or stage (layers::ModelObserver) that has at least two places left. 0 everywhere where
// nothing speaks for the target.
//
// clip: (1, frames_to_read, H, W, 3) u8, on any device. The network is used in evaluation mode; it, its parameters and
// their gradients are left as they were. Throws Error (kUsage) where the network has no such map.
Explanation grad_cam(Classifier& classifier, const Tensor& clip, int64_t target);

// Attention rollout (Abnar and Zuidema, arXiv 2005.00928) through the network's Transformer encoder: with A_i the mean
// over heads of the probabilities in layer i, the mean over rows of (A_L + I)/2 ... (A_1 + I)/2, which is how much of
// each token is in what the encoder gives; less its smallest value and divided by what its largest then is. Tokens are
// the 4x4 places of each frame in sora-fusion, and whole frames in sora-serial: h = w = 1. Otherwise as above.
Explanation attention_map(Classifier& classifier, const Tensor& clip);
// Whether attention_map() is for this network.
bool has_attention(const Classifier& classifier);

}  // namespace engine
