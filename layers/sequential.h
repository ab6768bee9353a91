#pragma once

#include "layers/module.h"

namespace engine::layers {

// One layer after the other; their names are "0", "1", ...
class Sequential : public Module {
 public:
  Sequential() = default;
  explicit Sequential(const std::vector<std::shared_ptr<Module>>& layers) {
    for (const auto& layer : layers) append(layer);
  }
  void append(std::shared_ptr<Module> layer) {
    layers_.push_back(add_child(std::to_string(layers_.size()), std::move(layer)));
  }
  std::string describe() const override { return concat("Sequential of ", layers_.size()); }

 protected:
  Tensor forward(const Tensor& x) override {
    Tensor y = x;
    for (const auto& layer : layers_) y = (*layer)(y);
    return y;
  }

 private:
  std::vector<std::shared_ptr<Module>> layers_;
};

}  // namespace engine::layers
