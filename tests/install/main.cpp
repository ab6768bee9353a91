// Trains a small network to tell upright stripes from level ones in noise.
#include <iostream>

#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/pool2d.h"
#include "layers/sequential.h"
using namespace engine;

int main() {
  Random random(1);
  layers::Sequential model({
      std::make_shared<layers::Conv2d>(1, 8, random, layers::Conv2d::Options{.activation = {Unary::relu}}),
      std::make_shared<layers::GlobalAveragePool>(),
      std::make_shared<layers::Linear>(8, 2, random),
  });
  const ParameterArena arena(model.parameters(), model.buffers());
  for (int step = 0; step <= 200; ++step) {
    const Tensor images = normal({32, 16, 16, 1}, 0.0, 1.0, random);  // (N, H, W, C)
    const Tensor labels = Tensor::zeros({32}, DType::i64);
    for (int n = 0; n < 32; ++n) labels.values<int64_t>()[n] = n % 2;
    for (int i = 0; i < 32 * 16 * 16; ++i)  // every other column is brighter where the label is 1, else every other row
      images.values<float>()[i] += (i / 256 % 2 ? i : i / 16) % 2 ? 1.0f : -1.0f;

    const Tensor loss = cross_entropy(model(images), labels);
    arena.zero_grad();
    loss.backward();
    for (int64_t i = 0; i < arena.trainable_elements(); ++i)
      arena.values().values<float>()[i] -= 0.5f * arena.grads().values<float>()[i];
    if (step % 50 == 0) std::cout << "step " << step << "  loss " << loss.item() << '\n';
  }
}
