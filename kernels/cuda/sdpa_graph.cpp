// The only file that includes cuDNN's header library, which takes the compiler half a minute and 1.1 GB. The library
// finds cuDNN's functions in the running program and opens CUDA's libraries by itself, so that nothing more is linked.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include "kernels/cuda/sdpa_graph.h"

#include <cudnn_frontend.h>
#include <dlfcn.h>

void* cudnn_frontend::cudnn_dlhandle = dlopen(nullptr, RTLD_LAZY);

namespace engine {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;
using fe::graph::Tensor_attributes;
using Tensors = std::shared_ptr<Tensor_attributes>;

enum Operand : int64_t { kQ = 1, kK, kV, kY, kLse, kQueryLengths, kKeyLengths, kDy, kDq, kDk, kDv };

void check(fe::error_t status) { ENGINE_CHECK(status.is_good(), status.get_message()); }

// ---- tensors, in cuDNN's order of axes: batch, heads, rows, depth ----

Tensor_attributes heads_of(const SdpaKey& key, Operand id, int64_t rows, const SdpaKey::Strides& strides) {
  return Tensor_attributes()
      .set_uid(id)
      .set_data_type(fe::DataType_t::BFLOAT16)
      .set_dim({key.batch, key.heads, rows, key.depth})
      .set_stride({strides[0], strides[2], strides[1], 1});
}
Tensor_attributes output_of(const SdpaKey& key, Operand id) {  // y and dy
  const int64_t row = key.heads * key.depth;
  return heads_of(key, id, key.queries, {key.queries * row, row, key.depth});
}
Tensor_attributes lse_of(const SdpaKey& key) {
  return Tensor_attributes()
      .set_uid(kLse)
      .set_data_type(fe::DataType_t::FLOAT)
      .set_dim({key.batch, key.heads, key.queries, 1})
      .set_stride({key.heads * key.queries, key.queries, 1, 1});
}
Tensor_attributes lengths_of(const SdpaKey& key, Operand id) {
  return Tensor_attributes()
      .set_uid(id)
      .set_data_type(fe::DataType_t::INT32)
      .set_dim({key.batch, 1, 1, 1})
      .set_stride({1, 1, 1, 1});
}
// Makes `made`, a result of the graph, what `as` says.
void assign(const Tensors& made, const Tensor_attributes& as) {
  made->set_output(true).set_uid(as.get_uid()).set_data_type(as.get_data_type());
  made->set_dim(as.get_dim()).set_stride(as.get_stride());
}

// ---- the graph ----

// Attributes: of forward or of backward.
template <class Attributes>
Attributes masks_of(const SdpaKey& key, Graph& graph) {
  Attributes made;
  made.set_name("attention").set_attn_scale(key.scale);
  if (key.causal) made.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
  if (key.lengths)
    made.set_padding_mask(true)
        .set_seq_len_q(graph.tensor(lengths_of(key, kQueryLengths)))
        .set_seq_len_kv(graph.tensor(lengths_of(key, kKeyLengths)));
  return made;
}

void describe(const SdpaKey& key, Graph& graph) {
  const Tensors q = graph.tensor(heads_of(key, kQ, key.queries, key.q)),
                k = graph.tensor(heads_of(key, kK, key.keys, key.k)),
                v = graph.tensor(heads_of(key, kV, key.keys, key.v));
  if (key.pass == SdpaKey::forward) {
    auto attributes = masks_of<fe::graph::SDPA_attributes>(key, graph);
    const auto [y, lse] = graph.sdpa(q, k, v, attributes.set_generate_stats(true));
    assign(y, output_of(key, kY));
    assign(lse, lse_of(key));
  } else {
    auto attributes = masks_of<fe::graph::SDPA_backward_attributes>(key, graph);
    const auto [dq, dk, dv] =
        graph.sdpa_backward(q, k, v, graph.tensor(output_of(key, kY)), graph.tensor(output_of(key, kDy)),
                            graph.tensor(lse_of(key)), attributes.set_deterministic_algorithm(true));
    assign(dq, heads_of(key, kDq, key.queries, key.dq));
    assign(dk, heads_of(key, kDk, key.keys, key.dk));
    assign(dv, heads_of(key, kDv, key.keys, key.dv));
  }
}

// 90 for Hopper.
int compute_capability(const DeviceDescription& device) {
  constexpr std::string_view kName = "\"deviceVer\":";
  const size_t found = device.json.find(kName);
  ENGINE_CHECK(found != device.json.npos, "the device's description has no ", kName);
  return std::atoi(device.json.c_str() + found + kName.size()) / 10;
}

std::shared_ptr<SdpaPlan> choose_plan(const SdpaKey& key, const DeviceDescription& device) {
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
  auto plan = std::make_shared<SdpaPlan>(SdpaPlan{.key = key, .engine = {}, .graph = graph});
  check(graph->get_plan_name_at_index(0, plan->engine));
  return plan;
}

// What the library throws becomes an Error like what it returns.
template <class F>
auto named(const SdpaKey& key, const std::string& place, const F& f) {
  try {
    return f();
  } catch (const std::exception& error) {
    throw Error(concat(text_of(key), place, ": ", error.what()));
  }
}

Graph& graph_of(const SdpaPlan& plan) { return *static_cast<Graph*>(plan.graph.get()); }

}  // namespace

std::string text_of(const SdpaKey& key) {
  return concat("attention ", key.pass == SdpaKey::forward ? "forward" : "backward", ": N ", key.batch, ", H ",
                key.heads, ", S ", key.queries, ", L ", key.keys, ", D ", key.depth, key.causal ? ", causal" : "",
                key.lengths ? ", lengths" : "");
}

std::shared_ptr<SdpaPlan> build_sdpa_plan(const SdpaKey& key, const DeviceDescription& device) {
  return named(key, ", on " + device.name(), [&] { return choose_plan(key, device); });
}

void compile_sdpa_plan(SdpaPlan& plan) {
  named(plan.key, "", [&] {
    check(graph_of(plan).build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE));
    int64_t bytes = 0;
    check(graph_of(plan).get_workspace_size(bytes));
    check(graph_of(plan).get_plan_name(plan.engine));
    plan.workspace_bytes = static_cast<size_t>(bytes);
  });
}

void run_sdpa_plan(const SdpaPlan& plan, cudnnContext* handle, const SdpaMemory& memory, void* workspace) {
  named(plan.key, "", [&] {
    std::unordered_map<int64_t, void*> operands = {{kQ, memory.q},
                                                   {kK, memory.k},
                                                   {kV, memory.v},
                                                   {kY, memory.y},
                                                   {kLse, memory.lse},
                                                   {kQueryLengths, memory.query_lengths},
                                                   {kKeyLengths, memory.key_lengths},
                                                   {kDy, memory.dy},
                                                   {kDq, memory.dq},
                                                   {kDk, memory.dk},
                                                   {kDv, memory.dv}};
    check(graph_of(plan).execute(handle, operands, workspace));
  });
}

}  // namespace engine
