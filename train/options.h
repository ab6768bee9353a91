// Everything that can be said to engine_train, and the table it is declared in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/clip.h"
#include "train/head.h"
#include "train/optimizer.h"
#include "train/option_table.h"
#include "train/progress.h"
#include "train/recipe.h"
#include "train/schedule.h"

namespace engine {

enum class ClassWeights { none, automatic };
enum class DeviceChoice { automatic, cpu, cuda };
// What products are computed in: f32; f32 with factors rounded to TF32 on tensor cores; bf16 activations and products
// with f32 sums, statistics and master weights.
enum class Precision { automatic, f32, tf32, bf16 };

// Of pixel values 0..1: the mean is taken off, then it is divided by the deviation.
struct Normalization {
  std::array<double, 3> mean{0, 0, 0}, deviation{1, 1, 1};
  bool operator==(const Normalization&) const = default;
};

using CropNames = std::vector<std::pair<std::string, TestCrops>>;
inline const CropNames kCropNames = {{"1", TestCrops::centre}, {"3", TestCrops::three}, {"10", TestCrops::ten}};
using DeviceNames = std::vector<std::pair<std::string, DeviceChoice>>;
inline const DeviceNames kDeviceNames = {
    {"auto", DeviceChoice::automatic}, {"cpu", DeviceChoice::cpu}, {"cuda", DeviceChoice::cuda}};
using PrecisionNames = std::vector<std::pair<std::string, Precision>>;
inline const PrecisionNames kPrecisionNames = {
    {"auto", Precision::automatic}, {"f32", Precision::f32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}};

struct TrainOptions {
  // Data
  std::string data, train_list, val_list, test_list, classes_file;
  double val_fraction = 0.2;
  int64_t split_number = 0;

  // Clips
  std::optional<int64_t> frames;
  int64_t stride = 1;
  std::string sampling = "uniform", input = "rgb";
  std::optional<FrameSize> size;
  Normalization normalize{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
  std::string untagged = "601";
  bool rgb_first = false;
  double fps = 0;
  std::string short_videos = "auto";
  bool sar = false;
  int64_t test_clips = 1;
  TestCrops test_crops = TestCrops::centre;

  // Augmentation
  bool flip = false, random_crop = false;
  std::string flip_swap;  // "a:b"
  double min_scale = 1.0, max_scale = 1.0;
  bool resized_crop = false;
  double min_area = 0.08, max_area = 1.0, min_ratio = 0.75, max_ratio = 1.3333;
  double rotate = 0, brightness = 0, contrast = 0, saturation = 0, hue = 0, erase = 0;
  int64_t temporal_jitter = 0;
  std::string standardize = "after";

  // Model
  std::string model = "sora-cnn";
  Head head = Head::classification;
  std::string model_size, backbone;  // empty: the model's own
  std::string init_from, freeze;
  std::optional<double> dropout;

  // Optimization
  int64_t epochs = 5, max_steps = 0, batch = 8;
  double learning_rate = 1e-3, weight_decay = 0.01, momentum = 0.9;
  OptimizerKind optimizer = OptimizerKind::adamw;
  ScheduleKind schedule = ScheduleKind::cosine;
  std::optional<int64_t> warmup;
  double drop_factor = 0.1, clip_norm = 1.0, label_smoothing = 0.0;
  int64_t drop_every = 1;
  ClassWeights class_weights = ClassWeights::none;
  Recipe recipe;

  // Run
  std::string out, resume;
  std::optional<int64_t> schedule_epochs;
  int64_t checkpoint_steps = 0, keep_checkpoints = 2;
  double checkpoint_minutes = 10;
  int64_t seed = 0;
  int64_t profile = 0;  // steps; 0: train
  std::optional<int64_t> threads, workers;
  std::optional<int64_t> loader_memory;  // bytes
  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::automatic;
  std::string plans;
  bool tune = false;
  ProgressMode progress = ProgressMode::automatic;
  bool json = false, force = false, dry_run = false;
};

// Declares every option; `options` holds the defaults and must outlive the table.
void declare(OptionTable& table, TrainOptions& options);

// Gives every setting that was left to "auto" its value: those of the model, and those of this machine. `source` is the
// size of the data's pictures, 0 x 0 when it is not known; frames are not enlarged.
void resolve(TrainOptions& options, FrameSize source);

// The device that is meant: cuda where it is chosen, or where automatic finds one. Throws Error (exit code 69) where
// cuda is chosen and cannot be used.
Device resolve(DeviceChoice choice);
// bf16 on CUDA and f32 on the CPU where automatic; sets f32_products(). Throws Error (exit code 64) for tf32 on the
// CPU.
DType resolve(Precision precision, Device device);

// "64" or "320x240" (width x height), sides of 8 to 4096.
std::optional<FrameSize> parse_frame_size(const std::string& text);
// "512" or "512M" (MiB), "2G" (GiB), from 1M to 1024G, in bytes.
std::optional<int64_t> parse_memory(const std::string& text);
// "0..1", "-1..1", "imagenet", or "r,g,b/r,g,b": mean and deviation of pixel values 0..1.
std::optional<Normalization> parse_normalization(const std::string& text);
std::string to_text(const Normalization& normalization);

}  // namespace engine
