#include "train/divergence.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine {
namespace {

bool is_finite(const Tensor& tensor) {
  if (!is_float(tensor.dtype())) return true;
  const Tensor host = cast(tensor.detach(), DType::f32).to(kCpu);
  return std::ranges::all_of(host.values<float>(), [](float value) { return std::isfinite(value); });
}

// While alive, notes the first module whose output is not finite.
class Watch {
 public:
  explicit Watch(layers::Module& network) {
    network.visit([this](const std::string& path, const layers::Module& module) { paths_[&module] = path; });
    layers::Module::on_output = [this](const layers::Module& module, const Tensor& y) {
      if (first_ == nullptr && !is_finite(y)) first_ = &module;
    };
  }
  ~Watch() { layers::Module::on_output = nullptr; }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  std::string layer() const { return first_ == nullptr ? "" : paths_.at(first_); }
  bool found() const { return first_ != nullptr; }

 private:
  std::map<const layers::Module*, std::string> paths_;
  const layers::Module* first_ = nullptr;
};

}  // namespace

std::string first_not_finite(Classifier& classifier, const Tensor& frames, const ParameterArena& arena) {
  const NoGrad no_grad;
  const Watch watch(classifier.network());
  classifier.logits(frames);
  if (watch.found()) return concat("the output of layer '", watch.layer(), "'");
  std::vector<NamedTensor> parameters = classifier.network().parameters();
  std::ranges::reverse(parameters);
  for (const NamedTensor& each : parameters)
    for (const ParameterArena::Slot& slot : arena.slots())
      if (slot.tensor.is(each.tensor) && slot.gradient && !is_finite(slot.gradient))
        return concat("the gradient of '", each.name, "'");
  return "";
}

}  // namespace engine
