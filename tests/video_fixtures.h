// Small videos made on the spot with the ffmpeg program. Every frame shows its own number as a row of black and white
// blocks, so a test can tell which frame it got.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/video.h"
#include "tests/temporary_folder.h"

namespace engine::fixtures {

namespace fs = std::filesystem;

inline bool have_ffmpeg() {
  static const bool found = std::system("ffmpeg -version >/dev/null 2>&1") == 0;
  if (!found) MESSAGE("skipped: there is no ffmpeg program");
  if (!video_available()) MESSAGE("skipped: this build has no FFmpeg");
  return found && video_available();
}

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// With the folders that it lies in. Files whose names are enough: finding clips does not open them.
inline void touch(const std::string& path) {
  fs::create_directories(fs::path(path).parent_path());
  write_file(path, "x");
}

inline std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Runs ffmpeg with `arguments`, and `input` on its standard input.
inline void ffmpeg(const std::string& arguments, const std::string& input = {}) {
  FILE* pipe = popen(("ffmpeg -v error -nostats -y " + arguments + " 2>/dev/null").c_str(), "w");
  REQUIRE(pipe != nullptr);
  std::fwrite(input.data(), 1, input.size(), pipe);
  REQUIRE_MESSAGE(pclose(pipe) == 0, "ffmpeg failed: ", arguments);
}

constexpr int kBits = 8;

// Frame `number`, RGB: its number in binary in the upper quarter, a moving gradient below.
inline std::string picture(int number, FrameSize size) {
  std::string rgb(size.bytes(), '\0');
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const bool bit = number >> (x * kBits / size.width) & 1;
      char* pixel = &rgb[static_cast<size_t>(y * size.width + x) * 3];
      const bool upper = y < size.height / 4;
      pixel[0] = static_cast<char>(upper ? 255 * bit : (x * 2 + number * 5) % 256);
      pixel[1] = static_cast<char>(upper ? 255 * bit : (y * 3 + number * 3) % 256);
      pixel[2] = static_cast<char>(upper ? 255 * bit : (x + y) % 256);
    }
  }
  return rgb;
}

// The number that a picture of any size shows.
inline int number_shown(const uint8_t* rgb, FrameSize size) {
  int number = 0;
  for (int bit = 0; bit < kBits; ++bit) {
    const int x = (2 * bit + 1) * size.width / (2 * kBits), y = size.height / 8;
    if (rgb[static_cast<size_t>(y * size.width + x) * 3 + 1] > 127) number |= 1 << bit;
  }
  return number;
}

constexpr FrameSize kSmall{160, 96};

// H.264 with three B-frames in a row and a key frame every twelve.
constexpr const char* kX264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 12 -bf 3 -x264-params b-adapt=0 ";

// A video of `frames` such pictures, 25 a second; `encoding` are ffmpeg's arguments for the output.
inline void make_video(const std::string& path, int frames, const std::string& encoding, FrameSize size = kSmall) {
  std::string input;
  for (int i = 0; i < frames; ++i) input += picture(i, size);
  ffmpeg("-f rawvideo -pix_fmt rgb24 -r 25 -s " + std::to_string(size.width) + "x" + std::to_string(size.height) +
             " -i - " + encoding + " '" + path + "'",
         input);
}

inline std::vector<Frame> decode_all(VideoReader& reader, FrameSize size = {}) {
  std::vector<Frame> frames;
  for (Frame frame; reader.next(frame, size);) frames.push_back(frame);
  return frames;
}

// The code of the Error that `f` throws, and its message; -1 when it throws none.
template <class F>
std::pair<int, std::string> error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {-1, ""};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace engine::fixtures
