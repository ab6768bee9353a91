#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/tensor.h"
#include "io/atomic_file.h"
#include "train/checkpoints.h"
#include "train/html_report.h"

namespace fs = std::filesystem;

namespace engine {

std::string default_run_folder(const std::string& data, const std::string& model) {
  std::error_code ignored;
  fs::path path = fs::weakly_canonical(data, ignored);
  std::string name = path.has_extension() && fs::is_regular_file(path, ignored) ? path.stem() : path.filename();
  if (name.empty()) name = "data";
  const std::string base = "runs/" + name + "-" + model;
  std::string candidate = base;
  for (int number = 2; fs::exists(candidate, ignored); ++number) candidate = base + "-" + std::to_string(number);
  return candidate;
}

RunFolder::RunFolder(const std::string& path, Earlier earlier) : folder_(path) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    throw Error(
        concat("output folder '", folder_, "' cannot be made: ", error.message(), "; choose another with --out"),
        exit_code::kStorage);
  lock();
  if (earlier == Earlier::refuse && holds_a_run()) {
    close(descriptor_);
    throw Error(concat("output folder '", folder_, "' holds a run already; go on with it by --resume ", folder_,
                       ", choose another with --out, or add --force to replace it"),
                exit_code::kUsage);
  }
  remove_unfinished();
}

RunFolder::~RunFolder() {
  std::error_code ignored;
  if (!holds_a_run()) {
    if (!fs::exists(path(kReportFile), ignored)) fs::remove(path("config.toml"), ignored);
    fs::remove(folder_, ignored);  // stays when it holds anything else
  }
  close(descriptor_);
}

bool RunFolder::holds_a_run() const {
  std::error_code ignored;
  return fs::exists(best_model(), ignored) || fs::exists(last_model(), ignored) || !checkpoints_in(folder_).empty();
}

// The lock is on the folder itself and goes with the process.
void RunFolder::lock() {
  descriptor_ = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0)
    throw Error(
        concat("output folder '", folder_, "' cannot be opened: ", std::strerror(errno), "; choose another with --out"),
        exit_code::kStorage);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(descriptor_);
  throw Error(
      concat("output folder '", folder_, "' is in use by another run; wait for it or choose another with --out"),
      exit_code::kRunInUse);
}

void RunFolder::remove_unfinished() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_, ignored))
    if (entry.path().filename().string().starts_with(kTemporaryPrefix)) fs::remove(entry.path(), ignored);
}

void RunFolder::remove_checkpoints() const {
  std::error_code ignored;
  for (const fs::path& checkpoint : checkpoints_in(folder_)) fs::remove(checkpoint, ignored);
}

void RunFolder::write(const std::string& file, const std::string& text) const {
  write_file_atomically(path(file), text);
}

void RunFolder::remove(const std::string& file) const {
  std::error_code ignored;
  fs::remove(path(file), ignored);
}

}  // namespace engine
