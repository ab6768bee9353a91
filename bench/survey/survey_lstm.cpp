#include <cudnn.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/compare/measure.h"
#include "bench/survey/survey.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/cuda/check.h"

namespace engine::bench {
namespace {

struct Size {
  int batch, steps, inputs, hidden;
};
constexpr Size kSizes[] = {{8, 16, 256, 256},   {32, 16, 256, 256},  {32, 64, 512, 512},
                           {128, 16, 512, 512}, {8, 16, 1024, 1024}, {32, 16, 1024, 1024}};

struct Type {
  const char* name;
  DType dtype;  // of the engine's tensors; f16 has none
  cudnnDataType_t data, math;
  cudnnMathType_t tensor_cores;
};
constexpr Type kTypes[] = {{"f32", DType::f32, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH},
                           {"tf32", DType::f32, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH},
                           {"bf16", DType::bf16, CUDNN_DATA_BFLOAT16, CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH},
                           {"f16", DType::bf16, CUDNN_DATA_HALF, CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH}};

struct Algorithm {
  const char* name;
  cudnnRNNAlgo_t algorithm;
};
constexpr Algorithm kAlgorithms[] = {{"standard", CUDNN_RNN_ALGO_STANDARD},
                                     {"persistent static", CUDNN_RNN_ALGO_PERSIST_STATIC},
                                     {"persistent dynamic", CUDNN_RNN_ALGO_PERSIST_DYNAMIC},
                                     {"persistent small h", CUDNN_RNN_ALGO_PERSIST_STATIC_SMALL_H}};

template <class T, auto kCreate, auto kDestroy>
struct Descriptor {
  T handle{};
  Descriptor() { ENGINE_CUDA(kCreate(&handle)); }
  ~Descriptor() { kDestroy(handle); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

// One layer, one direction, two biases, no dropout, through cuDNN's RNN interface.
class CudnnLstm {
 public:
  CudnnLstm(CudaContext& ctx, const Size& size, const Type& type, cudnnRNNAlgo_t algorithm) : ctx_(ctx) {
    const auto elements = [&](int width) { return static_cast<size_t>(size.batch) * static_cast<size_t>(width); };
    const size_t wide = type.data == CUDNN_DATA_FLOAT ? 4 : 2;
    ENGINE_CUDA(cudnnSetDropoutDescriptor(dropout_.handle, ctx.cudnn(), 0, nullptr, 0, 0));
    ENGINE_CUDA(cudnnSetRNNDescriptor_v8(rnn_.handle, algorithm, CUDNN_LSTM, CUDNN_RNN_DOUBLE_BIAS,
                                         CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, type.data, type.math,
                                         type.tensor_cores, size.inputs, size.hidden, size.hidden, 1, dropout_.handle,
                                         CUDNN_RNN_PADDED_IO_ENABLED));
    const std::vector<int> lengths(static_cast<size_t>(size.batch), size.steps);
    float fill = 0;
    const auto sequence = [&](cudnnRNNDataDescriptor_t descriptor, int width) {
      ENGINE_CUDA(cudnnSetRNNDataDescriptor(descriptor, type.data, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, size.steps,
                                            size.batch, width, lengths.data(), &fill));
    };
    sequence(x_.handle, size.inputs);
    sequence(y_.handle, size.hidden);
    const int state[] = {1, size.batch, size.hidden}, strides[] = {size.batch * size.hidden, size.hidden, 1};
    ENGINE_CUDA(cudnnSetTensorNdDescriptor(state_.handle, type.data, 3, state, strides));
    ENGINE_CUDA(cudnnGetRNNWeightSpaceSize(ctx.cudnn(), rnn_.handle, &weight_bytes_));
    ENGINE_CUDA(cudnnGetRNNTempSpaceSizes(ctx.cudnn(), rnn_.handle, CUDNN_FWD_MODE_TRAINING, x_.handle, &work_bytes_,
                                          &reserve_bytes_));
    const auto steps = static_cast<size_t>(size.steps);
    x = memory(elements(size.inputs) * steps * wide), y = memory(elements(size.hidden) * steps * wide);
    dx = memory(elements(size.inputs) * steps * wide), dy = memory(elements(size.hidden) * steps * wide);
    weights = memory(weight_bytes_), dweights = memory(weight_bytes_);
    work = memory(work_bytes_), reserve = memory(reserve_bytes_);
    // The lengths on the device, which cuDNN still takes with equal sequences.
    const Tensor on_device = Tensor::empty({(size.batch + 1) / 2}, DType::i64, kCuda);
    ENGINE_CUDA(cudaMemcpyAsync(on_device.memory(), lengths.data(), lengths.size() * sizeof(int),
                                cudaMemcpyHostToDevice, ctx.stream()));
    ENGINE_CUDA(cudaStreamSynchronize(ctx.stream()));
    lengths_ = on_device;
  }

  void forward() const {
    ENGINE_CUDA(cudnnRNNForward(ctx_.cudnn(), rnn_.handle, CUDNN_FWD_MODE_TRAINING, lengths(), x_.handle, x.memory(),
                                y_.handle, y.memory(), state_.handle, nullptr, nullptr, state_.handle, nullptr, nullptr,
                                weight_bytes_, weights.memory(), work_bytes_, work.memory(), reserve_bytes_,
                                reserve.memory()));
  }
  void backward() const {
    ENGINE_CUDA(cudnnRNNBackwardData_v8(ctx_.cudnn(), rnn_.handle, lengths(), y_.handle, y.memory(), dy.memory(),
                                        x_.handle, dx.memory(), state_.handle, nullptr, nullptr, nullptr, state_.handle,
                                        nullptr, nullptr, nullptr, weight_bytes_, weights.memory(), work_bytes_,
                                        work.memory(), reserve_bytes_, reserve.memory()));
    ENGINE_CUDA(cudnnRNNBackwardWeights_v8(ctx_.cudnn(), rnn_.handle, CUDNN_WGRAD_MODE_ADD, lengths(), x_.handle,
                                           x.memory(), state_.handle, nullptr, y_.handle, y.memory(), weight_bytes_,
                                           dweights.memory(), work_bytes_, work.memory(), reserve_bytes_,
                                           reserve.memory()));
  }

 private:
  static constexpr Device kCuda{DeviceType::cuda, 0};
  // The bytes of bf16 values near 1/100 are ordinary numbers in f32 and f16, too.
  static Tensor memory(size_t bytes) {
    Random random(bytes, 1);
    const Tensor values = normal({static_cast<int64_t>(bytes / 2 + 1)}, 0, 0.01, random, DType::bf16);
    return values.to(kCuda);
  }
  const int32_t* lengths() const { return static_cast<const int32_t*>(lengths_.memory()); }

  CudaContext& ctx_;
  Descriptor<cudnnRNNDescriptor_t, cudnnCreateRNNDescriptor, cudnnDestroyRNNDescriptor> rnn_;
  Descriptor<cudnnDropoutDescriptor_t, cudnnCreateDropoutDescriptor, cudnnDestroyDropoutDescriptor> dropout_;
  Descriptor<cudnnRNNDataDescriptor_t, cudnnCreateRNNDataDescriptor, cudnnDestroyRNNDataDescriptor> x_, y_;
  Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor> state_;
  size_t weight_bytes_ = 0, work_bytes_ = 0, reserve_bytes_ = 0;
  Tensor x, y, dx, dy, weights, dweights, work, reserve, lengths_;
};

void print(const Size& size, const char* type, const std::string& what, double forward, double both) {
  std::cout << nlohmann::json{{"survey", "lstm"},       {"batch", size.batch},   {"steps", size.steps},
                              {"inputs", size.inputs},  {"hidden", size.hidden}, {"precision", type},
                              {"implementation", what}, {"forward_ms", forward}, {"forward_backward_ms", both}}
                   .dump()
            << std::endl;
}

Timing time_one(Device device, const std::function<void(int64_t set)>& call) {
  return time_calls(device, work_on_sets(device, true, 1, call), 1, 0.2);
}

void time_ours(const Size& size, const Type& type) {
  Random random(1, 1);
  const Device device{DeviceType::cuda, 0};
  const auto made = [&](const Shape& shape) {
    const Tensor x = normal(shape, 0, 0.05, random, type.dtype).to(device);
    x.set_requires_grad();
    return x;
  };
  const int64_t rows = 4 * int64_t{size.hidden};
  const std::vector<Tensor> t = {made({size.batch, size.steps, size.inputs}), made({rows, size.inputs}),
                                 made({rows, size.hidden}), made({rows}), made({rows})};
  const Tensor dy = made({size.batch, size.steps, size.hidden}).detach();
  const auto run = [&] { return lstm(t[0], t[1], t[2], t[3], t[4])[0]; };
  const Timing forward = time_one(device, [&](int64_t) { run(); });
  const Timing both = time_one(device, [&](int64_t) {
    run().backward(dy);
    for (const Tensor& each : t) each.zero_grad();  // it lies in the recording's memory
  });
  print(size, type.name, "engine", forward.median, both.median);
}

}  // namespace

void survey_lstm(CudaContext& ctx) {
  const Device device{DeviceType::cuda, ctx.index()};
  for (const Size& size : kSizes) {
    for (const Type& type : kTypes) {
      set_f32_products(type.name == std::string("tf32") ? F32Products::tf32 : F32Products::strict);
      if (type.data != CUDNN_DATA_HALF) time_ours(size, type);
      for (const Algorithm& each : kAlgorithms) {
        try {
          const CudnnLstm layer(ctx, size, type, each.algorithm);
          const Timing forward = time_one(device, [&](int64_t) { layer.forward(); });
          const Timing both = time_one(device, [&](int64_t) { layer.forward(), layer.backward(); });
          print(size, type.name, each.name, forward.median, both.median);
        } catch (const Error& error) {  // most algorithms take some sizes only
          std::cout << nlohmann::json{{"survey", "lstm"},
                                      {"hidden", size.hidden},
                                      {"precision", type.name},
                                      {"implementation", each.name},
                                      {"refused", error.what()}}
                           .dump()
                    << std::endl;
        }
      }
    }
  }
  set_f32_products(F32Products::strict);
}

}  // namespace engine::bench
