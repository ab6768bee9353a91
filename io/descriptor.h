// Internal to io/: ownership of a POSIX file descriptor.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace engine {

// Calls a system function again as long as a signal interrupts it.
template <class F>
auto retry(F&& f) {
  for (;;) {
    const auto result = f();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  // Takes what open() returned; false when that was a failure, which errno tells.
  bool open(int value) {
    close();
    value_ = value;
    return value_ >= 0;
  }
  // False when a network file system reports a failed write only now. An interrupted close() has closed.
  bool close() { return value_ < 0 || ::close(std::exchange(value_, -1)) == 0 || errno == EINTR; }
  int get() const { return value_; }

 private:
  int value_ = -1;
};

}  // namespace engine
