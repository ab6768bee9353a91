#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "engine/tensor.h"
#include "io/descriptor.h"
#include "io/file_calls.h"
#include "io/text.h"

namespace engine {
namespace {

constexpr size_t kChunk = size_t{1} << 20;  // bytes read back at a time

// One attempt at writing one file. Everything is done relative to the opened folder.
class AtomicWrite {
 public:
  AtomicWrite(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {
    name_ = std::filesystem::path(path).filename().string();
  }
  ~AtomicWrite() {
    if (!temporary_.empty()) ::unlinkat(folder_.get(), temporary_.c_str(), 0);
  }
  AtomicWrite(const AtomicWrite&) = delete;
  AtomicWrite& operator=(const AtomicWrite&) = delete;

  void run() {
    open_folder();
    create();
    reserve();
    write();
    require(retry([&] { return file_calls().fsync(file_.get()); }) == 0, "flushing the file");
    require(file_.close(), "closing the file");
    read_back();
    require(file_calls().renameat(folder_.get(), temporary_.c_str(), folder_.get(), name_.c_str()) == 0,
            "renaming the file");
    temporary_.clear();
    renamed_ = true;
    // EINVAL: a file system whose folders cannot be flushed.
    require(retry([&] { return file_calls().fsync(folder_.get()); }) == 0 || errno == EINVAL, "flushing the folder");
  }

 private:
  // Throws for the step that has just set errno.
  void require(bool succeeded, const char* step) const {
    if (!succeeded) fail(step, std::generic_category().message(errno));
  }

  [[noreturn]] void fail(const char* step, const std::string& reason) const {
    struct stat status;
    const bool old_exists = ::lstat(path_.c_str(), &status) == 0;
    const char* kept = renamed_     ? "the new file is there, but a power cut may undo it"
                       : old_exists ? "what was there is unchanged"
                                    : "no file was left behind";
    throw Error(concat("cannot write '", escaped(path_), "' (", bytes_.size(), " bytes): ", step, " failed (", reason,
                       "); ", kept),
                exit_code::kStorage);
  }

  void open_folder() {
    const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    const char* name = folder.empty() ? "." : folder.c_str();
    require(folder_.open(retry([&] { return ::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC); })),
            "opening the folder");
  }

  void create() {
    static std::atomic<uint32_t> counter = 0;
    for (int attempt = 0; attempt < 1000; ++attempt) {
      const std::string name = concat(kTemporaryPrefix, ::getpid(), "-", counter++);
      const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
      if (file_.open(retry([&] { return ::openat(folder_.get(), name.c_str(), flags, 0644); }))) {
        temporary_ = name;
        return;
      }
      if (errno != EEXIST) break;
    }
    require(false, "creating a temporary file");
  }

  void reserve() {
    if (bytes_.empty()) return;
    int error = 0;
    do {
      error = ::posix_fallocate(file_.get(), 0, static_cast<off_t>(bytes_.size()));
    } while (error == EINTR);
    // A file system that cannot reserve space says so with these; there the writing itself notices a full disk.
    if (error != 0 && error != EOPNOTSUPP && error != EINVAL)
      fail("reserving space", std::generic_category().message(error));
  }

  void write() {
    for (size_t done = 0; done < bytes_.size();) {
      const ssize_t count =
          retry([&] { return file_calls().write(file_.get(), bytes_.data() + done, bytes_.size() - done); });
      require(count >= 0, "writing");
      if (count == 0) fail("writing", "nothing more is accepted");
      done += static_cast<size_t>(count);
    }
  }

  // From the device where possible: the pages in memory are dropped first.
  void read_back() {
    const int flags = O_RDONLY | O_CLOEXEC;
    require(file_.open(retry([&] { return ::openat(folder_.get(), temporary_.c_str(), flags); })), "opening it again");
    ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED);
    std::vector<char> chunk(std::min(kChunk, bytes_.size() + 1));
    size_t done = 0;
    for (;;) {
      const ssize_t count = retry([&] { return file_calls().read(file_.get(), chunk.data(), chunk.size()); });
      require(count >= 0, "reading it back");
      if (count == 0) break;
      const auto size = static_cast<size_t>(count);
      if (size > bytes_.size() - done || std::memcmp(chunk.data(), bytes_.data() + done, size) != 0)
        fail("reading it back", concat("other bytes came back near byte ", done));
      done += size;
    }
    if (done != bytes_.size()) fail("reading it back", concat("only ", done, " bytes came back"));
  }

  std::string path_, name_, temporary_;
  std::string_view bytes_;
  Descriptor folder_, file_;
  bool renamed_ = false;
};

}  // namespace

FileCalls& file_calls() {
  static FileCalls calls = {::write, ::read, ::fsync, ::renameat};
  return calls;
}

void write_file_atomically(const std::string& path, std::string_view bytes) { AtomicWrite(path, bytes).run(); }

}  // namespace engine
