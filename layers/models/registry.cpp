#include "layers/models/registry.h"

#include "layers/models/c3d.h"
#include "layers/models/i3d.h"
#include "layers/models/resnet.h"
#include "layers/models/sora_cnn.h"
#include "layers/models/sora_fusion.h"
#include "layers/models/sora_serial.h"
#include "layers/models/vgg.h"
#include "layers/models/video_resnet.h"

namespace engine::layers {
namespace {

using Make = std::shared_ptr<VideoModel> (*)(const ModelOptions& options, Random& random);

struct Entry {
  const char* name;
  Make make;
  bool of_frames, of_sora_kind, drops_paths;
};

template <class Model, auto... arguments>
Entry model(const char* name) {
  const Make make = [](const ModelOptions& options, Random& random) -> std::shared_ptr<VideoModel> {
    return std::make_shared<Model>(options, random, arguments...);
  };
  return {name, make, std::is_base_of_v<FrameModel, Model>, std::is_base_of_v<SoraVideo, Model>,
          requires {Model::kDropsPaths;
}
};  // namespace
}  // namespace engine::layers

const Entry kModels[] = {
    model<SoraCnn>("sora-cnn"),
    model<SoraSerial>("sora-serial"),
    model<SoraFusion>("sora-fusion"),
    model<ResNet, 18>("resnet18"),
    model<ResNet, 50>("resnet50"),
    model<Vgg, 11>("vgg11"),
    model<Vgg, 16>("vgg16"),
    model<VideoResNet, VideoResNet::Kind::r3d>("r3d_18"),
    model<VideoResNet, VideoResNet::Kind::mc3>("mc3_18"),
    model<VideoResNet, VideoResNet::Kind::r2plus1d>("r2plus1d_18"),
    model<C3d>("c3d"),
    model<I3d>("i3d"),
};

}  // namespace

std::shared_ptr<VideoModel> make_model(const std::string& name, const ModelOptions& options) {
  Random random(options.seed, stream_of("weights"));
  for (const Entry& entry : kModels) {
    if (name != entry.name) continue;
    if (!entry.of_sora_kind && !(options.size.empty() && options.backbone.empty()))
      throw Error(concat("model '", name, "' comes in one size and has no backbone to choose"), exit_code::kUsage);
    const bool in_backbone = entry.of_sora_kind && !options.backbone.empty();
    if (options.drop_path > 0 && !entry.drops_paths && !in_backbone)
      throw Error(concat("model '", name, "' has no residual branches to drop"), exit_code::kUsage);
    return entry.make(options, random);
  }
  std::string known;
  for (const std::string& each : model_names()) known += (known.empty() ? "" : ", ") + each;
  throw Error(concat("model '", name, "': no such model; there are: ", known), exit_code::kUsage);
}

std::shared_ptr<FrameModel> make_frame_model(const std::string& name, const ModelOptions& options) {
  const auto model = std::dynamic_pointer_cast<FrameModel>(make_model(name, options));
  if (!model) throw Error(concat("model '", name, "' does not work on single frames"), exit_code::kUsage);
  return model;
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

std::vector<std::string> frame_model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels)
    if (entry.of_frames) names.emplace_back(entry.name);
  return names;
}

}  // namespace engine::layers
