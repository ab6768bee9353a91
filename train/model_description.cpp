#include "train/model_description.h"

#include <fstream>
#include <functional>
#include <iterator>
#include <map>

#include "layers/conv2d.h"
#include "layers/conv3d.h"
#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/lstm.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/position.h"
#include "layers/transformer.h"
#include "train/layer_table.h"

namespace engine {
namespace {

using layers::Module;
using Function = Tensor (*)(const Tensor&);

constexpr Range kCount{.low = 1, .high = 65536}, kExtent{.low = 1, .high = 255}, kPadding{.low = 0, .high = 255};
constexpr Range kProbability{.low = 0, .high = 0.95}, kStack{.low = 1, .high = 64};
constexpr int64_t kMostWeights = int64_t{1} << 30;  // of a layer
constexpr const char* kHead = "head";

Tensor identity(const Tensor& x) { return x; }
Tensor leaky(const Tensor& x) { return leaky_relu(x, 0.01); }
const std::vector<std::pair<std::string, Function>> kFunctions = {
    {"none", identity}, {"relu", relu}, {"gelu", gelu},       {"gelu_tanh", gelu_tanh},
    {"silu", silu},     {"tanh", tanh}, {"sigmoid", sigmoid}, {"leaky_relu", leaky}};

// What comes out of a layer: clips (N,T,H,W,C), sequences (N,T,C) or vectors (N,C).
struct Flow {
  enum Kind { clips, sequences, vectors } kind = clips;
  int64_t channels = 0;
  int64_t rows = 0, columns = 0;  // of clips; 0: as the frames' size says
};
const char* name_of(Flow::Kind kind) {
  return kind == Flow::clips ? "clips" : kind == Flow::sequences ? "a sequence" : "a vector";
}

// Whether a layer of this type gives the map of a convolution, or makes another of it place by place.
bool gives_map(const std::string& type) {
  return type == "conv2d" || type == "conv3d" || type.ends_with("_norm") || type == "activation" || type == "relu" ||
         type == "gelu";
}

// A function, as a layer without parameters.
class Applied : public Module {
 public:
  Applied(std::string words, std::function<Tensor(const Tensor&)> f) : words_(std::move(words)), f_(std::move(f)) {}
  std::string describe() const override { return words_; }

 protected:
  Tensor forward(const Tensor& x) override { return f_(x); }

 private:
  std::string words_;
  std::function<Tensor(const Tensor&)> f_;
};

// x (N, T, ...) through a layer that takes (N T, ...).
Tensor by_frame(Module& layer, const Tensor& x) {
  const Tensor y = layer(x.flatten(0, 1));
  Shape shape{x.size(0), x.size(1)};
  for (int axis = 1; axis < y.rank(); ++axis) shape.push_back(y.size(axis));
  return y.reshape(shape);
}

class DescribedModel : public layers::VideoModel {
 public:
  DescribedModel(const toml::table& file, const std::string& where, const layers::ModelOptions& options);

  Tensor features(const Tensor& clips) override;
  int64_t feature_count() const override { return flow_.channels; }
  std::map<std::string, Shape> flattened_inputs() const override { return flattened_; }
  std::string describe() const override { return concat(steps_.size(), " layers of a description"); }

 protected:
  Tensor forward(const Tensor& clips) override {
    ENGINE_CHECK(head_, describe(), ": it was made without a head");
    return (*head_)(features(clips));
  }

 private:
  struct Kind {
    const char* type;
    std::vector<std::string> keys;  // beside type and name
    void (DescribedModel::*add)(const LayerTable& table);
  };
  static const std::vector<Kind>& kinds();
  void add_layer(const LayerTable& table);

  void expect(const LayerTable& table, std::initializer_list<Flow::Kind> kinds) const;
  void check_weights(const LayerTable& table, double weights) const;
  Function function(const LayerTable& table, const std::string& key, const std::string& otherwise) const;
  // Appends a layer: called with x as it comes or, `frames`, frame by frame.
  void append(std::shared_ptr<Module> layer, bool frames = false);
  void append(const std::string& words, std::function<Tensor(const Tensor&)> f);
  void append_function(Function f, const std::string& name);

  void conv2d(const LayerTable& table);
  void conv3d(const LayerTable& table);
  void batch_norm(const LayerTable& table);
  void layer_norm(const LayerTable& table);
  void group_norm(const LayerTable& table);
  void activation(const LayerTable& table);
  template <bool maximum>
  void pool2d(const LayerTable& table);
  template <bool maximum>
  void pool3d(const LayerTable& table);
  void adaptive_average_pool(const LayerTable& table);
  void global_average_pool(const LayerTable& table);
  void dropout(const LayerTable& table);
  void linear(const LayerTable& table);
  void lstm(const LayerTable& table);
  void transformer_encoder(const LayerTable& table);
  void position(const LayerTable& table);
  void flatten(const LayerTable& table);
  void tokens(const LayerTable& table);
  void mean_over_time(const LayerTable& table);

  struct Step {
    std::string name, place;
    std::function<Tensor(const Tensor&)> apply;
    std::string type;
  };
  layers::ModelOptions options_;
  Random random_;
  Flow flow_;
  Shape flat_;                       // (C,H,W) of the map that the last layer flattened; rank 0: it did not
  std::string type_, name_, place_;  // of the layer that is being added
  std::map<std::string, int> numbers_;
  std::map<std::string, Shape> flattened_;
  std::vector<Step> steps_;
  std::shared_ptr<Module> head_;  // null: none
};

const std::vector<DescribedModel::Kind>& DescribedModel::kinds() {
  using M = DescribedModel;
  static const std::vector<std::string> conv{"outputs",  "kernel", "stride", "padding",
                                             "dilation", "groups", "bias",   "activation"};
  static const std::vector<std::string> pool{"kernel", "stride", "padding"};
  static const std::vector<Kind> all = {
      {"conv2d", conv, &M::conv2d},
      {"conv3d", conv, &M::conv3d},
      {"batch_norm", {"activation"}, &M::batch_norm},
      {"layer_norm", {}, &M::layer_norm},
      {"group_norm", {"groups"}, &M::group_norm},
      {"activation", {"function"}, &M::activation},
      {"relu", {}, &M::activation},
      {"gelu", {}, &M::activation},
      {"max_pool2d", pool, &M::pool2d<true>},
      {"average_pool2d", pool, &M::pool2d<false>},
      {"max_pool3d", pool, &M::pool3d<true>},
      {"average_pool3d", pool, &M::pool3d<false>},
      {"adaptive_average_pool", {"size"}, &M::adaptive_average_pool},
      {"global_average_pool", {}, &M::global_average_pool},
      {"dropout", {"probability"}, &M::dropout},
      {"linear", {"outputs", "bias", "activation"}, &M::linear},
      {"lstm", {"hidden", "layers", "bidirectional", "dropout"}, &M::lstm},
      {"transformer_encoder",
       {"heads", "feed_forward", "layers", "dropout", "activation", "norm_first"},
       &M::transformer_encoder},
      {"position", {}, &M::position},
      {"flatten", {}, &M::flatten},
      {"tokens", {}, &M::tokens},
      {"mean_over_time", {}, &M::mean_over_time},
  };
  return all;
}

DescribedModel::DescribedModel(const toml::table& file, const std::string& where, const layers::ModelOptions& options)
    : options_(options), random_(options.seed, stream_of("weights")), flow_{.channels = options.channels} {
  const LayerTable top(file, where);
  top.check_keys("a model", {"layer"});
  const toml::node* list = top.find("layer");
  if (!list || !list->is_array_of_tables())
    top.refuse(list, "no layers; begin each with a line [[layer]] and its type");
  for (const toml::node& each : *list->as_array()) add_layer(LayerTable(*each.as_table(), where));
  if (options.outputs > 0) {
    place_ = top.place();
    head_ = add_child(kHead, std::make_shared<layers::Linear>(flow_.channels, options.outputs, random_));
  }
}

void DescribedModel::add_layer(const LayerTable& table) {
  std::vector<std::string> types;
  for (const Kind& kind : kinds()) types.emplace_back(kind.type);
  const toml::node* type = table.find("type");
  type_ = table.text("type", "");
  if (!type) table.refuse(nullptr, fmt::format("a layer without a type; add type = one of {}", joined(types)));
  const auto kind = std::ranges::find(types, type_);
  if (kind == types.end())
    table.refuse(type, fmt::format("no such type of layer: '{}'{} (types: {})", type_, did_you_mean(type_, types),
                                   joined(types)));
  const Kind& found = kinds()[static_cast<size_t>(kind - types.begin())];
  std::vector<std::string> keys = found.keys;
  keys.insert(keys.begin(), {"type", "name"});
  table.check_keys(type_, keys);

  name_ = table.text("name", fmt::format("{}_{}", type_, ++numbers_[type_]));
  const auto is_bad = [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-'; };
  if (name_.empty() || std::ranges::any_of(name_, is_bad) || name_ == kHead)
    table.refuse(table.find("name"), "a name is made of letters, digits, _ and -, and is not 'head'");
  if (std::ranges::find(steps_, name_, &Step::name) != steps_.end())
    table.refuse(table.find("name"), fmt::format("two layers are called '{}'; give one another name", name_));
  place_ = table.place();
  const Shape flat = flat_;
  try {
    (this->*found.add)(table);
  } catch (const Error& error) {
    if (error.code() != exit_code::kInternal) throw;
    table.refuse(nullptr, error.what());
  }
  if (flat_ == flat) flat_ = {};
}

Tensor DescribedModel::features(const Tensor& clips) {
  ENGINE_CHECK(clips.rank() == 5 && clips.size(4) == options_.channels, "expected clips (N,T,H,W,", options_.channels,
               "), got ", clips.shape());
  Tensor x = clips;
  bool over_time = false;  // whether a map's frames know of each other
  for (const Step& step : steps_) {
    try {
      x = step.apply(x);
      over_time = over_time || step.type.ends_with("3d");
      if (x.rank() == 5 && gives_map(step.type))
        x = over_time ? seen(step.name, x) : seen(step.name, x.flatten(0, 1)).reshape(x.shape());
    } catch (const Error& error) {
      if (error.code() != exit_code::kInternal) throw;
      throw Error(
          concat(step.place, "layer '", step.name, "' cannot take what comes to it, ", x.shape(), ": ", error.what()),
          exit_code::kUsage);
    }
  }
  if (flow_.kind == Flow::clips) return engine::global_average_pool(x);
  return flow_.kind == Flow::sequences ? mean(x, 1, 1) : x;
}

void DescribedModel::expect(const LayerTable& table, std::initializer_list<Flow::Kind> kinds) const {
  if (std::ranges::find(kinds, flow_.kind) != kinds.end()) return;
  const char* const way = *kinds.begin() == Flow::clips ? "put it before global_average_pool, flatten and tokens"
                                                        : "put global_average_pool, flatten or tokens before it";
  table.refuse(nullptr, fmt::format("{} works on {}, and here comes {}; {}", type_, name_of(*kinds.begin()),
                                    name_of(flow_.kind), way));
}

void DescribedModel::check_weights(const LayerTable& table, double weights) const {
  if (weights > static_cast<double>(kMostWeights))
    table.refuse(nullptr, fmt::format("{} of {:.3g} weights; the most is {}", type_, weights, kMostWeights));
}

Function DescribedModel::function(const LayerTable& table, const std::string& key, const std::string& otherwise) const {
  const std::string word = table.text(key, otherwise);
  std::vector<std::string> words;
  for (const auto& [name, f] : kFunctions) {
    if (name == word) return f;
    words.push_back(name);
  }
  table.refuse(table.find(key),
               fmt::format("{} must be one of {}, not '{}'{}", key, joined(words), word, did_you_mean(word, words)));
}

void DescribedModel::append(std::shared_ptr<Module> layer, bool frames) {
  add_child(name_, layer);
  const auto apply = [layer, frames](const Tensor& x) { return frames ? by_frame(*layer, x) : (*layer)(x); };
  steps_.push_back({name_, place_, apply, type_});
}

void DescribedModel::append(const std::string& words, std::function<Tensor(const Tensor&)> f) {
  append(std::make_shared<Applied>(words, std::move(f)));
}

void DescribedModel::append_function(Function f, const std::string& name) {
  if (f == identity) return;
  Step& step = steps_.back();
  step.apply = [f, before = step.apply](const Tensor& x) { return f(before(x)); };
  add_child(concat(step.name, "-", name), std::make_shared<Applied>(name, f));
}

void DescribedModel::conv2d(const LayerTable& table) {
  expect(table, {Flow::clips});
  const auto outputs = table.whole("outputs", kCount);
  const auto kernel = table.extents<2>("kernel", kExtent, {3, 3});
  const auto stride = table.extents<2>("stride", kExtent, {1, 1});
  const auto padding = table.extents<2>("padding", kPadding, {kernel[0] / 2, kernel[1] / 2});
  const auto dilation = table.extents<2>("dilation", kExtent, {1, 1});
  const auto groups = table.whole("groups", kCount, 1);
  const Function f = function(table, "activation", "none");
  check_weights(table, static_cast<double>(outputs * kernel[0] * kernel[1]) * static_cast<double>(flow_.channels));
  layers::Conv2d::Options options{.kernel_h = kernel[0], .kernel_w = kernel[1], .bias = table.flag("bias", true)};
  options.conv = {stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1], groups};
  if (f == static_cast<Function>(relu)) options.activation = {Unary::relu};
  append(std::make_shared<layers::Conv2d>(flow_.channels, outputs, random_, options), true);
  if (f != static_cast<Function>(relu)) append_function(f, table.text("activation", ""));
  flow_ = {.channels = outputs};
}

void DescribedModel::conv3d(const LayerTable& table) {
  expect(table, {Flow::clips});
  const auto outputs = table.whole("outputs", kCount);
  const auto kernel = table.extents<3>("kernel", kExtent, {3, 3, 3});
  const auto stride = table.extents<3>("stride", kExtent, {1, 1, 1});
  const auto padding = table.extents<3>("padding", kPadding, {kernel[0] / 2, kernel[1] / 2, kernel[2] / 2});
  const auto dilation = table.extents<3>("dilation", kExtent, {1, 1, 1});
  const auto groups = table.whole("groups", kCount, 1);
  const Function f = function(table, "activation", "none");
  check_weights(table,
                static_cast<double>(outputs * kernel[0] * kernel[1] * kernel[2]) * static_cast<double>(flow_.channels));
  layers::Conv3d::Options options{.kernel = kernel, .bias = table.flag("bias", true)};
  options.conv = {stride[0],  stride[1],   stride[2],   padding[0],  padding[1],
                  padding[2], dilation[0], dilation[1], dilation[2], groups};
  if (f == static_cast<Function>(relu)) options.activation = {Unary::relu};
  append(std::make_shared<layers::Conv3d>(flow_.channels, outputs, random_, options));
  if (f != static_cast<Function>(relu)) append_function(f, table.text("activation", ""));
  flow_ = {.channels = outputs};
}

void DescribedModel::batch_norm(const LayerTable& table) {
  const Function f = function(table, "activation", "none");
  append(std::make_shared<layers::BatchNorm>(flow_.channels));
  append_function(f, table.text("activation", ""));
}

void DescribedModel::layer_norm(const LayerTable&) { append(std::make_shared<layers::LayerNorm>(flow_.channels)); }

void DescribedModel::group_norm(const LayerTable& table) {
  append(std::make_shared<layers::GroupNorm>(table.whole("groups", kCount), flow_.channels));
}

void DescribedModel::activation(const LayerTable& table) {
  const std::string word = type_ == "activation" ? table.text("function", "relu") : type_;
  append(word, type_ == "activation" ? function(table, "function", "relu") : function(table, "", type_));
}

template <bool maximum>
void DescribedModel::pool2d(const LayerTable& table) {
  expect(table, {Flow::clips});
  const auto kernel = table.extents<2>("kernel", kExtent, {2, 2});
  const auto stride = table.extents<2>("stride", kExtent, kernel);
  const auto padding = table.extents<2>("padding", kPadding, {0, 0});
  const Pool2d pool{kernel[0], kernel[1], stride[0], stride[1], padding[0], padding[1]};
  if constexpr (maximum)
    append(std::make_shared<layers::MaxPool2d>(pool), true);
  else
    append(std::make_shared<layers::AveragePool2d>(pool), true);
  flow_ = {.channels = flow_.channels};
}

template <bool maximum>
void DescribedModel::pool3d(const LayerTable& table) {
  expect(table, {Flow::clips});
  const auto kernel = table.extents<3>("kernel", kExtent, {2, 2, 2});
  const auto stride = table.extents<3>("stride", kExtent, kernel);
  const auto padding = table.extents<3>("padding", kPadding, {0, 0, 0});
  const Pool3d pool{kernel[0], kernel[1],  kernel[2],  stride[0], stride[1],
                    stride[2], padding[0], padding[1], padding[2]};
  if constexpr (maximum)
    append(std::make_shared<layers::MaxPool3d>(pool));
  else
    append(std::make_shared<layers::AveragePool3d>(pool));
  flow_ = {.channels = flow_.channels};
}

void DescribedModel::adaptive_average_pool(const LayerTable& table) {
  expect(table, {Flow::clips});
  const auto size = table.extents<2>("size", kExtent, {4, 4});
  const auto pool = [size](const Tensor& x) { return adaptive_average_pool2d(x, size[0], size[1]); };
  append(std::make_shared<Applied>(concat("adaptive average pool to ", size[0], "x", size[1]), pool), true);
  flow_ = {.channels = flow_.channels, .rows = size[0], .columns = size[1]};
}

void DescribedModel::global_average_pool(const LayerTable& table) {
  expect(table, {Flow::clips});
  append(std::make_shared<layers::GlobalAveragePool>(), true);
  flow_ = {Flow::sequences, flow_.channels};
}

void DescribedModel::dropout(const LayerTable& table) {
  const double own = table.number("probability", kProbability, 0.5);
  append(std::make_shared<layers::Dropout>(options_.dropout.value_or(own)));
}

void DescribedModel::linear(const LayerTable& table) {
  const auto outputs = table.whole("outputs", kCount);
  const Function f = function(table, "activation", "none");
  check_weights(table, static_cast<double>(outputs) * static_cast<double>(flow_.channels));
  const layers::Linear::Options options{.bias = table.flag("bias", true)};
  append(std::make_shared<layers::Linear>(flow_.channels, outputs, random_, options));
  append_function(f, table.text("activation", ""));
  if (flat_.rank() > 0) flattened_[name_ + ".weight"] = flat_;
  flow_.channels = outputs;
}

void DescribedModel::lstm(const LayerTable& table) {
  expect(table, {Flow::sequences});
  const auto hidden = table.whole("hidden", kCount);
  const layers::LstmOptions options{.layers = table.whole("layers", kStack, 1),
                                    .bidirectional = table.flag("bidirectional", false),
                                    .dropout = table.number("dropout", kProbability, 0)};
  const int64_t directions = options.bidirectional ? 2 : 1;
  check_weights(table, 4.0 * static_cast<double>(hidden) * static_cast<double>(flow_.channels + directions * hidden));
  append(std::make_shared<layers::Lstm>(flow_.channels, hidden, random_, options));
  if (flat_.rank() > 0)
    for (const char* const direction : {"", "_reverse"}) flattened_[concat(name_, ".weight_ih_l0", direction)] = flat_;
  flow_.channels = directions * hidden;
}

void DescribedModel::transformer_encoder(const LayerTable& table) {
  expect(table, {Flow::sequences});
  const std::string word = table.text("activation", "gelu");
  if (word != "gelu" && word != "relu") table.refuse(table.find("activation"), "activation must be gelu or relu");
  const layers::TransformerOptions options{
      .features = flow_.channels,
      .heads = table.whole("heads", kCount, 4),
      .feed_forward = table.whole("feed_forward", {.low = 1, .high = 1e6}, 4 * flow_.channels),
      .dropout = table.number("dropout", kProbability, 0.1),
      .activation = {word == "gelu" ? Unary::gelu : Unary::relu},
      .norm_first = table.flag("norm_first", true),
      .layers = table.whole("layers", kStack, 1),
      .final_norm = table.flag("norm_first", true)};
  check_weights(table, static_cast<double>(flow_.channels) * static_cast<double>(options.feed_forward));
  if (flow_.channels % options.heads != 0)
    table.refuse(table.find("heads"),
                 fmt::format("{} features do not divide into {} heads", flow_.channels, options.heads));
  const auto encoder = add_child(name_, std::make_shared<layers::TransformerEncoder>(options, random_));
  steps_.push_back({name_, place_, [encoder](const Tensor& x) { return (*encoder)(x); }, type_});
}

void DescribedModel::position(const LayerTable& table) {
  expect(table, {Flow::sequences, Flow::clips});
  if (flow_.channels % 2 != 0) table.refuse(nullptr, "position needs an even number of channels");
  append(std::make_shared<layers::PositionalEncoding>());
}

void DescribedModel::flatten(const LayerTable& table) {
  expect(table, {Flow::clips});
  if (flow_.rows == 0)
    table.refuse(nullptr, "flatten needs to know the size of the map; put an adaptive_average_pool before it");
  append("flatten", [](const Tensor& x) { return x.flatten(2, 4); });
  flat_ = {flow_.channels, flow_.rows, flow_.columns};
  flow_ = {Flow::sequences, flow_.channels * flow_.rows * flow_.columns};
}

void DescribedModel::tokens(const LayerTable& table) {
  expect(table, {Flow::clips});
  append("tokens", [](const Tensor& x) { return x.flatten(1, 3); });
  flow_ = {Flow::sequences, flow_.channels};
}

void DescribedModel::mean_over_time(const LayerTable& table) {
  expect(table, {Flow::sequences});
  append("mean over time", [](const Tensor& x) { return mean(x, 1, 1); });
  flow_ = {Flow::vectors, flow_.channels};
}

}  // namespace

bool names_description(const std::string& model) { return model.ends_with(".toml"); }

std::string read_description(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw Error(path + ": no such file, or it cannot be read", exit_code::kNoInput);
  return text;
}

std::shared_ptr<layers::VideoModel> make_described_model(const std::string& text, const std::string& where,
                                                         const layers::ModelOptions& options) {
  if (!options.size.empty() || !options.backbone.empty())
    throw Error(concat(where, ": a described model has no size and no backbone to choose"), exit_code::kUsage);
  try {
    return std::make_shared<DescribedModel>(toml::parse(text), where, options);
  } catch (const toml::parse_error& error) {
    throw Error(place_in(where, error.source()) + std::string(error.description()), exit_code::kUsage);
  }
}

}  // namespace engine
