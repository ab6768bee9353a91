// The only file that includes cuDNN's header library, which takes the compiler half a minute and 1.1 GB. The library
// finds cuDNN's functions in the running program and opens CUDA's libraries by itself, so that nothing more is linked.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include "kernels/cuda/sdpa_graph.h"

#include <cudnn_frontend.h>
#include <dlfcn.h>

#include <cstdlib>

void* cudnn_frontend::cudnn_dlhandle = dlopen(nullptr, RTLD_LAZY);
// Of several versions of CUDA's run-time library, the one that this program is linked with and not the oldest.
[[maybe_unused]] static const int cudart_named =
    setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", ("libcudart.so." + std::to_string(CUDART_VERSION / 1000)).c_str(), 0);

namespace engine {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;
using fe::graph::Tensor_attributes;

void check(fe::error_t status) { ENGINE_CHECK(status.is_good(), status.get_message()); }

int64_t id_of(size_t role) { return static_cast<int64_t>(role) + 1; }

// In cuDNN's order of axes: batch, heads, rows, depth.
Tensor_attributes operand(const SdpaKey& key, size_t role) {
  Tensor_attributes made;
  made.set_uid(id_of(role));
  if (role > SdpaRole::lse)
    return made.set_data_type(fe::DataType_t::INT32).set_dim({key.batch, 1, 1, 1}).set_stride({1, 1, 1, 1});
  if (role == SdpaRole::lse)
    return made.set_data_type(fe::DataType_t::FLOAT)
        .set_dim({key.batch, key.heads, key.queries, 1})
        .set_stride({key.heads * key.queries, key.queries, 1, 1});
  const bool of_keys = role == SdpaRole::k || role == SdpaRole::v || role == SdpaRole::dk || role == SdpaRole::dv;
  const int64_t row = key.heads * key.depth;
  const auto [batches, rows, heads] =
      role < key.strides.size() ? key.strides[role] : SdpaKey::Strides{key.queries * row, row, key.depth};
  return made.set_data_type(fe::DataType_t::BFLOAT16)
      .set_dim({key.batch, key.heads, of_keys ? key.keys : key.queries, key.depth})
      .set_stride({batches, heads, rows, 1});
}

void describe(const SdpaKey& key, Graph& graph) {
  const auto in = [&](size_t role) { return graph.tensor(operand(key, role)); };
  const auto out = [&](Tensor_attributes& made, size_t role) { made = operand(key, role).set_output(true); };
  const auto masked = [&](auto attributes) {
    attributes.set_name("attention").set_attn_scale(key.scale);
    if (key.causal)
      attributes.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
    if (key.lengths)
      attributes.set_padding_mask(true)
          .set_seq_len_q(in(SdpaRole::query_lengths))
          .set_seq_len_kv(in(SdpaRole::key_lengths));
    return attributes;
  };
  const auto q = in(SdpaRole::q), k = in(SdpaRole::k), v = in(SdpaRole::v);
  if (key.pass == SdpaKey::forward) {
    const auto [y, lse] = graph.sdpa(q, k, v, masked(fe::graph::SDPA_attributes().set_generate_stats(true)));
    out(*y, SdpaRole::y);
    out(*lse, SdpaRole::lse);
  } else {
    const auto attributes = masked(fe::graph::SDPA_backward_attributes().set_deterministic_algorithm(true));
    const auto [dq, dk, dv] =
        graph.sdpa_backward(q, k, v, in(SdpaRole::y), in(SdpaRole::dy), in(SdpaRole::lse), attributes);
    out(*dq, SdpaRole::dq);
    out(*dk, SdpaRole::dk);
    out(*dv, SdpaRole::dv);
  }
}

// 90 for Hopper.
int compute_capability(const DeviceDescription& device) {
  constexpr std::string_view kName = "\"deviceVer\":";
  const size_t found = device.json.find(kName);
  ENGINE_CHECK(found != device.json.npos, "the device's description has no ", kName);
  return std::atoi(device.json.c_str() + found + kName.size()) / 10;
}

std::shared_ptr<const SdpaPlan> choose_plan(const SdpaKey& key, const DeviceDescription& device, bool compiled) {
  ENGINE_CHECK(cudnnGetVersion() >= 91600, "needs cuDNN 9.16 or newer");
  const auto properties = std::make_shared<fe::DeviceProperties>();
  check(properties->deserialize({device.json.begin(), device.json.end()}));
  const auto graph = std::make_shared<Graph>();
  graph->set_intermediate_data_type(fe::DataType_t::FLOAT).set_compute_data_type(fe::DataType_t::FLOAT);
  graph->set_device_properties(properties).set_sm_version(compute_capability(device));
  describe(key, *graph);
  check(graph->validate());
  check(graph->build_operation_graph());
  check(graph->create_execution_plans({fe::HeurMode_t::A}));
  check(graph->check_support());
  std::string engine;
  int64_t bytes = 0;
  if (compiled) {
    check(graph->build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE));
    check(graph->get_workspace_size(bytes));
  }
  check(compiled ? graph->get_plan_name(engine) : graph->get_plan_name_at_index(0, engine));
  return std::make_shared<SdpaPlan>(SdpaPlan{key, engine, static_cast<size_t>(bytes), graph});
}

}  // namespace

std::shared_ptr<const SdpaPlan> build_sdpa_plan(const SdpaKey& key, const DeviceDescription& device, bool compiled) {
  try {
    return choose_plan(key, device, compiled);
  } catch (const std::exception& error) {
    throw Error(concat("attention ", key.pass == SdpaKey::forward ? "forward" : "backward", ": N ", key.batch, " S ",
                       key.queries, " L ", key.keys, " H ", key.heads, " D ", key.depth, key.causal ? ", causal" : "",
                       key.lengths ? ", lengths" : "", ", on ", device.name(), ": ", error.what()));
  }
}

void run_sdpa_plan(const SdpaPlan& plan, cudnnContext* handle, const SdpaMemory& memory, void* workspace) {
  std::unordered_map<int64_t, void*> operands;
  for (size_t role = 0; role < SdpaRole::count; ++role) operands[id_of(role)] = memory[role];
  check(static_cast<Graph*>(plan.graph.get())->execute(handle, operands, workspace));
}

}  // namespace engine
