// Errors: one sentence that says what, where, why and what to do, and the exit code a program ends with.
#pragma once

#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>

namespace engine {

// Exit codes of every program here; a public contract (see docs/errors.md).
namespace exit_code {
inline constexpr int kOk = 0;
inline constexpr int kUsage = 64;         // bad flag or configuration
inline constexpr int kData = 65;          // bad data beyond the allowed budget
inline constexpr int kNoInput = 66;       // input missing or unreadable
inline constexpr int kNoDevice = 69;      // no usable device, or wrong driver or library
inline constexpr int kInternal = 70;      // a fault of ours
inline constexpr int kMemory = 71;        // host out of memory, threads or descriptors
inline constexpr int kStorage = 74;       // writing failed: no space, read-only, input/output error
inline constexpr int kStopped = 75;       // told to stop by SIGTERM or SIGUSR1, state saved
inline constexpr int kDeviceMemory = 80;  // device out of memory
inline constexpr int kNotFinite = 81;     // loss or gradients not finite
inline constexpr int kCheckpoint = 84;    // checkpoint refused: malformed, damaged or mismatched
inline constexpr int kRunInUse = 85;      // another process uses the run folder
inline constexpr int kInterrupted = 130;  // Ctrl-C, state saved
}  // namespace exit_code

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, int code = exit_code::kInternal)
      : std::runtime_error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

// "a", 3, shape -> "a3(2,4)": everything that has operator<<.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Throws Error with the given parts as its sentence when `condition` does not hold. The sentence names the operation,
// the values that were wrong and what would have been right; it must make sense to somebody who has not read our
// source.
#define ENGINE_CHECK(condition, ...)                        \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      throw ::engine::Error(::engine::concat(__VA_ARGS__)); \
  } while (false)

}  // namespace engine
