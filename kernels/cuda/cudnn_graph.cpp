#include "kernels/cuda/cudnn_graph.h"

#include <algorithm>

#include "kernels/cuda/cudnn_descriptor.h"

namespace engine {
namespace {

constexpr size_t kMostWorkspace = size_t{2} << 30;

// ---- the graph ----

cudnnDataType_t type_of(DType dtype) {
  ENGINE_CHECK(dtype == DType::f32 || dtype == DType::bf16, "expected f32 or bf16, got ", dtype);
  return dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// The last key.axes of time, height and width.
std::vector<int64_t> spatial(const ConvKey& key, const ConvKey::Space& space) {
  return {space.end() - key.axes, space.end()};
}

// A tensor of (outer, channels, spatial...), which is how cuDNN orders sizes; channels are innermost in memory. One
// without an id stays inside the graph, in f32.
CudnnDescriptor tensor(const ConvKey& key, int64_t id, int64_t outer, int64_t channels, const ConvKey::Space& space) {
  std::vector<int64_t> sizes = spatial(key, space), strides(sizes.size());
  int64_t stride = channels;
  for (size_t axis = sizes.size(); axis-- > 0; stride *= sizes[axis]) strides[axis] = stride;
  sizes.insert(sizes.begin(), {outer, channels});
  strides.insert(strides.begin(), {stride, 1});
  const bool inside = id < 0;
  CudnnDescriptor made(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, inside ? CUDNN_DATA_FLOAT : type_of(key.dtype));
  made.set_all(CUDNN_ATTR_TENSOR_DIMENSIONS, sizes);
  made.set_all(CUDNN_ATTR_TENSOR_STRIDES, strides);
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, static_cast<int64_t>(kConvAlignment));
  made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, inside);
  made.finalize();
  return made;
}

CudnnDescriptor geometry(const ConvKey& key) {
  CudnnDescriptor made(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{key.axes});
  made.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  made.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  made.set_all(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, spatial(key, key.pad));
  made.set_all(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, spatial(key, key.pad));
  made.set_all(CUDNN_ATTR_CONVOLUTION_DILATIONS, spatial(key, key.dilation));
  made.set_all(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, spatial(key, key.stride));
  made.finalize();
  return made;
}

// The names that each pass has for the same things.
struct PassNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t x, w, y, geometry, alpha, beta;
};
constexpr PassNames kPassNames[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

CudnnDescriptor convolution(const ConvKey& key, const CudnnDescriptor& y) {
  const PassNames& names = kPassNames[key.pass];
  CudnnDescriptor made(names.operation);
  made.set(names.x, tensor(key, kConvX, key.n, key.c, key.x));
  made.set(names.w, tensor(key, kConvW, key.k, key.c / key.groups, key.w));
  made.set(names.y, y);
  made.set(names.geometry, geometry(key));
  made.set(names.alpha, 1.0f);
  made.set(names.beta, 0.0f);
  made.finalize();
  return made;
}

// `second` is left out where it is null.
CudnnDescriptor pointwise(cudnnPointwiseMode_t mode, const CudnnDescriptor& first, const CudnnDescriptor* second,
                          const CudnnDescriptor& result) {
  CudnnDescriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (mode == CUDNN_POINTWISE_RELU_FWD) function.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
  function.finalize();
  CudnnDescriptor made(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, first);
  if (second != nullptr) made.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *second);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, result);
  made.finalize();
  return made;
}

CudnnDescriptor graph_of(const ConvKey& key) {
  const auto like_y = [&](int64_t id) { return tensor(key, id, key.n, key.k, key.y); };
  const CudnnDescriptor y = like_y(kConvY);
  std::vector<CudnnDescriptor> operations;
  if (key.epilogue == ConvKey::none) {
    operations.push_back(convolution(key, y));
  } else {
    const CudnnDescriptor product = like_y(-1), sum = key.epilogue == ConvKey::bias ? y : like_y(-2);
    const CudnnDescriptor bias = tensor(key, kConvBias, 1, key.k, {1, 1, 1});
    operations.push_back(convolution(key, product));
    operations.push_back(pointwise(CUDNN_POINTWISE_ADD, product, &bias, sum));
    if (key.epilogue == ConvKey::bias_relu) operations.push_back(pointwise(CUDNN_POINTWISE_RELU_FWD, sum, nullptr, y));
  }
  CudnnDescriptor made(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  made.set_all(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
  made.finalize();
  return made;
}

// ---- the plan ----

bool keeps_promises(const ConvKey& key, const CudnnDescriptor& configuration) {
  const CudnnDescriptor engine =
      configuration.descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR).at(0);
  const auto numerical = engine.values<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
  const auto behaviour = engine.values<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE);
  return std::ranges::all_of(numerical,
                             [&](auto note) {
                               return note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP ||
                                      (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && key.tensor_cores);
                             }) &&
         std::ranges::find(behaviour, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) == behaviour.end();
}

// The engine and its knobs, which stand last in the JSON of a plan.
std::string engine_of(const CudnnDescriptor& plan) {
  const std::string json = plan.text(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
  constexpr std::string_view kName = "\"engine\":";
  const size_t start = json.rfind(kName);
  ENGINE_CHECK(start != json.npos, "cuDNN's plan names no engine: ", json);
  return json.substr(start + kName.size(), json.size() - start - kName.size() - 1);
}

std::vector<std::shared_ptr<const ConvPlan>> choose_plans(const ConvKey& key, const DeviceDescription& device,
                                                          size_t most) {
  CudnnDescriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set_all(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, device.json);
  properties.finalize();
  const CudnnDescriptor graph = graph_of(key);
  std::vector<std::shared_ptr<const ConvPlan>> plans;
  std::shared_ptr<const ConvPlan> least;  // of workspace
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK, CUDNN_HEUR_MODE_B}) {
    CudnnDescriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties);
    heuristic.finalize();
    for (const CudnnDescriptor& configuration :
         heuristic.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)) {
      if (!keeps_promises(key, configuration)) continue;
      CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties);
      if (!plan.supported()) continue;
      const auto bytes = static_cast<size_t>(plan.values<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE).at(0));
      const auto built = std::make_shared<ConvPlan>(ConvPlan{key, bytes, engine_of(plan), plan.handle()});
      if (least == nullptr || bytes < least->workspace_bytes) least = built;
      const auto same = [&](const auto& other) { return other->engine == built->engine; };
      if (bytes <= kMostWorkspace && std::ranges::none_of(plans, same)) plans.push_back(built);
      if (plans.size() == most) return plans;
    }
  }
  ENGINE_CHECK(least != nullptr, "cuDNN ", cudnnGetVersion(), " has no deterministic plan");
  if (plans.empty()) plans.push_back(least);
  return plans;
}

}  // namespace

std::string DeviceDescription::name() const {
  constexpr std::string_view kName = "\"deviceName\":\"";
  const size_t found = json.find(kName);
  if (found == json.npos) return "a device without a name";
  const size_t start = found + kName.size();
  return json.substr(start, json.find('"', start) - start);
}

std::vector<std::shared_ptr<const ConvPlan>> build_plans(const ConvKey& key, const DeviceDescription& device,
                                                         size_t most) {
  try {
    return choose_plans(key, device, most);
  } catch (const Error& error) {
    throw Error(concat(text_of(key), ", on ", device.name(), ": ", error.what()), error.code());
  }
}

}  // namespace engine
