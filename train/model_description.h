// Networks described by a text in TOML (docs/models.md): a list of layers, one after the other.
//
//   [[layer]]
//   type = "conv2d"
//   outputs = 32
//   activation = "relu"
//
// Layers of images work on every frame for itself. Behind the last layer what is left of space and time is averaged;
// a linear layer called head gives the outputs.
#pragma once

#include <memory>
#include <string>

#include "layers/models/video_model.h"

namespace engine {

// Whether this names a description rather than a model of the registry: it ends in ".toml".
bool names_description(const std::string& model);
// The text of a file. Throws Error: kNoInput when it cannot be read.
std::string read_description(const std::string& path);

// The parameters of a layer are called by its name: "name" in its table, or its type with a number, "conv2d_1".
// options.dropout is the probability of every layer of type dropout, where given. Anything wrong in the text is an
// Error (kUsage) of one line, "WHERE:LINE:COLUMN: ..."; so is a clip that does not fit a layer, in the forward pass.
std::shared_ptr<layers::VideoModel> make_described_model(const std::string& text, const std::string& where,
                                                         const layers::ModelOptions& options);

}  // namespace engine
