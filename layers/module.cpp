#include "layers/module.h"

#include <algorithm>
#include <mutex>

namespace engine::layers {

void Module::collect(const std::string& prefix, std::vector<NamedTensor> Module::*own,
                     std::vector<NamedTensor>& all) const {
  for (const NamedTensor& each : this->*own) all.push_back({prefix + each.name, each.tensor});
  for (const Child& child : children_) child.module->collect(prefix + child.name + ".", own, all);
}

std::vector<NamedTensor> Module::parameters() const {
  std::vector<NamedTensor> all;
  collect("", &Module::parameters_, all);
  return all;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> all;
  collect("", &Module::buffers_, all);
  return all;
}

std::set<std::string> Module::full_precision() const {
  std::vector<NamedTensor> all;
  collect("", &Module::full_precision_, all);
  std::set<std::string> names;
  for (const NamedTensor& each : all) names.insert(each.name);
  return names;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  std::vector<Tensor> seen;
  for (const NamedTensor& each : parameters()) {
    if (std::any_of(seen.begin(), seen.end(), [&](const Tensor& other) { return other.is(each.tensor); })) continue;
    seen.push_back(each.tensor);
    count += each.tensor.elements();
  }
  return count;
}

void Module::visit(const std::function<void(const std::string& path, Module& module)>& f) { visit("", f); }

void Module::visit(const std::string& path, const std::function<void(const std::string&, Module&)>& f) {
  f(path, *this);
  for (const Child& child : children_) child.module->visit(path.empty() ? child.name : path + "." + child.name, f);
}

void Module::name_layers() {
  static std::mutex mutex;
  static std::set<std::string> paths;  // kept for ever: graphs refer to them
  const std::lock_guard lock(mutex);
  visit([](const std::string& path, Module& module) { module.path_ = paths.insert(path).first->c_str(); });
}

void Module::train(bool on) {
  visit([on](const std::string&, Module& module) { module.training_ = on; });
}

void Module::to(DType dtype) {
  const std::set<std::string> full = full_precision();
  for (const auto& tensors : {parameters(), buffers()})
    for (const NamedTensor& each : tensors)
      each.tensor.assign(
          cast(each.tensor.detach(), dtype == DType::bf16 && full.contains(each.name) ? DType::f32 : dtype));
}

void Module::to(Device device) {
  for (const auto& tensors : {parameters(), buffers()})
    for (const NamedTensor& each : tensors) each.tensor.assign(each.tensor.detach().to(device));
}

Tensor Module::forward(const Tensor&) { throw Error(concat(describe(), ": it takes more than one input")); }

Tensor Module::add_parameter(const std::string& name, const Tensor& value, bool full_precision) {
  value.set_requires_grad();
  parameters_.push_back({name, value});
  if (full_precision) full_precision_.push_back({name, value});
  return value;
}

Tensor Module::add_buffer(const std::string& name, const Tensor& value) {
  buffers_.push_back({name, value});
  full_precision_.push_back({name, value});
  return value;
}

std::string summary(Module& module) {
  std::ostringstream out;
  module.visit([&](const std::string& path, Module& each) {
    const auto depth = path.empty() ? 0 : 1 + std::count(path.begin(), path.end(), '.');
    const std::string name = path.substr(path.rfind('.') + 1);
    out << std::string(static_cast<size_t>(2 * depth), ' ') << (name.empty() ? "" : name + ": ") << each.describe();
    if (each.parameter_count() > 0) out << "  " << each.parameter_count() << " parameters";
    out << "\n";
  });
  return out.str();
}

}  // namespace engine::layers
