#include "train/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>
#include <vector>

#include "io/atomic_file.h"
#include "io/text.h"

namespace fs = std::filesystem;

namespace engine {
namespace {

constexpr std::string_view kPrefix = "ckpt-", kSuffix = ".safetensors";
constexpr size_t kDigits = 12;

bool is_checkpoint(std::string_view name) {
  if (name.size() != kPrefix.size() + kDigits + kSuffix.size() || !name.starts_with(kPrefix) ||
      !name.ends_with(kSuffix))
    return false;
  return std::ranges::all_of(name.substr(kPrefix.size(), kDigits), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::vector<fs::path> checkpoints_in(const std::string& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (is_checkpoint(entry->path().filename().string())) paths.push_back(entry->path());
  std::ranges::sort(paths, std::greater());
  return paths;
}

std::string checkpoint_name(int64_t step) { return fmt::format("{}{:0{}}{}", kPrefix, step, kDigits, kSuffix); }

CheckpointWriter::~CheckpointWriter() {
  if (pending_.valid()) pending_.wait();
}

void CheckpointWriter::finish() {
  if (pending_.valid()) pending_.get();
}

void CheckpointWriter::write(int64_t step, const TensorFile& file) {
  finish();
  // The bytes are the snapshot: the next step may change the tensors.
  pending_ = std::async(std::launch::async, [this, step, bytes = encode_safetensors(file)] {
    write_file_atomically(fs::path(folder_) / checkpoint_name(step), bytes);
    const std::vector<fs::path> paths = checkpoints_in(folder_);
    std::error_code ignored;
    for (size_t i = static_cast<size_t>(keep_); i < paths.size(); ++i) fs::remove(paths[i], ignored);
  });
}

std::optional<FoundCheckpoint> newest_checkpoint(const std::string& folder, std::string& report) {
  for (const fs::path& path : checkpoints_in(folder)) {
    try {
      return FoundCheckpoint{path,
                             to_run_state(read_safetensors(path), concat("checkpoint '", escaped(path.string()), "'"))};
    } catch (const Error& error) {
      if (error.code() != exit_code::kCheckpoint) throw;
      std::error_code failed;
      fs::rename(path, path.string() + ".bad", failed);
      report += concat("warning: ", error.what(), failed ? "; left out\n" : "; set aside as .bad\n");
    }
  }
  return std::nullopt;
}

}  // namespace engine
