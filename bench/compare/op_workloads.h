// The ops that are compared: what each takes, does, and the least work that is.
#pragma once

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/random.h"
#include "train/cli.h"

namespace engine::bench {

using json = nlohmann::json;
using Tensors = std::vector<Tensor>;

struct Settings {
  Device device = kCpu;
  double seconds = 1.0;
  double cache_bytes = 256e6;  // what the input sets of a workload add up to, at least; H100: 50 MB of cache
  std::string precision{};     // f32, tf32 or bf16
  bool record = true;          // where the device can: without the host's part
  std::string state{};         // file for what a step starts from
  DType dtype() const { return precision == "bf16" ? DType::bf16 : DType::f32; }
};

// An op at one size: what it takes, what it does, and the least work that is.
struct Workload {
  std::function<Tensors()> inputs;
  std::function<Tensor(const Tensors&)> run;
  double flop = 0;  // of forward; 0 where it is the traffic that counts
  bool backward = true;
  double forward_bytes = 0, backward_bytes = 0;  // every operand read once, every result written once
};

class Inputs {
 public:
  explicit Inputs(const Settings& settings) : settings_(settings) {}
  Tensor normal(const Shape& shape, double deviation = 1) {
    return place(engine::normal(shape, 0, deviation, random_));
  }
  // Of the width that keeps sums of `terms` products near 1.
  Tensor weight(const Shape& shape, int64_t terms) { return normal(shape, 1 / std::sqrt(static_cast<double>(terms))); }
  Tensor statistics(const Shape& shape) { return engine::uniform(shape, 0.5, 1.5, random_).to(settings_.device); }
  Tensor labels(int64_t count, int64_t classes) {
    Tensor labels = Tensor::empty({count}, DType::i64);
    for (int64_t& label : labels.values<int64_t>())
      label = static_cast<int64_t>(random_.below(static_cast<uint64_t>(classes)));
    return labels.to(settings_.device);
  }

 private:
  Tensor place(const Tensor& x) const {
    const Tensor placed = Tensor::empty(x.shape(), settings_.dtype(), settings_.device);
    placed.copy_from(x.to(settings_.device));
    return placed;
  }
  const Settings& settings_;
  Random random_{20, 1};
};

inline Workload workload_of(const json& w, const Settings& settings, Inputs& random) {
  const auto n = [&](const char* name) { return w.at(name).get<int64_t>(); };
  const auto real = [](int64_t value) { return static_cast<double>(value); };
  const std::string op = w.at("op");
  const double size = settings.dtype() == DType::bf16 ? 2 : 4;
  Workload made;
  // An op on one tensor: forward reads and writes it once, backward reads `extra` tensors of its size and writes one.
  const auto pointwise = [&](const Shape& shape, double backward_tensors, std::function<Tensor(const Tensors&)> run) {
    made.inputs = [=, &random] { return Tensors{random.normal(shape)}; };
    made.run = std::move(run);
    made.forward_bytes = 2 * size * real(shape.elements());
    made.backward_bytes = backward_tensors * size * real(shape.elements());
  };
  if (op == "copy") {
    pointwise({n("count")}, 0, [](const Tensors& t) { return t[0].clone(); });
    made.backward = false;
  } else if (op == "gelu") {
    pointwise({n("count")}, 3, [](const Tensors& t) { return gelu(t[0]); });
  } else if (op == "dropout") {
    pointwise({n("count")}, 2, [](const Tensors& t) { return dropout(t[0], 0.1); });
  } else if (op == "softmax") {
    pointwise({n("m"), n("c")}, 3, [](const Tensors& t) { return softmax(t[0]); });
  } else if (op == "matmul") {
    const int64_t m = n("m"), k = n("k"), cols = n("n");
    made.inputs = [=, &random] { return Tensors{random.normal({m, k}), random.weight({k, cols}, k)}; };
    made.run = [](const Tensors& t) { return matmul(t[0], t[1]); };
    made.flop = 2 * real(m) * real(k) * real(cols);
  } else if (op == "linear" || op == "linear_gelu") {
    const int64_t m = n("m"), k = n("k"), cols = n("n");
    const Unary f{op == "linear" ? Unary::affine : Unary::gelu_tanh};
    made.inputs = [=, &random] {
      return Tensors{random.normal({m, k}), random.weight({cols, k}, k), random.normal({cols})};
    };
    made.run = [=](const Tensors& t) { return linear(t[0], t[1], t[2], f); };
    made.flop = 2 * real(m) * real(k) * real(cols);
  } else if (op == "conv2d" || op == "conv3d") {
    const bool clips = op == "conv3d";
    const int64_t r = n("r"), pad = n("pad"), c = n("c"), k = n("k");
    const Shape x = clips ? Shape{n("n"), n("t"), n("h"), n("w"), c} : Shape{n("n"), n("h"), n("w"), c};
    const Shape filter = clips ? Shape{k, r, r, r, c} : Shape{k, r, r, c};
    made.inputs = [=, &random] {
      return Tensors{random.normal(x), random.weight(filter, filter.elements() / k), random.normal({k})};
    };
    made.run = [=](const Tensors& t) {
      return clips ? conv3d(t[0], t[1], t[2], {.pad_t = pad, .pad_h = pad, .pad_w = pad}, {Unary::relu})
                   : conv2d(t[0], t[1], t[2], {.pad_h = pad, .pad_w = pad}, {Unary::relu});
    };
    made.flop = 2 * real(x.elements()) / real(c) * real(filter.elements());
  } else if (op == "max_pool2d") {
    const Shape x{n("n"), n("h"), n("w"), n("c")};
    made.inputs = [=, &random] { return Tensors{random.normal(x)}; };
    made.run = [](const Tensors& t) { return max_pool2d(t[0], {}); };
    made.forward_bytes = real(x.elements()) * (size + (size + 1) / 4);
    made.backward_bytes = made.forward_bytes;
  } else if (op == "batch_norm_relu") {
    const Shape x{n("n"), n("h"), n("w"), n("c")};
    const int64_t c = n("c");
    made.inputs = [=, &random] {
      return Tensors{random.normal(x), random.statistics({c}), random.statistics({c}), random.statistics({c}),
                     random.statistics({c})};
    };
    made.run = [](const Tensors& t) { return batch_norm(t[0], t[1], t[2], t[3], t[4], true, {}, {}, {Unary::relu}); };
    made.forward_bytes = 3 * size * real(x.elements());
    made.backward_bytes = 5 * size * real(x.elements());
  } else if (op == "layer_norm" || op == "residual_layer_norm") {
    const bool residual = op != "layer_norm";
    const Shape x{n("m"), n("c")};
    const int64_t c = n("c");
    made.inputs = [=, &random] {
      Tensors tensors{random.normal(x), random.statistics({c}), random.statistics({c})};
      if (residual) tensors.push_back(random.normal(x));
      return tensors;
    };
    made.run = [=](const Tensors& t) {
      return residual ? residual_layer_norm(t[0], t[3], t[1], t[2])[0] : layer_norm(t[0], t[1], t[2]);
    };
    made.forward_bytes = (residual ? 4 : 2) * size * real(x.elements());
    made.backward_bytes = 3 * size * real(x.elements());
  } else if (op == "cross_entropy") {
    const int64_t m = n("m"), c = n("c");
    made.inputs = [=, &random] { return Tensors{random.normal({m, c}), random.labels(m, c)}; };
    made.run = [](const Tensors& t) { return cross_entropy(t[0], t[1]); };
    made.forward_bytes = size * real(m * c);
    made.backward_bytes = 2 * size * real(m * c);
  } else if (op == "lstm") {
    const int64_t batch = n("n"), steps = n("t"), c = n("c"), h = n("h");
    made.inputs = [=, &random] {
      return Tensors{random.normal({batch, steps, c}), random.weight({4 * h, c}, h), random.weight({4 * h, h}, h),
                     random.weight({4 * h}, h), random.weight({4 * h}, h)};
    };
    made.run = [](const Tensors& t) { return lstm(t[0], t[1], t[2], t[3], t[4])[0]; };
    made.flop = 2 * real(batch * steps) * real(4 * h) * real(c + h);
  } else if (op == "attention") {
    const int64_t batch = n("n"), heads = n("h"), s = n("s"), d = n("d");
    made.inputs = [=, &random] { return Tensors{random.normal({batch, s, 3, heads, d})}; };
    made.run = [](const Tensors& t) { return attention_packed(t[0]); };
    made.flop = 4 * real(batch * heads) * real(s) * real(s) * real(d);
  } else {
    throw Error(concat("workloads: unknown op ", op), exit_code::kUsage);
  }
  return made;
}

}  // namespace engine::bench
