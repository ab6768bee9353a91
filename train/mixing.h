// Training on mixtures of two clips and of what is said of them.
#pragma once

#include <utility>

#include "engine/random.h"
#include "engine/tensor.h"

namespace engine {

struct MixingOptions {
  double mixup = 0;   // alpha of Beta(alpha, alpha), which the share of a clip is drawn from; 0: never
  double cutmix = 0;  // the same of the share of a picture's area
  bool on() const { return mixup > 0 || cutmix > 0; }
};

// Labels i64 (N) as rows of probabilities f32 (N, classes): 1 - s + s / classes for the label, s / classes for others.
Tensor class_rows(const Tensor& labels, int64_t classes, double label_smoothing);

// Every clip of a batch with another one by a permutation, all with one share L, drawn from `random`:
//   mixup (Zhang et al., arXiv 1710.09412): L clip + (1 - L) other;
//   cutmix (Yun et al., arXiv 1905.04899): a box of 1 - L of the area, cut at the picture's edges, is the other's in
//   all frames, and L is then what is left of the clip to the pixel;
// and the targets are L its own + (1 - L) the other's. With both, each batch is one of them, as often as the other.
// frames u8 (N, T, H, W, C) and targets f32 (N, outputs), on the CPU; new ones of both come back. The pixels stay
// bytes, rounded: half a grey level at most, which costs no other upload, no other recording, and the same pixels on
// every device.
std::pair<Tensor, Tensor> mix(const Tensor& frames, const Tensor& targets, const MixingOptions& options,
                              Random& random);

// A draw from Beta(alpha, alpha), by two Gamma draws (Marsaglia and Tsang, ACM TOMS 26, 2000).
double draw_beta(double alpha, Random& random);

}  // namespace engine
