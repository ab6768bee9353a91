// Models by name.
#pragma once

#include "layers/models/video_model.h"

namespace engine::layers {

// Throws Error (usage) with the known names when there is no such model, or where `options` have a size or a backbone
// for a model that has none, or drop_path for one without residual blocks. (Those of the sora kind drop paths in a
// backbone that has them.)
std::shared_ptr<VideoModel> make_model(const std::string& name, const ModelOptions& options);
std::vector<std::string> model_names();
std::vector<std::string> frame_model_names();
// One of those that see single frames; likewise.
std::shared_ptr<FrameModel> make_frame_model(const std::string& name, const ModelOptions& options);

}  // namespace engine::layers
