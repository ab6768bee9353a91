#include "layers/models/sora_video.h"

#include "layers/models/registry.h"
#include "layers/models/sora_cnn.h"

namespace engine::layers {
namespace {

std::shared_ptr<FrameModel> frame_model(const ModelOptions& options, Random& random, const SoraSize& size) {
  ModelOptions frames = options;
  frames.outputs = 0;
  frames.seed = random.bits();  // other draws than this model's own
  frames.size = frames.backbone = "";
  if (!options.backbone.empty()) return make_frame_model(options.backbone, frames);
  return std::make_shared<SoraCnn>(frames, random, size.cnn);
}

}  // namespace

const SoraSize& sora_size(const std::string& name) {
  static const SoraSize sizes[] = {
      {"tiny", {16, 32, 64}, 64, 2, 1}, {"small", {32, 64, 128}, 128, 4, 2}, {"base", {64, 128, 256}, 256, 8, 4}};
  std::string known;
  for (const SoraSize& size : sizes) {
    if (size.name == (name.empty() ? "small" : name)) return size;
    known += (known.empty() ? "" : ", ") + size.name;
  }
  throw Error(concat("model size '", name, "': no such size; there are: ", known), exit_code::kUsage);
}

SoraEmbedding::SoraEmbedding(int64_t inputs, int64_t features, Random& random) {
  content_ = add_child("content", std::make_shared<Linear>(inputs, features, random));
  content_norm_ = add_child("content_norm", std::make_shared<LayerNorm>(features));
  // Without a bias: in the first frame there is no change, and the norm of a small bias would have a steep gradient.
  change_ = add_child("change", std::make_shared<Linear>(inputs, features, random, Linear::Options{.bias = false}));
  change_norm_ = add_child("change_norm", std::make_shared<LayerNorm>(features));
}

Tensor SoraEmbedding::operator()(const Tensor& cells, const Tensor& changes) const {
  const LayerScope here = scope();
  return add((*content_norm_)((*content_)(cells)), (*change_norm_)((*change_)(changes)));
}

SoraVideo::SoraVideo(const char* name, const ModelOptions& options, Random& random, const SoraSize& size)
    : size_(size), name_(name), options_(options), dropout_rate_(options.dropout.value_or(0.1)) {
  const int64_t features = size.features;
  cnn_ = add_child("cnn", frame_model(options, random, size));
  frame_ = add_child("frame", std::make_shared<SoraEmbedding>(kGrid * kGrid * cell_channels(), features, random));
  lstm_ = add_child("lstm", std::make_shared<Lstm>(features, features, random));
}

void SoraVideo::add_head(Random& random) {
  if (options_.outputs == 0) return;
  dropout_ = add_child("dropout", std::make_shared<Dropout>(dropout_rate_));
  head_ = add_child("head", std::make_shared<Linear>(size_.features, options_.outputs, random));
}

TransformerOptions SoraVideo::transformer() const {
  return {.features = size_.features,
          .heads = size_.heads,
          .feed_forward = 4 * size_.features,
          .dropout = dropout_rate_,
          .activation = {Unary::gelu},
          .norm_first = true,
          .layers = size_.layers,
          .final_norm = true};
}

Tensor SoraVideo::grids(const Tensor& clips) {
  ENGINE_CHECK(clips.rank() == 5 && clips.size(4) == options_.channels, name_, ": expected clips (N,T,H,W,",
               options_.channels, "), got ", clips.shape());
  const Tensor grid = adaptive_average_pool2d(cnn_->map(clips.flatten(0, 1)), kGrid, kGrid);
  return grid.reshape({clips.size(0), clips.size(1), kGrid, kGrid, cell_channels()});
}

Tensor SoraVideo::changes(const Tensor& cells) {
  const int64_t frames = cells.size(1);
  const Tensor by_time = permute(cells.flatten(2, 4), {1, 0, 2});
  const Tensor first = Tensor::zeros({1, by_time.size(1), by_time.size(2)}, cells.dtype(), cells.device());
  const Tensor later = sub(by_time.slice(1, frames), by_time.slice(0, frames - 1));
  return permute(concat({first, later}, 0), {1, 0, 2}).reshape(cells.shape());
}

Tensor SoraVideo::states(const Tensor& cells, const Tensor& changes) {
  return (*lstm_)((*frame_)(cells.flatten(2, 4), changes.flatten(2, 4)), {}, {}).y;
}

Tensor SoraVideo::forward(const Tensor& clips) {
  ENGINE_CHECK(head_, name_, ": it was made without a head");
  return (*head_)((*dropout_)(features(clips)));
}

}  // namespace engine::layers
