// The weights of PyTorch's models as ours, and back. The names are the same; what differs is the order of axes:
//   convolutions    tensors called *.weight (or weight) of rank 4 and 5, which are nothing else in either:
//                   (K,C,R,S) and (K,C,T,R,S) there, (K,R,S,C) and (K,T,R,S,C) here;
//   flattened maps  the columns of a linear layer's weight that sees a flattened map: in the order (C,H,W) there,
//                   (H,W,C) here. Which these are only the model knows (VideoModel::flattened_inputs()).
// Everything else is the same on both sides, but for the counters that PyTorch keeps in its batch norms.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/arena.h"

namespace engine {

// Name of a weight of rank 2 -> (C, H, W) or (C, T, H, W) of the map.
using FlattenedInputs = std::map<std::string, Shape>;

// A state_dict in our order of axes, tensors in the order given, without *.num_batches_tracked. What is the same on
// both sides shares memory with `tensors`, the rest is a copy; no gradients. Types are kept: it is the caller who
// compares names, shapes and types with those of a model. Throws Error (kCheckpoint) where a weight named in
// `flattened` has another number of columns than that map has elements; such a name may be missing.
std::vector<NamedTensor> from_torch(const std::vector<NamedTensor>& tensors, const FlattenedInputs& flattened = {});

// The way back, of a model's parameters and buffers: what from_torch() makes of the result are the same tensors, to the
// bit. Behind every *.running_var comes *.num_batches_tracked, one i64 of shape (), 0: a state_dict that
// load_state_dict(strict=True) takes.
std::vector<NamedTensor> to_torch(const std::vector<NamedTensor>& tensors, const FlattenedInputs& flattened = {});

}  // namespace engine
