// Trains a small network to tell upright stripes from level ones in noise.
#include <iostream>

#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/pool.h"
#include "layers/sequential.h"
#include "train/optimizer.h"
using namespace engine;

int main() {
  Random random(1);
  layers::Sequential model({
      std::make_shared<layers::Conv2d>(1, 8, random, layers::Conv2d::Options{.activation = {Unary::relu}}),
      std::make_shared<layers::GlobalAveragePool>(),
      std::make_shared<layers::Linear>(8, 2, random),
  });
  const ParameterArena arena(model.parameters(), model.buffers());
  Optimizer adam(arena, {});
  for (int step = 1; step <= 200; ++step) {
    const Tensor images = normal({32, 16, 16, 1}, 0.0, 1.0, random);  // (N, H, W, C)
    const Tensor labels = Tensor::zeros({32}, DType::i64);
    for (int n = 0; n < 32; ++n) labels.values<int64_t>()[n] = n % 2;
    for (int i = 0; i < 32 * 16 * 16; ++i)  // label 1: every other column is brighter; label 0: every other row
      images.values<float>()[i] += (i / 256 % 2 ? i : i / 16) % 2 ? 1.0f : -1.0f;

    arena.zero_grad();
    const Tensor loss = cross_entropy(model(images), labels);
    loss.backward();
    adam.begin_step(step, 0.02);  // the learning rate
    adam.update();
    if (step % 50 == 0) std::cout << "step " << step << "  loss " << loss.item() << '\n';
  }
}
