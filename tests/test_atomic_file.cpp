// io/atomic_file: a file is there as a whole or not at all, whichever step fails.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "engine/tensor.h"
#include "io/atomic_file.h"
#include "io/file_calls.h"
#include "tests/program_run.h"

using namespace engine;
using namespace std::string_literals;
using program_run::read_text;

namespace {

void put(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

// Longer than what is read back at a time; no two stretches of it are alike.
std::string new_content() {
  std::string bytes;
  for (int i = 0; bytes.size() < (size_t{3} << 20); ++i) bytes += std::to_string(i);
  return bytes;
}

// The message of the storage error that writing `bytes` to `path` gives, without its beginning, which names both.
std::string failure(const std::string& path, const std::string& bytes) {
  try {
    write_file_atomically(path, bytes);
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kStorage);
    const std::string beginning = concat("cannot write '", path, "' (", bytes.size(), " bytes): ");
    const std::string message = error.what();
    CHECK(message.starts_with(beginning));
    return message.substr(std::min(beginning.size(), message.size()));
  }
  return "no error";
}

int made = 0;     // calls of the function under test
std::string log;  // the first letter of every call, in order

// Calls of the writer, replaced for the life of the object.
class Replaced {
 public:
  explicit Replaced(void (*change)(FileCalls&)) {
    made = 0;
    log.clear();
    change(file_calls());
  }
  ~Replaced() { file_calls() = system_; }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;

 private:
  const FileCalls system_ = file_calls();
};

template <int kReason>
int failing(int) {
  errno = kReason;
  return -1;
}

struct Fault {
  void (*plant)(FileCalls&);
  std::string told;
};

const Fault kFaults[] = {
    {[](FileCalls& calls) { calls.write = [](int, const void*, size_t) { return ssize_t{failing<EIO>(0)}; }; },
     "writing failed (Input/output error)"},
    {[](FileCalls& calls) {
       calls.write = [](int file, const void* bytes, size_t count) {
         return made++ == 0 ? ::write(file, bytes, count / 2) : ssize_t{failing<ENOSPC>(0)};
       };
     },
     "writing failed (No space left on device)"},
    {[](FileCalls& calls) { calls.write = [](int, const void*, size_t) { return ssize_t{0}; }; },
     "writing failed (nothing more is accepted)"},
    {[](FileCalls& calls) { calls.fsync = failing<EIO>; }, "flushing the file failed (Input/output error)"},
    {[](FileCalls& calls) {
       calls.read = [](int file, void* bytes, size_t count) {
         return made++ == 0 ? ::read(file, bytes, count) : ssize_t{failing<EIO>(0)};
       };
     },
     "reading it back failed (Input/output error)"},
    {[](FileCalls& calls) {
       calls.read = [](int file, void* bytes, size_t count) {
         const ssize_t got = ::read(file, bytes, count);
         if (made++ == 1) static_cast<char*>(bytes)[got - 1] ^= 1;
         return got;
       };
     },
     "reading it back failed (other bytes came back near byte 1048576)"},
    {[](FileCalls& calls) {
       calls.read = [](int file, void* bytes, size_t count) { return made++ < 2 ? ::read(file, bytes, count) : 0; };
     },
     "reading it back failed (only 2097152 bytes came back)"},
    {[](FileCalls& calls) { calls.renameat = [](int, const char*, int, const char*) { return failing<EIO>(0); }; },
     "renaming the file failed (Input/output error)"},
};

}  // namespace

TEST_CASE("atomic file: puts and replaces a file and leaves nothing else") {
  const TemporaryFolder folder;
  for (const std::string& bytes : {"first"s, ""s, std::string((3 << 20) + 7, 'x')}) {
    write_file_atomically(folder / "file", bytes);
    CHECK(read_text(folder / "file") == bytes);
    CHECK(folder.names() == std::vector{"file"s});
  }
}

TEST_CASE("atomic file: a temporary file that a killed process left is no obstacle") {
  const TemporaryFolder folder;
  std::vector<std::string> left;
  for (int i = 0; i < 200; ++i) {
    left.push_back(folder / concat(kTemporaryPrefix, ::getpid(), "-", i));
    put(left.back(), "left");
  }
  write_file_atomically(folder / "file", "new");
  CHECK(read_text(folder / "file") == "new");
  for (const std::string& name : left) CHECK(read_text(name) == "left");
}

TEST_CASE("atomic file: a step that fails names itself, the reason and what is kept") {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing/file";
  CHECK(failure(missing, "new") == "opening the folder failed (No such file or directory); no file was left behind");
  put(folder / "file", "old");
  const std::string below = folder / "file/below";
  CHECK(failure(below, "new") == "opening the folder failed (Not a directory); no file was left behind");
  CHECK_THROWS_WITH(write_file_atomically("/proc/none/file", "new"),
                    "cannot write '/proc/none/file' (3 bytes): opening the folder failed (No such file or directory); "
                    "no file was left behind");
  std::filesystem::create_directory(folder / "sub");
  CHECK(failure(folder / "sub", "new") == "renaming the file failed (Is a directory); what was there is unchanged");
  CHECK(read_text(folder / "file") == "old");
  CHECK(folder.names().size() == 2);
}

TEST_CASE("atomic file: whichever call fails, the old file stays whole and no other is left") {
  const std::string bytes = new_content();
  for (const auto& [plant, told] : kFaults) {
    CAPTURE(told);
    const TemporaryFolder folder;
    const Replaced calls(plant);
    CHECK(failure(folder / "file", bytes) == told + "; no file was left behind");
    CHECK(folder.names().empty());
    made = 0;
    put(folder / "file", "old");
    CHECK(failure(folder / "file", bytes) == told + "; what was there is unchanged");
    CHECK(read_text(folder / "file") == "old");
    CHECK(folder.names() == std::vector{"file"s});
  }
}

TEST_CASE("atomic file: a folder that cannot be flushed is told, with the new file there") {
  const TemporaryFolder folder;
  put(folder / "file", "old");
  {
    const Replaced calls([](FileCalls& table) {
      table.fsync = [](int file) { return made++ == 0 ? ::fsync(file) : failing<EIO>(file); };
    });
    CHECK(failure(folder / "file", "new") ==
          "flushing the folder failed (Input/output error); the new file is there, but a power cut may undo it");
  }
  CHECK(read_text(folder / "file") == "new");
  CHECK(folder.names() == std::vector{"file"s});
  // A file system whose folders cannot be flushed at all.
  const Replaced calls([](FileCalls& table) {
    table.fsync = [](int file) { return made++ == 0 ? ::fsync(file) : failing<EINVAL>(file); };
  });
  CHECK(failure(folder / "file", "newer") == "no error");
  CHECK(read_text(folder / "file") == "newer");
}

TEST_CASE("atomic file: interrupted and partial calls go on where they were") {
  const TemporaryFolder folder;
  const std::string bytes = new_content();
  const Replaced calls([](FileCalls& table) {
    static constexpr size_t kPart = 100'003;
    table.write = [](int file, const void* from, size_t count) {
      return made++ % 3 == 0 ? failing<EINTR>(0) : ::write(file, from, std::min(count, kPart));
    };
    table.read = [](int file, void* to, size_t count) {
      return made++ % 3 == 0 ? failing<EINTR>(0) : ::read(file, to, std::min(count, kPart));
    };
    table.fsync = [](int file) { return made++ % 3 != 2 ? failing<EINTR>(0) : ::fsync(file); };
  });
  CHECK(failure(folder / "file", bytes) == "no error");
  CHECK((read_text(folder / "file") == bytes));
}

TEST_CASE("atomic file: written, flushed, read back, renamed, folder flushed, in this order") {
  const TemporaryFolder folder;
  const Replaced calls([](FileCalls& table) {
    table.write = [](int file, const void* from, size_t count) { return log += 'w', ::write(file, from, count); };
    table.read = [](int file, void* to, size_t count) { return log += 'r', ::read(file, to, count); };
    table.fsync = [](int file) { return log += 'f', ::fsync(file); };
    table.renameat = [](int from_folder, const char* from, int to_folder, const char* to) {
      return log += 'n', ::renameat(from_folder, from, to_folder, to);
    };
  });
  write_file_atomically(folder / "file", "new");
  CHECK(log == "wfrrnf");  // the second read finds the end
}
