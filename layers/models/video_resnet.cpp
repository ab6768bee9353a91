#include "layers/models/video_resnet.h"

#include "layers/conv3d.h"
#include "layers/models/parts.h"
#include "layers/norm.h"

namespace engine::layers {
namespace {

enum class Step { full, in_frame, factored };  // 3x3x3, 1x3x3, or 1x3x3 and 3x1x1

constexpr Unary kRelu{Unary::relu};
constexpr double kDeviation = 0.01;  // of the linear layer's starting weights

std::shared_ptr<Conv3d> convolution(int64_t inputs, int64_t outputs, const Space& kernel, const Space& stride,
                                    Random& random) {
  Conv3d::Options options{.kernel = kernel, .bias = false};
  options.conv = {stride[0], stride[1], stride[2], kernel[0] / 2, kernel[1] / 2, kernel[2] / 2};
  return std::make_shared<Conv3d>(inputs, outputs, random, options);
}

std::shared_ptr<BatchNorm> norm_relu(int64_t channels) {
  return std::make_shared<BatchNorm>(channels, engine::BatchNorm{}, kRelu);
}

std::shared_ptr<Module> step_of(Step step, int64_t inputs, int64_t middle, int64_t outputs, int64_t stride,
                                Random& random) {
  if (step == Step::full) return convolution(inputs, outputs, {3, 3, 3}, {stride, stride, stride}, random);
  if (step == Step::in_frame) return convolution(inputs, outputs, {1, 3, 3}, {1, stride, stride}, random);
  auto both = std::make_shared<Sequential>();
  both->append(convolution(inputs, middle, {1, 3, 3}, {1, stride, stride}, random));
  both->append(norm_relu(middle));
  both->append(std::make_shared<Fused>());
  both->append(convolution(middle, outputs, {3, 1, 1}, {stride, 1, 1}, random));
  return both;
}

// relu(f(x) + x), f being two steps with batch norm; where f changes the shape, x goes through a 1x1x1 convolution.
// drop_path: the probability of leaving f(x) out.
class Block : public Module {
 public:
  Block(Step step, int64_t inputs, int64_t outputs, int64_t stride, double drop_path, Random& random) {
    const int64_t middle = inputs * outputs * 27 / (inputs * 9 + 3 * outputs);
    conv1_ = add_child("conv1", std::make_shared<Sequential>());
    conv1_->append(step_of(step, inputs, middle, outputs, stride, random));
    conv1_->append(norm_relu(outputs));
    last_step_ = step_of(step, outputs, middle, outputs, 1, random);
    last_norm_ = drop_path > 0 ? std::make_shared<BatchNorm>(outputs) : norm_relu(outputs);
    if (drop_path > 0) drop_path_ = add_child("drop_path", std::make_shared<DropPath>(drop_path));
    add_child("conv2", std::make_shared<Sequential>(std::vector<std::shared_ptr<Module>>{last_step_, last_norm_}));
    if (stride == 1 && inputs == outputs) return;
    downsample_ = add_child("downsample", std::make_shared<Sequential>());
    const Space strides{step == Step::in_frame ? 1 : stride, stride, stride};
    downsample_->append(convolution(inputs, outputs, {1, 1, 1}, strides, random));
    downsample_->append(std::make_shared<BatchNorm>(outputs));
  }
  std::string describe() const override { return "residual block"; }

 protected:
  Tensor forward(const Tensor& x) override {
    const Tensor change = (*last_step_)((*conv1_)(x));
    return residual_relu(change, downsample_ ? (*downsample_)(x) : x, *last_norm_, drop_path_.get());
  }

 private:
  std::shared_ptr<Sequential> conv1_;
  std::shared_ptr<Module> last_step_;
  std::shared_ptr<BatchNorm> last_norm_;
  std::shared_ptr<Sequential> downsample_;  // null: none
  std::shared_ptr<DropPath> drop_path_;     // null: none
};

}  // namespace

VideoResNet::VideoResNet(const ModelOptions& options, Random& random, Kind kind)
    : kind_(kind), channels_(options.channels) {
  stem_ = add_child("stem", std::make_shared<Sequential>());
  if (kind == Kind::r2plus1d) {
    stem_->append(convolution(channels_, 45, {1, 7, 7}, {1, 2, 2}, random));
    stem_->append(norm_relu(45));
    stem_->append(std::make_shared<Fused>());
    stem_->append(convolution(45, 64, {3, 1, 1}, {1, 1, 1}, random));
  } else {
    stem_->append(convolution(channels_, 64, {3, 7, 7}, {1, 2, 2}, random));
  }
  stem_->append(norm_relu(64));
  int64_t inputs = 64;
  for (int i = 0; i < 4; ++i) {
    const Step step = kind == Kind::r2plus1d       ? Step::factored
                      : kind == Kind::mc3 && i > 0 ? Step::in_frame
                                                   : Step::full;
    const int64_t outputs = int64_t{64} << i;
    layers_.push_back(add_child("layer" + std::to_string(i + 1), std::make_shared<Sequential>()));
    const auto drop = [&](int64_t block) { return drop_path_at(options.drop_path, 2 * i + block, 8); };
    layers_.back()->append(std::make_shared<Block>(step, inputs, outputs, i > 0 ? 2 : 1, drop(0), random));
    layers_.back()->append(std::make_shared<Block>(step, outputs, outputs, 1, drop(1), random));
    inputs = outputs;
  }
  scale_convolutions(*this);
  if (options.outputs == 0) return;
  fc_ = add_child("fc", std::make_shared<Linear>(inputs, options.outputs, random));
  scale_linear(*fc_, kDeviation);
}

Tensor VideoResNet::features(const Tensor& clips) {
  check_input(*this, clips, 5, channels_, 1);
  const auto through = [this](const std::shared_ptr<Sequential>& part, const Tensor& x) {
    const auto run = [part](const Tensor& in) { return (*part)(in); };
    return recompute_ ? recomputed(*part, run, x) : run(x);
  };
  Tensor x = through(stem_, clips);
  for (size_t i = 0; i < layers_.size(); ++i) x = seen("layer" + std::to_string(i + 1), through(layers_[i], x));
  return global_average_pool(x);
}

std::string VideoResNet::describe() const {
  return kind_ == Kind::r3d ? "r3d_18" : kind_ == Kind::mc3 ? "mc3_18" : "r2plus1d_18";
}

Tensor VideoResNet::forward(const Tensor& clips) {
  ENGINE_CHECK(fc_, describe(), ": it was made without a head");
  return (*fc_)(features(clips));
}

}  // namespace engine::layers
