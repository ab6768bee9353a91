#include "io/trim.h"

#include <algorithm>

#include "io/text.h"

namespace engine {
namespace {

class TrimmedSource final : public FrameSource {
 public:
  TrimmedSource(std::unique_ptr<FrameSource> source, int64_t first, int64_t count)
      : source_(std::move(source)), first_(first), count_(count) {}

  int64_t frame_count() const override { return count_; }
  FrameSize size() const override { return source_->size(); }
  double pixel_aspect() const override { return source_->pixel_aspect(); }
  const std::vector<double>& times() const override {
    const std::vector<double>& all = source_->times();
    while (std::ssize(times_) < count_) times_.push_back(all[first() + times_.size()] - all[first()]);
    return times_;
  }
  void read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) override {
    source_->read_frames(shifted(indices), size, rgb);
  }
  void view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) override {
    source_->view_frames(shifted(indices), view, rgb);
  }

 private:
  std::vector<int64_t> shifted(std::span<const int64_t> indices) const {
    std::vector<int64_t> numbers;
    for (const int64_t index : indices) {
      ENGINE_CHECK(index >= 0 && index < count_, "frame ", index, " asked for, but the part of the video has ", count_);
      numbers.push_back(first_ + index);
    }
    return numbers;
  }

  size_t first() const { return static_cast<size_t>(first_); }

  std::unique_ptr<FrameSource> source_;
  int64_t first_, count_;
  mutable std::vector<double> times_;  // empty until asked for
};

}  // namespace

std::unique_ptr<FrameSource> trimmed(std::unique_ptr<FrameSource> source, const Sample& sample) {
  if (sample.begin == 0 && sample.end == 0) return source;
  const std::vector<double>& times = source->times();
  if (times.empty())
    throw Error(concat(escaped(sample.path), ": only videos have times, so that a part from ", sample.begin,
                       " s on can be taken; cut the clip out"),
                exit_code::kData);
  const int64_t last = std::ssize(times) - 1;
  // Frame `last` is shown for about as long as the others.
  const double shown_until = times.back() + (last > 0 ? times.back() / static_cast<double>(last) : 0);
  if (sample.begin > 0 && sample.begin >= shown_until)
    throw Error(concat(escaped(sample.path), ": the clip begins at ", sample.begin, " s, and the video ends at ",
                       shown_until, " s; is it cut out already?"),
                exit_code::kData);
  const int64_t first = std::max<int64_t>(std::ranges::upper_bound(times, sample.begin) - times.begin() - 1, 0);
  int64_t end = std::ssize(times);
  if (sample.end > 0) end = std::ranges::lower_bound(times, sample.end) - times.begin();
  return std::make_unique<TrimmedSource>(std::move(source), first, std::max<int64_t>(end - first, 1));
}

std::unique_ptr<FrameSource> open_clip(const Sample& sample, const VideoIndex* index, const SourceOptions& options) {
  return trimmed(open_frames(sample.path, index, options), sample);
}

}  // namespace engine
