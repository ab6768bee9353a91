// Internal to io/: ownership of FFmpeg's objects, without its headers. FFmpeg 5.1 to 7.
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

struct AVCodecContext;
struct AVCodecParameters;
struct AVFormatContext;
struct AVFrame;
struct AVPacket;
struct SwsContext;

namespace engine::av {

struct Release {
  void operator()(AVCodecContext* context) const noexcept;
  void operator()(AVCodecParameters* parameters) const noexcept;
  void operator()(AVFormatContext* context) const noexcept;
  void operator()(AVFrame* frame) const noexcept;
  void operator()(AVPacket* packet) const noexcept;
  void operator()(SwsContext* context) const noexcept;
};
template <class T>
using Owned = std::unique_ptr<T, Release>;

// Both throw kMemory when there is none left.
Owned<AVFrame> make_frame();
Owned<AVPacket> make_packet();

// FFmpeg's sentence for an error code.
std::string error_text(int code);

// Once per process: no FFmpeg line on the user's screen, no single allocation over 1 GiB. Called by whatever opens.
void prepare_library();

// Ends work that makes no progress or is no longer wanted.
class Watch {
 public:
  Watch(double seconds, std::stop_token stop) : limit_(seconds), stop_(std::move(stop)) { restart(); }
  // Progress was made: the time runs afresh.
  void restart() { deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit_); }
  bool ended() const { return stop_.stop_requested() || Clock::now() > deadline_; }
  // Throws when ended() holds: kStopped on request, kData with `path` after the time limit.
  void check(const std::string& path) const;

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::duration<double> limit_;
  std::stop_token stop_;
  Clock::time_point deadline_;
};

}  // namespace engine::av
