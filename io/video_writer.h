// Writes H.264 video in an MP4 file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace engine {

struct VideoWriterOptions {
  int crf = 18;  // constant rate factor of x264: 0 (lossless) .. 51 (worst)
  int gop = 0;   // frames from one key frame to the next at most; 0: as x264 has it, 250
};

// The same frames and options give the same bytes (with the same libx264). The file appears under its name only when
// finish() returns; until then it is a hidden sibling, kTemporaryPrefix before the name, which is removed when the
// writer goes unfinished. Pixels become yuv420p, limited range, tagged BT.601 below 720 lines and BT.709 from there on,
// as players assume.
//
// Errors: kUsage for a size, rate or crf out of range, kNoDevice where FFmpeg has no libx264, kStorage when writing
// fails. One thread at a time; different writers may run in different threads.
class VideoWriter {
 public:
  // Width and height in pixels, both even, 16 .. 16384; 1 <= fps <= 1000.
  VideoWriter(std::filesystem::path path, int width, int height, int fps, const VideoWriterOptions& options = {});
  ~VideoWriter();
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  // Appends one frame: height x width x 3 bytes, RGB, row-major.
  void write(std::span<const uint8_t> rgb);
  // Flushes the encoder, closes the file and gives it its name. At least one frame must have been written.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace engine
