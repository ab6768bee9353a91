#include <iostream>

#include "engine/random.h"
#include "engine/tensor.h"

int main() {
  engine::Random random(1);
  engine::Tensor x = engine::normal({2, 3}, 0.0, 1.0, random);
  std::cout << x << '\n';
}
