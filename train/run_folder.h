// The folder that a training run writes to.
#pragma once

#include <string>

namespace engine {

// runs/<name of data>-<model>, with -2, -3, ... behind it where that exists.
std::string default_run_folder(const std::string& data, const std::string& model);

class RunFolder {
 public:
  // Whether the folder may hold a run.
  enum class Earlier { refuse, accept };
  // Makes the folder where it is missing, keeps other processes out of it and deletes what a killed one left
  // unfinished. Throws Error: kUsage when it holds a model or a checkpoint that it must not; kRunInUse when another
  // process writes to it; kStorage when it cannot be made or written to.
  RunFolder(const std::string& path, Earlier earlier);
  // A folder that got no model, no checkpoint and no report is taken away again.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& folder() const { return folder_; }
  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  std::string best_model() const { return path("best.safetensors"); }
  std::string last_model() const { return path("last.safetensors"); }
  // Puts a whole file there, or throws (kStorage) and leaves what was there.
  void write(const std::string& file, const std::string& text) const;
  // So that a new run cannot be continued from an earlier one's.
  void remove_checkpoints() const;
  // Takes a file of an earlier run away, where there is one.
  void remove(const std::string& file) const;

 private:
  void lock();
  void remove_unfinished() const;
  bool holds_a_run() const;

  std::string folder_;
  int descriptor_ = -1;
};

}  // namespace engine
