#include "layers/models/i3d.h"

#include "layers/conv3d.h"
#include "layers/models/parts.h"
#include "layers/norm.h"

namespace engine::layers {
namespace {

// x (N, T, H, W, C) with zeros around it, so that windows padded by (kernel - stride) / 2 on both sides lie where those
// of TensorFlow's "SAME" do: in all max(0, kernel - (size % stride, or stride)) elements, the odd one at the end.
Tensor pad_same(Tensor x, const Space& kernel, const Space& stride) {
  for (int axis = 1; axis <= 3; ++axis) {
    const auto i = static_cast<size_t>(axis - 1);
    const int64_t rest = x.size(axis) % stride[i], all = kernel[i] - (rest > 0 ? rest : stride[i]);
    const int64_t there = (kernel[i] - stride[i]) / 2, before = all / 2 - there, behind = all - all / 2 - there;
    const auto zeros = [&](int64_t count) {
      Shape shape = x.shape();
      shape[axis] = count;
      return Tensor::zeros(shape, x.dtype(), x.device());
    };
    std::vector<Tensor> parts{x};
    if (before > 0) parts.insert(parts.begin(), zeros(before));
    if (behind > 0) parts.push_back(zeros(behind));
    if (parts.size() > 1) x = concat(parts, axis);
  }
  return x;
}

// A convolution, batch norm and ReLU; `plain`: a 1x1x1 convolution with a bias and nothing else.
class Unit : public Module {
 public:
  Unit(int64_t inputs, int64_t outputs, const Space& kernel, const Space& stride, bool plain, Random& random)
      : kernel_(kernel), stride_(stride) {
    Conv3d::Options options{.kernel = kernel, .bias = plain};
    const auto pad = [&](size_t axis) { return (kernel[axis] - stride[axis]) / 2; };
    options.conv = {stride[0], stride[1], stride[2], pad(0), pad(1), pad(2)};
    conv3d_ = add_child("conv3d", std::make_shared<Conv3d>(inputs, outputs, random, options));
    const engine::BatchNorm norm{.eps = 1e-3, .momentum = 0.01};
    if (!plain) bn_ = add_child("bn", std::make_shared<BatchNorm>(outputs, norm, Unary{Unary::relu}));
  }
  std::string describe() const override { return bn_ ? "convolution, batch norm, relu" : "convolution"; }

 protected:
  Tensor forward(const Tensor& x) override {
    const Tensor y = (*conv3d_)(pad_same(x, kernel_, stride_));
    return bn_ ? (*bn_)(y) : y;
  }

 private:
  Space kernel_, stride_;
  std::shared_ptr<Conv3d> conv3d_;
  std::shared_ptr<BatchNorm> bn_;  // null: none
};

std::shared_ptr<Unit> unit(int64_t inputs, int64_t outputs, int64_t kernel, Random& random) {
  return std::make_shared<Unit>(inputs, outputs, Space{kernel, kernel, kernel}, Space{1, 1, 1}, false, random);
}

// Of elements that are not negative: the zeros of pad_same() are no maximum then.
class SamePool : public Module {
 public:
  SamePool(const Space& kernel, const Space& stride) : kernel_(kernel), stride_(stride) {}
  std::string describe() const override {
    return concat("max pooling ", text_of(kernel_, true), ", stride ", text_of(stride_, true));
  }

 protected:
  Tensor forward(const Tensor& x) override {
    const auto pad = [&](size_t axis) { return (kernel_[axis] - stride_[axis]) / 2; };
    return max_pool3d(pad_same(x, kernel_, stride_),
                      {kernel_[0], kernel_[1], kernel_[2], stride_[0], stride_[1], stride_[2], pad(0), pad(1), pad(2)});
  }

 private:
  Space kernel_, stride_;
};

// Four branches, whose channels lie side by side: 1x1x1; 1x1x1 and 3x3x3; the same, narrower; pooling and 1x1x1.
class Mixed : public Module {
 public:
  using Widths = std::array<int64_t, 6>;
  Mixed(int64_t inputs, const Widths& w, Random& random) : pool_({3, 3, 3}, {1, 1, 1}) {
    b0_ = add_child("b0", unit(inputs, w[0], 1, random));
    b1a_ = add_child("b1a", unit(inputs, w[1], 1, random));
    b1b_ = add_child("b1b", unit(w[1], w[2], 3, random));
    b2a_ = add_child("b2a", unit(inputs, w[3], 1, random));
    b2b_ = add_child("b2b", unit(w[3], w[4], 3, random));
    b3b_ = add_child("b3b", unit(inputs, w[5], 1, random));
  }
  std::string describe() const override { return "inception block"; }

 protected:
  Tensor forward(const Tensor& x) override {
    return concat({(*b0_)(x), (*b1b_)((*b1a_)(x)), (*b2b_)((*b2a_)(x)), (*b3b_)(pool_(x))}, 4);
  }

 private:
  SamePool pool_;
  std::shared_ptr<Unit> b0_, b1a_, b1b_, b2a_, b2b_, b3b_;
};

struct MixedRow {
  char letter;
  Mixed::Widths widths;
};
constexpr MixedRow kStage3[] = {{'b', {64, 96, 128, 16, 32, 32}}, {'c', {128, 128, 192, 32, 96, 64}}};
constexpr MixedRow kStage4[] = {{'b', {192, 96, 208, 16, 48, 64}},
                                {'c', {160, 112, 224, 24, 64, 64}},
                                {'d', {128, 128, 256, 24, 64, 64}},
                                {'e', {112, 144, 288, 32, 64, 64}},
                                {'f', {256, 160, 320, 32, 128, 128}}};
constexpr MixedRow kStage5[] = {{'b', {256, 160, 320, 32, 128, 128}}, {'c', {384, 192, 384, 48, 128, 128}}};

}  // namespace

I3d::I3d(const ModelOptions& options, Random& random) : channels_(options.channels) {
  const auto add = [&](const std::string& name, const std::shared_ptr<Module>& layer) {
    layers_.emplace_back(name, add_child(name, layer));
  };
  int64_t channels = 192;
  const auto add_stage = [&](int number, const auto& rows) {
    for (const auto& [letter, w] : rows) {
      add(concat("Mixed_", number, letter), std::make_shared<Mixed>(channels, w, random));
      channels = w[0] + w[2] + w[4] + w[5];
    }
  };
  add("Conv3d_1a_7x7", std::make_shared<Unit>(channels_, 64, Space{7, 7, 7}, Space{2, 2, 2}, false, random));
  add("MaxPool3d_2a_3x3", std::make_shared<SamePool>(Space{1, 3, 3}, Space{1, 2, 2}));
  add("Conv3d_2b_1x1", unit(64, 64, 1, random));
  add("Conv3d_2c_3x3", unit(64, 192, 3, random));
  add("MaxPool3d_3a_3x3", std::make_shared<SamePool>(Space{1, 3, 3}, Space{1, 2, 2}));
  add_stage(3, kStage3);
  add("MaxPool3d_4a_3x3", std::make_shared<SamePool>(Space{3, 3, 3}, Space{2, 2, 2}));
  add_stage(4, kStage4);
  add("MaxPool3d_5a_2x2", std::make_shared<SamePool>(Space{2, 2, 2}, Space{2, 2, 2}));
  add_stage(5, kStage5);
  dropout_ = add_child("dropout", std::make_shared<Dropout>(options.dropout.value_or(0.5)));
  if (options.outputs == 0) return;
  const Space one{1, 1, 1};
  logits_ = add_child("logits", std::make_shared<Unit>(channels, options.outputs, one, one, true, random));
}

Tensor I3d::features(const Tensor& clips) {
  check_input(*this, clips, 5, channels_, 1);
  Tensor x = clips;
  for (const auto& [name, layer] : layers_) {
    x = (*layer)(x);
    if (!name.starts_with("MaxPool")) x = seen(name, x);
  }
  // The mean over each two frames, then over these, as in the original: the first and the last frame weigh half.
  const Pool3d pool{std::min<int64_t>(2, x.size(1)), x.size(2), x.size(3), 1, 1, 1};
  return mean(average_pool3d(x, pool), 1, 3);
}

Tensor I3d::forward(const Tensor& clips) {
  ENGINE_CHECK(logits_, "i3d: it was made without a head");
  const Tensor x = (*dropout_)(features(clips));
  return (*logits_)(x.reshape({x.size(0), 1, 1, 1, x.size(1)})).flatten(1, 4);
}

Tensor inflate(const Tensor& weight, int64_t depth) {
  ENGINE_CHECK(weight.rank() == 4 && depth >= 1, "inflate: expected the weights of a 2-D convolution (K,R,S,C) and a ",
               "depth of 1 at least, got ", weight.shape(), " and ", depth);
  const Tensor part = affine(weight, 1 / static_cast<double>(depth), 0);
  const Tensor frame = part.reshape({part.size(0), 1, part.size(1), part.size(2), part.size(3)});
  return concat(std::vector<Tensor>(static_cast<size_t>(depth), frame), 1);
}

}  // namespace engine::layers
