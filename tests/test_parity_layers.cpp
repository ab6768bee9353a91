// Single layers and optimizers against PyTorch's in f64: outputs and gradients in full (tests/parity/README.md).
#include <doctest/doctest.h>

#include "engine/autograd.h"
#include "engine/optimizer_ops.h"
#include "io/torch_weights.h"
#include "layers/conv3d.h"
#include "layers/lstm.h"
#include "layers/norm.h"
#include "layers/transformer.h"
#include "tests/parity/formula.h"

namespace engine::layers {
namespace {

using parity::draws;

constexpr double kSame = 1e-9;

const std::map<std::string, Tensor>& layer_fixtures() {
  static const auto tensors = parity::fixture("layers");
  return tensors;
}

// PyTorch's (N, C, ...) as ours, and back.
Tensor channels_last(const Tensor& x) {
  std::vector<int> axes{0};
  for (int axis = 2; axis < x.rank(); ++axis) axes.push_back(axis);
  axes.push_back(1);
  return permute(x, axes);
}

Tensor channels_first(const Tensor& x) {
  std::vector<int> axes{0, x.rank() - 1};
  for (int axis = 1; axis < x.rank() - 1; ++axis) axes.push_back(axis);
  return permute(x, axes);
}

void check_same(const std::string& name, const Tensor& got) {
  INFO(name);
  const auto found = layer_fixtures().find(name);
  REQUIRE(found != layer_fixtures().end());
  const auto expected = found->second.values<double>(), values = got.values<double>();
  REQUIRE(got.shape() == found->second.shape());
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (values[i] - expected[i]) * (values[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  CHECK(norm > 0);
  CHECK(error <= kSame * kSame * norm);
}

// One layer: its parameters and inputs by the formula; `run` gives the outputs for the inputs, in the given orders.
// `images`: inputs and outputs are (N, C, ...) in PyTorch.
template <class Run>
void check_case(const std::string& name, Module& layer, const std::map<std::string, Shape>& inputs,
                const std::vector<std::string>& outputs, const Run& run, bool images = false) {
  INFO(name);
  layer.to(DType::f64);
  const auto parameters = layer.parameters(), buffers = layer.buffers();
  for (const auto& tensors : {parameters, buffers})
    for (const auto& [key, tensor] : tensors) {
      const Shape shape = to_torch({{key, tensor}})[0].tensor.shape();
      tensor.copy_from(from_torch({{key, parity::parameter(name + "." + key, shape)}})[0].tensor);
    }
  std::map<std::string, Tensor> x;
  for (const auto& [key, shape] : inputs) {
    const Tensor theirs = draws(name + "." + key, shape);
    x[key] = images ? channels_last(theirs) : theirs;
    x[key].set_requires_grad();
  }
  const std::vector<Tensor> y = run(x);
  REQUIRE(y.size() == outputs.size());
  Tensor loss = Tensor::zeros({}, DType::f64);
  for (size_t i = 0; i < y.size(); ++i) {
    const Tensor out = images ? channels_first(y[i]) : y[i];
    check_same(name + "." + outputs[i], out);
    loss = add(loss, sum(mul(out, draws(name + ".seed." + outputs[i], out.shape()))));
  }
  loss.backward();
  for (const auto& [key, input] : x)
    check_same(name + ".grad." + key, images ? channels_first(input.grad()) : input.grad());
  for (const auto& [key, tensor] : parameters)
    check_same(name + ".grad." + key, to_torch({{key, tensor.grad()}})[0].tensor);
  for (const auto& [key, tensor] : buffers) check_same(name + ".buffer." + key, tensor);
}

void check_layer(const std::string& name, Module& layer, const Shape& x_shape, bool images) {
  check_case(
      name, layer, {{"x", x_shape}}, {"y"}, [&](auto& x) { return std::vector{layer(x["x"])}; }, images);
}

}  // namespace

TEST_CASE("convolutions of clips are PyTorch's") {
  Random random(1);
  const std::pair<const char*, std::pair<int64_t, Conv3d::Options>> rows[] = {
      {"full", {6, {.kernel = {3, 2, 3}, .conv = {2, 1, 2, 1, 1, 0}}}},
      {"groups", {6, {.kernel = {2, 3, 2}, .conv = {1, 1, 1, 1, 2, 1, 2, 2, 1, 2}, .bias = false}}},
      {"in_frame", {5, {.kernel = {1, 3, 3}, .conv = {1, 2, 1, 0, 1, 2}}}},
      {"in_time", {5, {.kernel = {3, 1, 1}, .conv = {2, 1, 1, 1, 0, 0}, .bias = false}}},
      {"point", {5, {.kernel = {1, 1, 1}, .conv = {2, 2, 2}}}}};
  for (const auto& [name, row] : rows) {
    Conv3d layer(4, row.first, random, row.second);
    check_layer(concat("conv3d.", name), layer, {2, 4, 5, 6, 7}, true);
  }
}

TEST_CASE("norms are PyTorch's") {
  for (const bool training : {true, false}) {
    BatchNorm batch_norm(5, {.eps = 2e-5, .momentum = 0.3});
    batch_norm.train(training);
    check_layer(training ? "batch_norm.training" : "batch_norm.evaluation", batch_norm, {4, 5, 3, 6}, true);
  }
  LayerNorm layer_norm(13, {.eps = 1e-4});
  check_layer("layer_norm", layer_norm, {3, 4, 13}, false);
  GroupNorm group_norm(3, 12, 1e-4);
  check_layer("group_norm", group_norm, {2, 12, 4, 5}, true);
}

TEST_CASE("adaptive average pooling is PyTorch's: larger, smaller, divisible or not") {
  using Size = std::pair<int64_t, int64_t>;
  for (const auto& [rows, columns] : {Size{7, 7}, Size{4, 4}, Size{5, 3}})
    for (const auto& [height, width] : {Size{1, 2}, Size{5, 9}, Size{20, 21}}) {
      const std::string name = concat("adaptive_average_pool2d.", height, "x", width, "to", rows, "x", columns);
      const Tensor x = channels_last(draws(name + ".x", {2, 3, height, width}));
      x.set_requires_grad();
      const Tensor y = channels_first(adaptive_average_pool2d(x, rows, columns));
      check_same(name + ".y", y);
      y.backward(draws(name + ".seed.y", y.shape()));
      check_same(name + ".grad.x", channels_first(x.grad()));
    }
}

TEST_CASE("two layers of LSTM in both directions are PyTorch's, with states and with lengths") {
  Random random(1);
  const LstmOptions options{.layers = 2, .bidirectional = true};
  Lstm with_states(5, 4, random, options), with_lengths(5, 4, random, options);
  const auto outputs = [](const Lstm::Result& result) { return std::vector{result.y, result.h, result.c}; };
  check_case("lstm.states", with_states, {{"x", {3, 6, 5}}, {"h0", {4, 3, 4}}, {"c0", {4, 3, 4}}}, {"y", "h", "c"},
             [&](auto& x) { return outputs(with_states(x["x"], x["h0"], x["c0"])); });
  const Tensor lengths = Tensor::from<int64_t>({6, 1, 4});
  check_case("lstm.lengths", with_lengths, {{"x", {3, 6, 5}}}, {"y", "h", "c"},
             [&](auto& x) { return outputs(with_lengths(x["x"], {}, {}, lengths)); });
}

TEST_CASE("attention and the Transformer's layers are PyTorch's") {
  Random random(1);
  const AttentionMask causal{.causal = true}, padding{.lengths = Tensor::from<int64_t>({6, 2, 5})};
  const Shape sequence{3, 6, 8}, short_sequence{3, 4, 8};
  const std::pair<const char*, AttentionMask> rows[] = {{"self", {}}, {"causal", causal}, {"padding", padding}};
  for (const auto& [name, mask] : rows) {
    MultiHeadAttention layer(8, 2, random);
    check_case(concat("attention.", name), layer, {{"x", sequence}}, {"y"},
               [&, mask = mask](auto& x) { return std::vector{layer(x["x"], mask)}; });
  }
  for (const bool pads : {false, true}) {
    MultiHeadAttention layer(8, 2, random);
    check_case(pads ? "attention.cross_padding" : "attention.cross", layer,
               {{"x", short_sequence}, {"memory", sequence}}, {"y"},
               [&](auto& x) { return std::vector{layer(x["x"], x["memory"], pads ? padding : AttentionMask{})}; });
  }
  for (const bool norm_first : {false, true})
    for (const bool gelu : {false, true}) {
      const TransformerOptions options{.features = 8,
                                       .heads = 2,
                                       .feed_forward = 12,
                                       .dropout = 0,
                                       .activation = {gelu ? Unary::gelu : Unary::relu},
                                       .norm_first = norm_first};
      const std::string kind = concat(norm_first ? ".pre." : ".post.", gelu ? "gelu" : "relu");
      TransformerEncoderLayer encoder(options, random), padded(options, random);
      check_case("encoder" + kind, encoder, {{"x", sequence}}, {"y"},
                 [&](auto& x) { return std::vector{encoder(x["x"])}; });
      check_case("encoder_padding" + kind, padded, {{"x", sequence}}, {"y"},
                 [&](auto& x) { return std::vector{padded(x["x"], padding)}; });
      TransformerDecoderLayer decoder(options, random);
      check_case("decoder" + kind, decoder, {{"x", short_sequence}, {"memory", sequence}}, {"y"},
                 [&](auto& x) { return std::vector{decoder(x["x"], x["memory"], causal)}; });
    }
}

TEST_CASE("1,000 steps of Adam and AdamW are PyTorch's") {
  for (const bool decoupled : {false, true}) {
    const std::string name = decoupled ? "adamw" : "adam";
    const Adam p{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.05, .decoupled = decoupled};
    const Tensor x = draws(name + ".x", {13}), m = Tensor::zeros_like(x), v = Tensor::zeros_like(x);
    const Tensor gradients = affine(draws(name + ".gradients", {1000, 13}), 1, 0.25);
    const StepScalars scalars = StepScalars::make(kCpu);
    fill(scalars.learning_rate, 1e-3);
    for (int64_t step = 1; step <= 1000; ++step) {
      fill(scalars.step, static_cast<double>(step));
      adam_update(p, scalars, gradients.slice(step - 1, step).reshape({13}), x, m, v);
    }
    check_same(name + ".x", x);
    check_same(name + ".m", m);
    check_same(name + ".v", v);
  }
}

}  // namespace engine::layers
