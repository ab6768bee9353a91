// The benchmark suite: what the engine does, each by itself, against what this machine can do at most.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/compare/measure.h"
#include "train/ceilings.h"

namespace engine::bench {

struct Suite {
  bool quick = false;  // everything once: shows that it runs, not how fast
  Device device = kCpu;
  DType dtype = DType::f32;  // of inputs and weights
  nlohmann::json shapes;     // bench/compare/workloads*.json
  Ceilings ceilings;
};

// What a benchmark repeats.
struct Work {
  std::function<void()> call;
  int64_t calls = 1;           // that `call` makes
  double flop = 0, bytes = 0;  // of one of these, at least: every operand read once, every result written once
  double items = 0;            // of one of these: clips, frames
  const char* item = "";       // what items are: "clips", "frames"
  double written = 0;          // bytes of one of these that go to or come from files
};

// Adds a benchmark. `make` is called once, before its first repetition, and what it made is let go before the next
// benchmark's is.
void add(const Suite& suite, const std::string& name, std::function<Work()> make);

// case/<op>/<row>/<pass>: the rows of tests/op_cases.h, small and in cache; op/<name>/<pass>: the shapes' ops.
void add_ops(const Suite& suite);
// layer/<name>/<pass>: layers with their weights, in training.
void add_layers(const Suite& suite);
// model/<name>/forward: one clip, in evaluation; model/<name>/step/<clips>: a training step of one, and of several.
void add_models(const Suite& suite);
// loader, decode, checkpoint/save, checkpoint/load, start: from videos that are made for it.
void add_files(const Suite& suite);

}  // namespace engine::bench
