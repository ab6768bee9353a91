// How much memory a training takes, told before its first step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace engine {

// Bytes.
struct MemoryPlan {
  int64_t weights = 0;    // with the f32 masters of bf16 ones, and with averages
  int64_t gradients = 0;  // of trained weights
  int64_t optimizer = 0;
  // What a step holds most beside these: per clip, and whatever the number of clips.
  int64_t per_clip = 0, per_step = 0;
  int64_t clips = 0;   // of a batch
  int64_t loader = 0;  // LoaderMemory::total(); not in the device's memory
  // The largest tensors that ops read in a forward pass, each of one clip, the largest first: three at most, of three
  // sizes.
  struct LargeTensor {
    std::string op;
    Shape shape;
    bool operator==(const LargeTensor&) const = default;
  };
  std::vector<LargeTensor> largest{};
  int64_t free = 0;  // where the network is; 0: not known
  // How much memory a process takes for each byte of activations that is in use at once. On the CPU there are gaps
  // between the blocks in use: 1.25 to 1.35 were measured (sora-cnn, sora-serial and sora-fusion, 16 clips).
  double kept = 1;
  int64_t activations() const { return per_step + clips * per_clip; }  // in use at once
  int64_t taken() const { return static_cast<int64_t>(kept * static_cast<double>(activations())); }
  int64_t total() const { return weights + gradients + optimizer + loader + taken(); }
  bool fits() const { return free == 0 || total() <= free; }
  // The most clips that fit, 0 where not one does; as many as there are where nothing is known.
  int64_t fitting_clips() const;
};

// For a network that is to be trained with these options on clips of its preprocessing. A copy of the network makes a
// forward and a backward pass with one clip and with two, on the CPU in f32, in which nothing is computed, and which
// tell what they hold at most; bf16 takes half of that.
MemoryPlan plan_training(const ModelFile& description, const TrainerOptions& options, int64_t clips, int64_t loader);

// "weights 4.4 MiB, gradients 4.4 MiB, ... = 97.1 MiB of 3.2 GiB that are free".
std::string to_text(const MemoryPlan& plan);
// "the largest tensors, of each clip: conv2d's input (4,64,64,128) 8.0 MiB, ..."; empty where none are known.
std::string largest_tensors(const MemoryPlan& plan);
// What to do where it does not fit, in a clause: "try --batch 12 --accumulate 3"; half a batch where it should have.
std::string advice(const MemoryPlan& plan, int64_t accumulate);

}  // namespace engine
