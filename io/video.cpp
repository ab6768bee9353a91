#include "io/video.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "io/decoder.h"
#include "io/index_file.h"
#include "io/packet_reader.h"
#include "io/scan.h"
#include "io/text.h"
#include "io/video_index.h"
#include "io/video_info.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

namespace engine {

namespace {

// A frame that read_frames() was asked for: its packet, where to start decoding for it, and its places in the output.
struct Request {
  int64_t packet;
  int64_t start;
  size_t place;
};

// How much an attempt at a group of frames trusts the file. Every step costs more and needs less to be true; the last
// one does what a sequential pass does. The others are given up at the first sign of damage, because what a decoder
// makes of damage depends on what it has seen before.
enum class Attempt { from_key, from_earlier_key, from_beginning };

bool is_sound(const AVFrame& picture) {
  return picture.decode_error_flags == 0 && !(picture.flags & AV_FRAME_FLAG_CORRUPT);
}

}  // namespace

struct VideoReader::Impl {
  Impl(const std::string& file, const SourceOptions& limits);
  Impl(const std::string& file, IndexedFile known, const SourceOptions& limits);

  av::Decoder make_decoder() const {
    return av::Decoder(path, *parameters, track.facts().reorder_depth, options.max_pixels);
  }
  FrameSize resolve(FrameSize size) const { return size == FrameSize{} ? info.size : size; }

  void describe();
  enum class Step { sent, damaged, end };
  Step step(av::Decoder& decoder);
  bool next_picture();
  void end_pass() { pass.reset(); }
  std::vector<Request> plan(std::span<const int64_t> indices) const;
  void read_group(std::span<Request> group, FrameSize size, std::span<uint8_t> rgb);
  size_t try_group(std::span<Request> group, Attempt attempt, FrameSize size, std::span<uint8_t> rgb);
  size_t place(std::span<Request> group, size_t missing, FrameSize size, std::span<uint8_t> rgb);

  std::string path;
  SourceOptions options;
  av::Watch watch;
  av::Track track;
  std::unique_ptr<av::PacketSource> source;
  av::Owned<AVCodecParameters> parameters;
  VideoInfo info;
  std::vector<double> times;  // empty until asked for
  av::Orientation orientation;
  av::Converter converter;
  const FrameView* view = nullptr;  // that frames are seen through by the read under way, if any
  std::optional<av::Decoder> kept;  // by the groups of one read, as long as they are sound
  av::Owned<AVPacket> packet = av::make_packet();
  av::Owned<AVFrame> picture = av::make_frame();

  // The sequential pass of next(), when one is under way.
  std::unique_ptr<av::Decoder> pass;
  bool draining = false;
  int64_t given = 0;
  std::vector<int64_t> refused;  // packets
};

VideoReader::Impl::Impl(const std::string& file, const SourceOptions& limits)
    : path(file), options(limits), watch(limits.timeout_seconds, limits.stop) {
  auto demuxer = std::make_unique<av::Demuxer>(path, options, watch);
  track = av::scan_track(*demuxer, path, options, watch, false);
  source = std::make_unique<av::PacketReader>(path, options, watch, track, std::move(demuxer));
  describe();
}

VideoReader::Impl::Impl(const std::string& file, IndexedFile known, const SourceOptions& limits)
    : path(file), options(limits), watch(limits.timeout_seconds, limits.stop) {
  Descriptor descriptor = known.open(path);
  av::prepare_library();
  track = std::move(known.track);
  const av::TrackFacts& facts = track.facts();
  av::check_pixels(path, facts.width, facts.height, options);
  watch.check(path);
  if (track.direct())
    source = std::make_unique<av::DirectPackets>(path, track, std::move(descriptor));
  else
    source = std::make_unique<av::PacketReader>(path, options, watch, track, nullptr);
  describe();
}

void VideoReader::Impl::describe() {
  parameters = track.codec_parameters();
  orientation = track.orientation();
  info = track.info();
  av::describe(*parameters, info);
}

// Sends one more packet.
VideoReader::Impl::Step VideoReader::Impl::step(av::Decoder& decoder) {
  watch.check(path);
  if (!source->read(*packet)) return Step::end;
  return packet->size == 0 || decoder.send(*packet) ? Step::sent : Step::damaged;
}

// The next picture of the sequential pass, in `picture`; false at its end, which also ends the pass.
bool VideoReader::Impl::next_picture() {
  if (!pass) {
    source->go_to(0, track.packets() - 1);
    pass = std::make_unique<av::Decoder>(make_decoder());
    draining = false;
    given = 0;
    refused.clear();
  }
  for (;;) {
    while (pass->receive(*picture)) {
      const bool known = picture->pts >= 0 && picture->pts < track.packets();
      if (!known || !track.packet(picture->pts).shown()) continue;
      ++given;
      watch.restart();
      return true;
    }
    if (draining) break;
    const Step made = step(*pass);
    if (made == Step::damaged) refused.push_back(packet->pts);
    if (made == Step::end) {
      pass->drain();
      draining = true;
    }
  }
  end_pass();
  if (given == 0) throw SourceError(SourceFault::damaged, concat(escaped(path), ": not one frame can be decoded"));
  return false;
}

// Requests in the order of decoding, so that every group with the same start is decoded once.
std::vector<Request> VideoReader::Impl::plan(std::span<const int64_t> indices) const {
  std::vector<Request> requests;
  const int64_t count = track.frames();
  for (const int64_t index : indices) {
    if (index < 0 || index >= count)
      throw Error(concat(escaped(path), ": frame ", index, " asked for, but the video has ", count));
    const int64_t number = track.packet_of(index);
    requests.push_back({number, track.start_for(number), requests.size()});
  }
  std::ranges::sort(requests, {},
                    [](const Request& request) { return std::tuple(request.start, request.packet, request.place); });
  return requests;
}

// Writes the picture to all its places among requests [0, missing) and moves those behind the missing ones. Gives the
// number still missing.
size_t VideoReader::Impl::place(std::span<Request> group, size_t missing, FrameSize size, std::span<uint8_t> rgb) {
  uint8_t* first = nullptr;
  for (size_t i = 0; i < missing;) {
    if (group[i].packet != picture->pts) {
      ++i;
      continue;
    }
    uint8_t* target = rgb.data() + group[i].place * size.bytes();
    if (first) {
      std::memcpy(target, first, size.bytes());
    } else {
      if (view)
        converter.convert(*picture, orientation, *view, options.untagged, target);
      else
        converter.convert(*picture, orientation, size, target);
      first = target;
    }
    std::swap(group[i], group[--missing]);
  }
  return missing;
}

// Decodes a group of requests with the same start. The requests that could not be met are moved to the front; gives
// their number.
size_t VideoReader::Impl::try_group(std::span<Request> group, Attempt attempt, FrameSize size, std::span<uint8_t> rgb) {
  const bool last_resort = attempt == Attempt::from_beginning;
  int64_t start = last_resort ? 0 : group[0].start;
  if (attempt == Attempt::from_earlier_key) start = track.key_before(start);
  const int64_t end = last_resort ? track.packets() - 1 : std::ranges::max(group, {}, &Request::packet).packet;
  std::vector<int64_t> wanted;
  for (const Request& request : group) wanted.push_back(request.packet);
  std::ranges::sort(wanted);

  source->go_to(start, end);
  if (attempt != Attempt::from_key || !kept || !kept->restart()) kept.emplace(make_decoder());
  size_t missing = group.size();
  Step last = Step::sent;
  for (int64_t number = start; missing > 0 && last != Step::end; ++number) {
    if (attempt == Attempt::from_key && number <= end && track.packet(number).unreferenced() &&
        !std::ranges::binary_search(wanted, number)) {
      source->pass();
      continue;
    }
    last = number > end ? Step::end : step(*kept);
    if (last == Step::damaged && !last_resort) return group.size();
    if (last == Step::end) kept->drain();
    while (missing > 0 && kept->receive(*picture)) {
      if (!last_resort && !is_sound(*picture)) return group.size();
      missing = place(group, missing, size, rgb);
    }
  }
  watch.restart();
  return missing;
}

void VideoReader::Impl::read_group(std::span<Request> group, FrameSize size, std::span<uint8_t> rgb) {
  for (const Attempt attempt : {Attempt::from_key, Attempt::from_earlier_key, Attempt::from_beginning}) {
    group = group.first(try_group(group, attempt, size, rgb));
    if (attempt != Attempt::from_key || !group.empty()) kept.reset();
    if (group.empty()) return;
  }
  int64_t first = INT64_MAX;
  for (const Request& request : group) first = std::min(first, track.packet(request.packet).frame());
  throw SourceError(SourceFault::damaged, concat(escaped(path), ": frame ", first, " of ", track.frames(), " (at ",
                                                 std::round(track.time_of(first) * 100) / 100,
                                                 " s) cannot be decoded; the file is damaged or cut off there"));
}

bool video_available() { return true; }

std::string ffmpeg_version() {
  const unsigned version = avcodec_version();
  return concat(av_version_info(), " (libavcodec ", AV_VERSION_MAJOR(version), ".", AV_VERSION_MINOR(version), ".",
                AV_VERSION_MICRO(version), ")");
}

VideoReader::VideoReader(const std::string& path, const SourceOptions& options)
    : impl_(std::make_unique<Impl>(path, options)) {}
VideoReader::VideoReader(const std::string& path, const VideoIndex& index, const SourceOptions& options) {
  std::optional<IndexedFile> known = find_indexed(index, path);
  impl_ = known ? std::make_unique<Impl>(path, std::move(*known), options) : std::make_unique<Impl>(path, options);
}
VideoReader::~VideoReader() = default;

std::vector<int64_t> VideoReader::refused() const {
  std::vector<int64_t> frames;
  for (const int64_t number : impl_->refused) {
    const uint32_t rank = impl_->track.packet(number).rank;
    frames.push_back(std::min(rank == av::kNoRank ? number : int64_t{rank}, frame_count() - 1));
  }
  return frames;
}

const VideoInfo& VideoReader::info() const { return impl_->info; }
int64_t VideoReader::frame_count() const { return impl_->track.frames(); }

const std::vector<double>& VideoReader::times() const {
  std::vector<double>& times = impl_->times;
  while (std::ssize(times) < frame_count()) times.push_back(impl_->track.time_of(std::ssize(times)));
  return times;
}

int64_t VideoReader::index_at(double seconds) const {
  const auto after = std::ranges::upper_bound(times(), seconds);
  return std::max<int64_t>(after - times().begin() - 1, 0);
}

void VideoReader::read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) {
  size = impl_->resolve(size);
  check_room(impl_->path, indices.size(), size, rgb);
  impl_->end_pass();
  impl_->watch.restart();
  impl_->kept.reset();
  std::vector<Request> requests = impl_->plan(indices);
  for (auto begin = requests.begin(); begin != requests.end();) {
    const auto end = std::find_if(begin, requests.end(), [&](const Request& r) { return r.start != begin->start; });
    impl_->read_group(std::span(begin, end), size, rgb);
    begin = end;
  }
  impl_->kept.reset();
}

void VideoReader::view_frames(std::span<const int64_t> indices, const FrameView& view, std::span<uint8_t> rgb) {
  impl_->view = &view;
  const std::unique_ptr<const FrameView*, void (*)(const FrameView**)> until_done(&impl_->view,
                                                                                  [](auto* seen) { *seen = nullptr; });
  read_frames(indices, view.size, rgb);
}

Frame VideoReader::read_frame(int64_t index, FrameSize size) {
  Frame frame;
  frame.index = index;
  frame.size = impl_->resolve(size);
  frame.rgb.resize(frame.size.bytes());
  read_frames(std::span(&index, 1), frame.size, frame.rgb);
  frame.time = impl_->track.time_of(index);
  return frame;
}

bool VideoReader::next(Frame& frame, FrameSize size) {
  impl_->watch.restart();
  if (!impl_->next_picture()) return false;
  frame.index = impl_->track.packet(impl_->picture->pts).frame();
  frame.time = frame.index < 0 ? 0 : impl_->track.time_of(frame.index);
  frame.size = impl_->resolve(size);
  frame.rgb.resize(frame.size.bytes());
  frame.damaged = !is_sound(*impl_->picture);
  av::describe(*impl_->picture, impl_->info);
  impl_->converter.convert(*impl_->picture, impl_->orientation, frame.size, frame.rgb.data());
  return true;
}

}  // namespace engine
