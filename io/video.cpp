#include "io/video.h"

#include <algorithm>
#include <cstring>

#include "io/decoder.h"
#include "io/packet_reader.h"
#include "io/text.h"
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

double plausible_fps(const AVStream& stream) {
  for (const AVRational rate : {stream.avg_frame_rate, stream.r_frame_rate}) {
    const double fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    if (fps >= 0.01 && fps <= 1000) return fps;
  }
  return 25;
}

}  // namespace

struct VideoReader::Impl {
  Impl(const std::string& file, const SourceOptions& limits);

  av::Decoder make_decoder() const {
    const AVCodecParameters& parameters = *reader.demuxer().stream().codecpar;
    return av::Decoder(path, parameters, reader.list().reorder_depth, options.max_pixels);
  }
  const av::PacketList& list() const { return reader.list(); }
  FrameSize resolve(FrameSize size) const { return size == FrameSize{} ? info.size : size; }

  void order_by_decoding();
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
  av::PacketReader reader;
  VideoInfo info;
  av::Orientation orientation;
  av::Converter converter;
  av::Owned<AVPacket> packet = av::make_packet();
  av::Owned<AVFrame> picture = av::make_frame();

  // The sequential pass of next(), when one is under way.
  std::unique_ptr<av::Decoder> pass;
  bool draining = false;
  int64_t given = 0;
};

VideoReader::Impl::Impl(const std::string& file, const SourceOptions& limits)
    : path(file),
      options(limits),
      watch(limits.timeout_seconds, limits.stop),
      reader(file, limits, watch),
      orientation(reader.demuxer().orientation()) {
  const AVStream& stream = reader.demuxer().stream();
  const AVCodecParameters& parameters = *stream.codecpar;
  info.codec = av::codec_name(parameters);
  info.container = reader.demuxer().container();
  info.size = {parameters.width, parameters.height};
  if (orientation.transpose) std::swap(info.size.width, info.size.height);
  info.mirrored = orientation.transpose == (orientation.flip_x == orientation.flip_y);
  info.rotation = (orientation.transpose ? 90 : 0) + (orientation.flip_y ? 180 : 0);
  info.stamped = list().ordered;
  info.fps = plausible_fps(stream);
  if (!list().ordered) order_by_decoding();
  av::describe(reader.demuxer().stream(), list(), info);  // decoding may have opened the file again
  if (list().times.size() > 1 && list().times.back() > 0)
    info.fps = static_cast<double>(list().times.size() - 1) / list().times.back();
}

// Decodes everything once, for nothing but the order in which pictures come out.
void VideoReader::Impl::order_by_decoding() {
  std::vector<int64_t> shown;
  while (next_picture()) shown.push_back(picture->pts);
  reader.list().order_frames(std::move(shown), av_q2d(reader.demuxer().stream().time_base), info.fps);
}

// Sends one more packet.
VideoReader::Impl::Step VideoReader::Impl::step(av::Decoder& decoder) {
  watch.check(path);
  if (!reader.read(*packet)) return Step::end;
  return packet->size == 0 || decoder.send(*packet) ? Step::sent : Step::damaged;
}

// The next picture of the sequential pass, in `picture`; false at its end, which also ends the pass.
bool VideoReader::Impl::next_picture() {
  if (!pass) {
    reader.go_to(0);
    pass = std::make_unique<av::Decoder>(make_decoder());
    draining = false;
    given = 0;
  }
  for (;;) {
    while (pass->receive(*picture)) {
      const bool known = picture->pts >= 0 && picture->pts < std::ssize(list().packets);
      if (!known || !list().packets[static_cast<size_t>(picture->pts)].shown) continue;
      ++given;
      watch.restart();
      return true;
    }
    if (draining) break;
    if (step(*pass) == Step::end) {
      pass->drain();
      draining = true;
    }
  }
  end_pass();
  if (given == 0) throw Error(concat(escaped(path), ": not one frame can be decoded"), exit_code::kData);
  return false;
}

// Requests in the order of decoding, so that every group with the same start is decoded once.
std::vector<Request> VideoReader::Impl::plan(std::span<const int64_t> indices) const {
  std::vector<Request> requests;
  const int64_t count = std::ssize(list().frames);
  for (const int64_t index : indices) {
    if (index < 0 || index >= count)
      throw Error(concat(escaped(path), ": frame ", index, " asked for, but the video has ", count));
    const int64_t number = list().frames[static_cast<size_t>(index)];
    requests.push_back({number, list().start_for(number), requests.size()});
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
  if (attempt == Attempt::from_earlier_key) start = list().key_before(start);
  const int64_t end = std::ranges::max(group, {}, &Request::packet).packet;
  // In H.264 a picture that no other refers to says so itself (nal_ref_idc 0), and these containers hold whole
  // pictures.
  const bool may_skip = attempt == Attempt::from_key && info.codec == "h264" &&
                        (info.container.starts_with("mov") || info.container.starts_with("matroska"));
  std::vector<int64_t> wanted;
  for (const Request& request : group) wanted.push_back(request.packet);
  std::ranges::sort(wanted);

  reader.go_to(start);
  av::Decoder decoder = make_decoder();
  size_t missing = group.size();
  Step last = Step::sent;
  for (int64_t number = start; missing > 0 && last != Step::end; ++number) {
    if (may_skip) decoder.skip_unreferenced(!std::ranges::binary_search(wanted, number));
    last = number > end && !last_resort ? Step::end : step(decoder);
    if (last == Step::damaged && !last_resort) return group.size();
    if (last == Step::end) decoder.drain();
    while (missing > 0 && decoder.receive(*picture)) {
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
    if (group.empty()) return;
  }
  int64_t first = list().packets[static_cast<size_t>(group[0].packet)].frame;
  for (const Request& request : group)
    first = std::min(first, list().packets[static_cast<size_t>(request.packet)].frame);
  throw Error(concat(escaped(path), ": frame ", first, " of ", list().frames.size(),
                     " cannot be decoded; the file is damaged or cut off there"),
              exit_code::kData);
}

bool video_available() { return true; }

std::string ffmpeg_version() {
  const unsigned version = avcodec_version();
  return concat(av_version_info(), " (libavcodec ", AV_VERSION_MAJOR(version), ".", AV_VERSION_MINOR(version), ".",
                AV_VERSION_MICRO(version), ")");
}

VideoReader::VideoReader(const std::string& path, const SourceOptions& options)
    : impl_(std::make_unique<Impl>(path, options)) {}
VideoReader::~VideoReader() = default;

const VideoInfo& VideoReader::info() const { return impl_->info; }
int64_t VideoReader::frame_count() const { return std::ssize(impl_->list().frames); }
const std::vector<double>& VideoReader::times() const { return impl_->list().times; }

int64_t VideoReader::index_at(double seconds) const {
  const auto after = std::ranges::upper_bound(times(), seconds);
  return std::max<int64_t>(after - times().begin() - 1, 0);
}

void VideoReader::read_frames(std::span<const int64_t> indices, FrameSize size, std::span<uint8_t> rgb) {
  size = impl_->resolve(size);
  check_room(impl_->path, indices.size(), size, rgb);
  impl_->end_pass();
  impl_->watch.restart();
  std::vector<Request> requests = impl_->plan(indices);
  for (auto begin = requests.begin(); begin != requests.end();) {
    const auto end = std::find_if(begin, requests.end(), [&](const Request& r) { return r.start != begin->start; });
    impl_->read_group(std::span(begin, end), size, rgb);
    begin = end;
  }
}

Frame VideoReader::read_frame(int64_t index, FrameSize size) {
  Frame frame;
  frame.index = index;
  frame.size = impl_->resolve(size);
  frame.rgb.resize(frame.size.bytes());
  read_frames(std::span(&index, 1), frame.size, frame.rgb);
  frame.time = times()[static_cast<size_t>(index)];
  return frame;
}

bool VideoReader::next(Frame& frame, FrameSize size) {
  impl_->watch.restart();
  if (!impl_->next_picture()) return false;
  frame.index = impl_->list().packets[static_cast<size_t>(impl_->picture->pts)].frame;
  frame.time = frame.index < 0 ? 0 : times()[static_cast<size_t>(frame.index)];
  frame.size = impl_->resolve(size);
  frame.rgb.resize(frame.size.bytes());
  frame.damaged = !is_sound(*impl_->picture);
  av::describe(*impl_->picture, impl_->info);
  impl_->converter.convert(*impl_->picture, impl_->orientation, frame.size, frame.rgb.data());
  return true;
}

}  // namespace engine
