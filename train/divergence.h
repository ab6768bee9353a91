// Where the numbers of a training step went wrong.
#pragma once

#include <string>

#include "train/classifier.h"

namespace engine {

// In words, "the output of layer 'cnn.conv2'" or "the gradient of 'head.bias'", the first of these that is not finite:
// what the layers give for `frames`, as network_input() takes them, in the order of computation; then the gradients of
// the arena's parameters, from the loss on, that is the last layer's first. Layers of several inputs are not looked at,
// those in them are. Empty where all is finite. Computes a forward pass as the network is; statistics of batch norms
// move.
std::string first_not_finite(Classifier& classifier, const Tensor& frames, const ParameterArena& arena);

}  // namespace engine
