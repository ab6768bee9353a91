// A library for LD_PRELOAD: counts what a program does to the files of one folder, and at one of these calls kills the
// program or lets the call fail. ENGINE_TEST_FAULT="THREADS NTH ERRNO FOLDER": THREADS is `main` or `others`, whose
// calls are counted from 1, all of their threads together; ERRNO 0 kills.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <sstream>
#include <string>

namespace {

struct Fault {
  bool in_main = false;
  int nth = 0, error = 0;
  std::string folder;
};

const Fault& fault() {
  static const Fault one = [] {
    Fault read;
    const char* text = std::getenv("ENGINE_TEST_FAULT");
    std::istringstream words(text != nullptr ? text : "");
    std::string threads;
    words >> threads >> read.nth >> read.error >> std::ws;
    std::getline(words, read.folder);
    read.in_main = threads == "main";
    return read;
  }();
  return one;
}

std::string path_of(int descriptor) {
  char path[4096];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof path);
  return {path, size > 0 ? static_cast<size_t>(size) : 0};
}

// True when this call is to fail, with errno set. Does not return when it is the program's last.
bool fails(const std::string& path) {
  static std::atomic<int> calls{0};
  const Fault& wanted = fault();
  if (wanted.nth == 0 || !path.starts_with(wanted.folder)) return false;
  if ((::syscall(SYS_gettid) == ::getpid()) != wanted.in_main || ++calls != wanted.nth) return false;
  if (wanted.error == 0) ::kill(::getpid(), SIGKILL);
  errno = wanted.error;
  return true;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto real = next<ssize_t(int, const void*, size_t)>("write");
  return fails(path_of(descriptor)) ? -1 : real(descriptor, bytes, count);
}

ssize_t read(int descriptor, void* bytes, size_t count) {
  static const auto real = next<ssize_t(int, void*, size_t)>("read");
  return fails(path_of(descriptor)) ? -1 : real(descriptor, bytes, count);
}

int fsync(int descriptor) {
  static const auto real = next<int(int)>("fsync");
  return fails(path_of(descriptor)) ? -1 : real(descriptor);
}

int close(int descriptor) {
  static const auto real = next<int(int)>("close");
  if (fails(path_of(descriptor))) return real(descriptor), errno = fault().error, -1;
  return real(descriptor);
}

int posix_fallocate(int descriptor, off_t offset, off_t size) {
  static const auto real = next<int(int, off_t, off_t)>("posix_fallocate");
  return fails(path_of(descriptor)) ? errno : real(descriptor, offset, size);
}

int open(const char* path, int flags, ...) {
  static const auto real = next<int(const char*, int, ...)>("open");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return fails(path) ? -1 : real(path, flags, mode);
}

int openat(int folder, const char* name, int flags, ...) {
  static const auto real = next<int(int, const char*, int, ...)>("openat");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return fails(path_of(folder)) ? -1 : real(folder, name, flags, mode);
}

int renameat(int from, const char* name, int to, const char* new_name) {
  static const auto real = next<int(int, const char*, int, const char*)>("renameat");
  return fails(path_of(from)) ? -1 : real(from, name, to, new_name);
}

int unlinkat(int folder, const char* name, int flags) {
  static const auto real = next<int(int, const char*, int)>("unlinkat");
  return fails(path_of(folder)) ? -1 : real(folder, name, flags);
}
}
