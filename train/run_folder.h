// The folder that a training run writes to.
#pragma once

#include <string>

namespace engine {

// runs/<name of data>-<model>, with -2, -3, ... behind it where that exists.
std::string default_run_folder(const std::string& data, const std::string& model);

class RunFolder {
 public:
  // Makes the folder where it is missing, keeps other processes out of it and deletes what a killed one left
  // unfinished. Throws Error: kUsage when it holds a model already and not `force`; kRunInUse when another process
  // writes to it; kStorage when it cannot be made or written to.
  RunFolder(const std::string& path, bool force);
  // A folder that got no model is taken away again.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  std::string best_model() const { return path("best.safetensors"); }
  std::string last_model() const { return path("last.safetensors"); }
  // Puts a whole file there, or throws (kStorage) and leaves what was there.
  void write(const std::string& file, const std::string& text) const;
  // Takes a file of an earlier run away, where there is one.
  void remove(const std::string& file) const;

 private:
  void lock();
  void remove_unfinished() const;

  std::string folder_;
  int descriptor_ = -1;
};

}  // namespace engine
