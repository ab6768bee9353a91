// What sora-serial and sora-fusion are built from: a convolutional network on every frame, whose map is averaged to a
// grid of 4x4 cells, so that where things are stays known; and an LSTM over the grids. With every grid goes its change
// since the frame before: from a small mover's own features, next to those of all that stays, motion is hardly learnt.
//
// They deviate from the article they come from in three points: the LSTM's candidate takes one tanh (there: two, one
// around the other), attention is scaled by 1 / sqrt(d) (there: not at all), and maps are averaged (there: flattened,
// which only fits frames of one size).
#pragma once

#include <array>

#include "layers/dropout.h"
#include "layers/linear.h"
#include "layers/lstm.h"
#include "layers/models/video_model.h"
#include "layers/norm.h"
#include "layers/position.h"
#include "layers/transformer.h"

namespace engine::layers {

struct SoraSize {
  std::string name;
  std::array<int64_t, 3> cnn;  // channels of sora-cnn's convolutions
  int64_t features;            // of tokens, of the LSTM's states and of the representation
  int64_t heads, layers;       // of the encoder, and of the decoder if there is one
};
// tiny, small or base; "": small. Throws Error (usage) with the known names otherwise.
const SoraSize& sora_size(const std::string& name);

// Cells of grids, and their changes, as vectors of `features` numbers: norm(linear(cells)) + norm(linear(changes)), so
// that small changes count as much as what stays.
class SoraEmbedding : public Module {
 public:
  SoraEmbedding(int64_t inputs, int64_t features, Random& random);
  std::string describe() const override { return "SoraEmbedding"; }
  Tensor operator()(const Tensor& cells, const Tensor& changes) const;

 private:
  std::shared_ptr<Linear> content_, change_;
  std::shared_ptr<LayerNorm> content_norm_, change_norm_;
};

class SoraVideo : public VideoModel {
 public:
  int64_t feature_count() const override { return size_.features; }
  bool set_recompute(bool on) override { return cnn_->set_recompute(on); }

 protected:
  static constexpr int64_t kGrid = 4;
  // options.backbone: the network on frames, sora-cnn with the size's channels where it is "".
  SoraVideo(const char* name, const ModelOptions& options, Random& random, const SoraSize& size);
  // Adds the head, if there is to be one; after everything else.
  void add_head(Random& random);
  // Of encoder and decoder: norms in front of the sublayers, which trains without a warm-up, and one behind the last.
  TransformerOptions transformer() const;

  // Clips (N, T, H, W, channels) -> the cells of every frame's grid, (N, T, kGrid, kGrid, cell_channels()).
  Tensor grids(const Tensor& clips);
  int64_t cell_channels() const { return cnn_->map_channels(); }
  // Cells less those of the frame before; 0 in the first frame.
  static Tensor changes(const Tensor& cells);
  // The LSTM's states, (N, T, features), of these cells.
  Tensor states(const Tensor& cells, const Tensor& changes);

  Tensor forward(const Tensor& clips) override;

  const SoraSize size_;

 private:
  const char* name_;
  ModelOptions options_;
  double dropout_rate_;
  std::shared_ptr<FrameModel> cnn_;
  std::shared_ptr<SoraEmbedding> frame_;
  std::shared_ptr<Linear> head_;  // null: none
  std::shared_ptr<Lstm> lstm_;
  std::shared_ptr<Dropout> dropout_;
};

}  // namespace engine::layers
