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
};

template <class Model, auto... arguments>
std::shared_ptr<VideoModel> make(const ModelOptions& options, Random& random) {
  return std::make_shared<Model>(options, random, arguments...);
}

const Entry kModels[] = {
    {"sora-cnn", make<SoraCnn>},
    {"sora-serial", make<SoraSerial>},
    {"sora-fusion", make<SoraFusion>},
    {"resnet18", make<ResNet, 18>},
    {"resnet50", make<ResNet, 50>},
    {"vgg11", make<Vgg, 11>},
    {"vgg16", make<Vgg, 16>},
    {"r3d_18", make<VideoResNet, VideoResNet::Kind::r3d>},
    {"mc3_18", make<VideoResNet, VideoResNet::Kind::mc3>},
    {"r2plus1d_18", make<VideoResNet, VideoResNet::Kind::r2plus1d>},
    {"c3d", make<C3d>},
    {"i3d", make<I3d>},
};

}  // namespace

std::shared_ptr<VideoModel> make_model(const std::string& name, const ModelOptions& options) {
  Random random(options.seed, stream_of("weights"));
  for (const Entry& entry : kModels)
    if (name == entry.name) return entry.make(options, random);
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

}  // namespace engine::layers
