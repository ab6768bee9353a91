// A Module owns parameters (trained), buffers (kept, not trained) and other modules, each under a name.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/autograd.h"
#include "engine/ops.h"

namespace engine::layers {

class Module : NonCopyable {
 public:
  virtual ~Module() = default;

  Tensor operator()(const Tensor& x) {
    const LayerScope here = scope();
    const Tensor y = forward(x);
    if (on_output) on_output(*this, y);
    return y;
  }
  // Where set, told what every module of one input gives, on this thread; to look into a network.
  static inline thread_local std::function<void(const Module& module, const Tensor& y)> on_output;

  // Every parameter or buffer below this module, its own first, as "child.grandchild.name", in order of registration.
  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  // The parameters and buffers that stay f32 where the model computes in bf16.
  std::set<std::string> full_precision() const;
  int64_t parameter_count() const;
  // Tells every module below this one its path, for profilers (kernels/profile.h).
  void name_layers();
  // Calls f with the path ("" for this module) of this module and of every module below it.
  void visit(const std::function<void(const std::string& path, Module& module)>& f);

  // Converts every parameter and buffer in place; to bf16 not those of full precision nor buffers, which stay f32.
  // Before an arena or an optimizer is made.
  void to(DType dtype);
  // Moves them to another device, likewise.
  void to(Device device);

  // Training or evaluation, for this module and all below it: dropout and batch norm differ. Training at first.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  // The kind of layer and its sizes, on one line, for printing a model.
  virtual std::string describe() const = 0;

 protected:
  // Modules of more than one input have operators () of their own instead, which hold a scope().
  virtual Tensor forward(const Tensor& x);
  // While it is alive, ops are told to be this module's.
  LayerScope scope() const { return LayerScope(path_); }

  // Called by constructors. A parameter requires a gradient from then on. full_precision: it
  // stays f32 where the model computes in bf16 (the weights of norms).
  Tensor add_parameter(const std::string& name, const Tensor& value, bool full_precision = false);
  Tensor add_buffer(const std::string& name, const Tensor& value);
  template <class M>
  std::shared_ptr<M> add_child(const std::string& name, std::shared_ptr<M> child) {
    children_.push_back({name, child});
    return child;
  }

 private:
  struct Child {
    std::string name;
    std::shared_ptr<Module> module;
  };
  void collect(const std::string& prefix, std::vector<NamedTensor> Module::*own, std::vector<NamedTensor>& all) const;
  void visit(const std::string& path, const std::function<void(const std::string&, Module&)>& f);

  std::vector<NamedTensor> parameters_, buffers_, full_precision_;
  std::vector<Child> children_;
  bool training_ = true;
  const char* path_ = "";
};

// One line per module, indented by depth, with its parameters.
std::string summary(Module& module);

}  // namespace engine::layers
