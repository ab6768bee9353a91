// Event files, which TensorBoard reads and Weights & Biases can sync. They are records (length, checksum, bytes,
// checksum) of protocol buffer messages; the numbers of the fields are those of event.proto and summary.proto of
// github.com/tensorflow/tensorboard.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/descriptor.h"
#include "io/frame_source.h"

namespace engine {

// A message `Event` without its record around it, of one value at one step. `wall_time` is in seconds since 1970.
std::string scalar_event(double wall_time, int64_t step, std::string_view tag, double value);
// 30 buckets of equal width from the least to the largest value; what is not finite is left out.
std::string histogram_event(double wall_time, int64_t step, std::string_view tag, std::span<const float> values);
// `png` is a whole file.
std::string image_event(double wall_time, int64_t step, std::string_view tag, FrameSize size, std::string_view png);
// Shown as Markdown.
std::string text_event(double wall_time, int64_t step, std::string_view tag, std::string_view text);

// The record that begins every file, and one around an event.
std::string first_event(double wall_time);
std::string event_record(std::string_view event);

// A new event file, to which records are appended whole. One that was never closed is complete up to its last record.
class EventFile {
 public:
  // FOLDER/events.out.tfevents.<seconds since 1970>.<host>.<process>.<number>. Throws Error (kStorage).
  explicit EventFile(const std::string& folder);

  // Each throws Error (kStorage) when the record cannot be written; the file is then as it was before.
  void scalar(int64_t step, std::string_view tag, double value);
  void histogram(int64_t step, std::string_view tag, std::span<const float> values);
  void image(int64_t step, std::string_view tag, FrameSize size, std::string_view png);
  void text(int64_t step, std::string_view tag, std::string_view text);
  const std::string& path() const { return path_; }

 private:
  void append(std::string_view event);

  std::string path_;
  Descriptor file_;
  int64_t bytes_ = 0;  // of the records that are whole
};

}  // namespace engine
