// Models by name.
#pragma once

#include "layers/models/video_model.h"

namespace engine::layers {

// Throws Error (usage) with the known names when there is no such model.
std::shared_ptr<VideoModel> make_model(const std::string& name, const ModelOptions& options);
std::vector<std::string> model_names();
// One of those that see single frames; likewise.
std::shared_ptr<FrameModel> make_frame_model(const std::string& name, const ModelOptions& options);

}  // namespace engine::layers
