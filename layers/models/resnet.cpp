#include "layers/models/resnet.h"

#include <cmath>
#include <numeric>

#include "layers/models/parts.h"

namespace engine::layers {
namespace {

constexpr Unary kRelu{Unary::relu};

std::shared_ptr<Conv2d> convolution(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride, Random& random) {
  Conv2d::Options options{.kernel_h = kernel, .kernel_w = kernel, .bias = false};
  options.conv = {.stride_h = stride, .stride_w = stride, .pad_h = kernel / 2, .pad_w = kernel / 2};
  return std::make_shared<Conv2d>(inputs, outputs, random, options);
}

// relu(f(x) + x), f being two or three convolutions with batch norm; where f changes the shape, x goes through a 1x1
// convolution. drop_path: the probability of leaving f(x) out.
class Block : public Module {
 public:
  Block(int64_t inputs, int64_t width, int64_t stride, bool bottleneck, double drop_path, Random& random) {
    const int64_t outputs = bottleneck ? 4 * width : width;
    const Unary last = drop_path > 0 ? Unary{Unary::affine} : kRelu;
    if (bottleneck) {
      add_step(inputs, width, 1, 1, kRelu, random);
      add_step(width, width, 3, stride, kRelu, random);
      add_step(width, outputs, 1, 1, last, random);
    } else {
      add_step(inputs, width, 3, stride, kRelu, random);
      add_step(width, width, 3, 1, last, random);
    }
    if (drop_path > 0) drop_path_ = add_child("drop_path", std::make_shared<DropPath>(drop_path));
    if (stride == 1 && inputs == outputs) return;
    downsample_ = add_child("downsample", std::make_shared<Sequential>());
    downsample_->append(convolution(inputs, outputs, 1, stride, random));
    downsample_->append(std::make_shared<BatchNorm>(outputs));
  }
  std::string describe() const override { return "residual block"; }

 protected:
  Tensor forward(const Tensor& x) override {
    Tensor y = x;
    for (size_t i = 0; i + 1 < norms_.size(); ++i) y = (*norms_[i])((*convolutions_[i])(y));
    const Tensor change = (*convolutions_.back())(y);
    return residual_relu(change, downsample_ ? (*downsample_)(x) : x, *norms_.back(), drop_path_.get());
  }

 private:
  void add_step(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride, const Unary& activation,
                Random& random) {
    const std::string number = std::to_string(norms_.size() + 1);
    convolutions_.push_back(add_child("conv" + number, convolution(inputs, outputs, kernel, stride, random)));
    norms_.push_back(add_child("bn" + number, std::make_shared<BatchNorm>(outputs, engine::BatchNorm{}, activation)));
  }

  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::vector<std::shared_ptr<BatchNorm>> norms_;
  std::shared_ptr<Sequential> downsample_;  // null: none
  std::shared_ptr<DropPath> drop_path_;     // null: none
};

}  // namespace

ResNet::ResNet(const ModelOptions& options, Random& random, int depth) : depth_(depth), channels_(options.channels) {
  ENGINE_CHECK(depth == 18 || depth == 50, "resnet: expected 18 or 50 layers, not ", depth);
  const bool bottleneck = depth == 50;
  const std::array<int, 4> blocks = bottleneck ? std::array{3, 4, 6, 3} : std::array{2, 2, 2, 2};
  conv1_ = add_child("conv1", convolution(channels_, 64, 7, 2, random));
  bn1_ = add_child("bn1", std::make_shared<BatchNorm>(64, engine::BatchNorm{}, kRelu));
  const int64_t count = std::accumulate(blocks.begin(), blocks.end(), int64_t{0});
  int64_t index = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int64_t width = int64_t{64} << i;
    layers_.push_back(add_child("layer" + std::to_string(i + 1), std::make_shared<Sequential>()));
    for (int block = 0; block < blocks[i]; ++block) {
      const int64_t stride = i > 0 && block == 0 ? 2 : 1;
      layers_[i]->append(std::make_shared<Block>(map_channels_, width, stride, bottleneck,
                                                 drop_path_at(options.drop_path, index++, count), random));
      map_channels_ = bottleneck ? 4 * width : width;
    }
  }
  scale_convolutions(*this);
  if (options.outputs == 0) return;
  fc_ = add_child("fc", std::make_shared<Linear>(map_channels_, options.outputs, random));
  const double bound = 1 / std::sqrt(static_cast<double>(map_channels_));  // PyTorch's, of weight and bias
  for (const auto& [name, tensor] : fc_->parameters()) tensor.copy_from(uniform(tensor.shape(), -bound, bound, random));
}

Tensor ResNet::map(const Tensor& images) {
  const LayerScope here = scope();
  check_input(*this, images, 4, channels_, 1);
  Tensor x = (*bn1_)((*conv1_)(images));
  x = max_pool2d(x, {.kernel_h = 3, .kernel_w = 3, .pad_h = 1, .pad_w = 1});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto part = [layer = layers_[i]](const Tensor& in) { return (*layer)(in); };
    x = seen("layer" + std::to_string(i + 1), recompute_ ? recomputed(*layers_[i], part, x) : part(x));
  }
  return x;
}

Tensor ResNet::forward(const Tensor& clips) {
  ENGINE_CHECK(fc_, describe(), ": it was made without a head");
  return (*fc_)(features(clips));
}

}  // namespace engine::layers
