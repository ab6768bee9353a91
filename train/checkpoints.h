// The checkpoints in a run's folder: ckpt-<step, 12 digits>.safetensors (train/run_state.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "train/run_state.h"

namespace engine {

// Writes checkpoints while the training goes on, and leaves the newest ones. One thread uses it.
class CheckpointWriter {
 public:
  // In `folder`, which is there; of those that it writes or finds, the newest `keep` stay.
  CheckpointWriter(std::string folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}
  ~CheckpointWriter();  // waits for the one under way

  // Starts to write `file`, whose elements it has read when it returns. Waits for the one before, and throws what went
  // wrong with that: Error (kStorage); `file` is then not written, and what is there stays.
  void write(int64_t step, const TensorFile& file);
  // Waits for the one under way. Throws as write().
  void finish();

 private:
  std::string folder_;
  int64_t keep_;
  std::future<void> pending_;
};

std::string checkpoint_name(int64_t step);
// Newest first; none where the folder cannot be read.
std::vector<std::filesystem::path> checkpoints_in(const std::string& folder);

struct FoundCheckpoint {
  std::string path;
  RunState state;
};

// The newest checkpoint that is whole. One that is damaged is renamed to <name>.bad and told in a line of `report`.
// Nothing when there is none. Throws Error (kNoInput) when one cannot be read at all.
std::optional<FoundCheckpoint> newest_checkpoint(const std::string& folder, std::string& report);

}  // namespace engine
