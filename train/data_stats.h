// engine_data stats: the mean and deviation of a data set's pixels, and how long its videos are.
#pragma once

#include <array>
#include <cstdint>

#include "train/data_tools.h"
#include "train/options.h"

namespace engine {

struct DataStatsOptions {
  DataChoice data;
  std::string part = "train";  // "train", "val", "test" or "all"
  int frames = 8;              // of each clip, spread evenly
  FrameSize size;              // that they are scaled to; 0 x 0: as they are
  bool json = false;
};

// Sums over pixels, exact whatever the order: of R, G and B, values 0..255.
struct PixelSums {
  uint64_t pixels = 0;
  std::array<uint64_t, 3> sum{}, squares{};
  std::array<std::array<uint64_t, 16>, 3> histogram{};  // of values v / 16

  void add(std::span<const uint8_t> rgb);
  void add(const PixelSums& other);
  // Mean and deviation (of the whole, divided by N) of values 0..1.
  Normalization normalization() const;
};

// Prints the figures on stdout. Clips that cannot be read are told on stderr, and then the result is kData.
int tell_stats(const DataStatsOptions& options);

Subcommand declare_data_stats(CLI::App& program);

}  // namespace engine
