#include "layers/models/registry.h"

#include "layers/models/sora_cnn.h"

namespace engine::layers {
namespace {

using Make = std::shared_ptr<Module> (*)(const ModelOptions& options, Random& random);

struct Entry {
  const char* name;
  Make make;
};

const Entry kModels[] = {
    {"sora-cnn",
     [](const ModelOptions& options, Random& random) -> std::shared_ptr<Module> {
       return std::make_shared<SoraCnn>(
           SoraCnn::Options{.channels = options.channels, .classes = options.classes, .dropout = options.dropout},
           random);
     }},
};

}  // namespace

std::shared_ptr<Module> make_model(const std::string& name, const ModelOptions& options) {
  Random random(options.seed, stream_of("weights"));
  for (const Entry& entry : kModels)
    if (name == entry.name) return entry.make(options, random);
  std::string known;
  for (const std::string& each : model_names()) known += (known.empty() ? "" : ", ") + each;
  throw Error(concat("model '", name, "': no such model; there are: ", known), exit_code::kUsage);
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

}  // namespace engine::layers
