#include "kernels/cpu/onednn.h"

#include <array>
#include <dnnl.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/context.h"

namespace engine::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr size_t kMaxPlans = 1024;  // a training run needs three per convolution

constexpr std::array kPassNames = {"forward", "backward_input", "backward_weight"};

// Everything that a primitive depends on.
struct Problem {
  Pass pass;
  Conv3d p;
  Shape x, w, y;
  bool bias;
  int threads;

  auto operator<=>(const Problem&) const = default;
  bool clips() const { return x.rank() == 5; }
};

// A primitive and the memory it works on. Activations stay in our layout; weights change into the layout that the
// primitive prefers, or back from it where they are its output.
struct Plan {
  dnnl::primitive primitive, reorder;
  memory::desc x, y, bias, our_weights, weights, scratchpad;
};

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& stream() {
  thread_local dnnl::stream stream(cpu());
  return stream;
}

memory::desc describe(const memory::dims& sizes, Tag tag) { return {sizes, memory::data_type::f32, tag}; }

// A shape with channels last in oneDNN's order of sizes: channels before the spatial axes.
memory::dims channels_first(const Shape& s) {
  memory::dims sizes(s.begin(), s.end());
  std::rotate(sizes.begin() + 1, sizes.end() - 1, sizes.end());
  return sizes;
}

memory::desc image(const Shape& s) { return describe(channels_first(s), s.rank() == 5 ? Tag::ndhwc : Tag::nhwc); }

memory::desc weights(const Problem& problem, bool preferred) {
  memory::dims sizes = channels_first(problem.w);
  const int64_t groups = problem.p.groups;
  if (groups == 1) return describe(sizes, preferred ? Tag::any : problem.clips() ? Tag::odhwi : Tag::ohwi);
  sizes[0] /= groups;
  sizes.insert(sizes.begin(), groups);
  return describe(sizes, preferred ? Tag::any : problem.clips() ? Tag::godhwi : Tag::gohwi);
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// The strides, dilations and padding of a primitive. oneDNN counts a dense kernel as dilation 0. Direct algorithms
// only: Winograd's rounds differently and would not be exact on whole numbers.
struct Geometry {
  memory::dims strides, dilations, pads;
  explicit Geometry(const Problem& problem) {
    Space dilation = problem.p.dilation();
    for (int64_t& step : dilation) --step;
    const auto own = [&](const Space& s) { return memory::dims(s.end() - (problem.x.rank() - 2), s.end()); };
    strides = own(problem.p.stride()), dilations = own(dilation), pads = own(problem.p.pad());
  }
};
constexpr auto kDirect = dnnl::algorithm::convolution_direct;

// oneDNN 2 takes the description of an operation and chooses a primitive for it; oneDNN 3 does both in one constructor.
// A backward primitive wants to know the forward one besides.
template <class Primitive, class... Description>
typename Primitive::primitive_desc select(const Description&... description) {
#if DNNL_VERSION_MAJOR >= 3
  return {cpu(), description..., attributes()};
#else
  return {typename Primitive::desc(description...), attributes(), cpu()};
#endif
}
template <class Primitive, class... Description>
typename Primitive::primitive_desc select_backward(const dnnl::convolution_forward::primitive_desc& forward,
                                                   const Description&... description) {
#if DNNL_VERSION_MAJOR >= 3
  return {cpu(), description..., forward, attributes()};
#else
  return {typename Primitive::desc(description...), attributes(), cpu(), forward};
#endif
}

dnnl::convolution_forward::primitive_desc forward_descriptor(const Problem& problem) {
  using Forward = dnnl::convolution_forward;
  const Geometry g(problem);
  const memory::desc x = image(problem.x), w = weights(problem, true), y = image(problem.y);
  constexpr auto kKind = dnnl::prop_kind::forward_training;
  if (problem.bias) {
    const memory::desc bias = describe({problem.w[0]}, Tag::a);
    return select<Forward>(kKind, kDirect, x, w, bias, y, g.strides, g.dilations, g.pads, g.pads);
  }
  return select<Forward>(kKind, kDirect, x, w, y, g.strides, g.dilations, g.pads, g.pads);
}

template <class Backward>
typename Backward::primitive_desc backward_descriptor(const Problem& problem) {
  const Geometry g(problem);
  return select_backward<Backward>(forward_descriptor(problem), kDirect, image(problem.x), weights(problem, true),
                                   image(problem.y), g.strides, g.dilations, g.pads, g.pads);
}

// The primitive of the pass, and what it says about its memory.
void choose_primitive(const Problem& problem, Plan& plan) {
  const auto choose = [&](auto primitive, const auto& descriptor, const memory::desc& weights) {
    plan.primitive = primitive;
    plan.weights = weights;
    plan.scratchpad = descriptor.scratchpad_desc();
  };
  if (problem.pass == Pass::forward) {
    const auto descriptor = forward_descriptor(problem);
    choose(dnnl::convolution_forward(descriptor), descriptor, descriptor.weights_desc());
  } else if (problem.pass == Pass::backward_input) {
    const auto descriptor = backward_descriptor<dnnl::convolution_backward_data>(problem);
    choose(dnnl::convolution_backward_data(descriptor), descriptor, descriptor.weights_desc());
  } else {
    const auto descriptor = backward_descriptor<dnnl::convolution_backward_weights>(problem);
    choose(dnnl::convolution_backward_weights(descriptor), descriptor, descriptor.diff_weights_desc());
  }
}

Plan make_plan(const Problem& problem) {
  Plan plan;
  plan.x = image(problem.x);
  plan.y = image(problem.y);
  plan.our_weights = weights(problem, false);
  if (problem.bias) plan.bias = describe({problem.w[0]}, Tag::a);
  choose_primitive(problem, plan);
  if (plan.weights == plan.our_weights) return plan;
  const bool output = problem.pass == Pass::backward_weight;
  const memory::desc &from = output ? plan.weights : plan.our_weights, &to = output ? plan.our_weights : plan.weights;
  plan.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(cpu(), from, cpu(), to));
  return plan;
}

// The plan of a problem, made at its first use. When there are too many, all are dropped: shapes that change with every
// call would otherwise fill the memory.
std::shared_ptr<const Plan> plan_for(const Problem& problem) {
  static std::mutex mutex;
  static std::map<Problem, std::shared_ptr<const Plan>> plans;
  const std::lock_guard lock(mutex);
  if (plans.size() > kMaxPlans) plans.clear();
  std::shared_ptr<const Plan>& plan = plans[problem];
  if (plan == nullptr) plan = std::make_shared<const Plan>(make_plan(problem));
  return plan;
}

// oneDNN's handle of memory; it has none for what is only read.
memory at(const memory::desc& descriptor, const void* data) {
  return memory(descriptor, cpu(), const_cast<void*>(data));
}

void run(CpuContext& ctx, const Problem& problem, ConstView x, ConstView w, ConstView bias, ConstView y) {
  const std::shared_ptr<const Plan> plan = plan_for(problem);
  const bool reordered = static_cast<bool>(plan->reorder);
  Scratch scratchpad(ctx, plan->scratchpad.get_size());
  Scratch preferred(ctx, reordered ? plan->weights.get_size() : 0);
  memory ours = at(plan->our_weights, w.data);
  memory used = reordered ? at(plan->weights, preferred.as<void>()) : ours;
  const bool dx = problem.pass == Pass::backward_input, dw = problem.pass == Pass::backward_weight;
  std::unordered_map<int, memory> arguments = {
      {dx ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, at(plan->x, x.data)},
      {dw ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, used},
      {dx || dw ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, at(plan->y, y.data)},
      {DNNL_ARG_SCRATCHPAD, at(plan->scratchpad, scratchpad.as<void>())},
  };
  if (problem.bias) arguments.emplace(DNNL_ARG_BIAS, at(plan->bias, bias.data));
  const auto reorder = [&](memory& from, memory& to) {
    plan->reorder.execute(stream(), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  };
  if (reordered && !dw) reorder(ours, used);
  plan->primitive.execute(stream(), arguments);
  if (reordered && dw) reorder(used, ours);
  stream().wait();
}

}  // namespace

bool sgemm(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, float* c, int64_t c_stride) noexcept {
  const auto flag = [](const Matrix& matrix) { return matrix.transposed ? 'T' : 'N'; };
  return dnnl_sgemm(flag(a), flag(b), m, n, k, 1.0f, a.data, a.stride, b.data, b.stride, 0.0f, c, c_stride) ==
         dnnl_success;
}

void convolve(CpuContext& ctx, Pass pass, const Conv3d& p, ConstView x, ConstView w, ConstView bias, ConstView y) {
  try {
    run(ctx, {pass, p, x.shape, w.shape, y.shape, bias.defined(), cpu_threads()}, x, w, bias, y);
  } catch (const dnnl::error& error) {
    const bool memory_ran_out = error.status == dnnl_out_of_memory;
    throw Error(concat(x.shape.rank() == 5 ? "conv3d: " : "conv2d: ", kPassNames[static_cast<size_t>(pass)], " of x ",
                       x.shape, " and w ", w.shape, ", groups ", p.groups, ": oneDNN: ", error.what(),
                       memory_ran_out ? "; use a smaller batch or fewer frames" : ""),
                memory_ran_out ? exit_code::kMemory : exit_code::kInternal);
  }
}

}  // namespace engine::onednn

std::string engine::onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return concat(version->major, ".", version->minor, ".", version->patch);
}
