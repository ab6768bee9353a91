#include "bench/io/video_work.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <optional>

#include "engine/random.h"
#include "io/crc32c.h"
#include "io/decoder.h"
#include "io/index_file.h"
#include "io/packet_reader.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace engine::bench {
namespace {

// The index with no picture marked as one that may be left out.
std::shared_ptr<const VideoIndex> without_skipping(const IndexUpdate& update) {
  std::string bytes = update.bytes;
  IndexHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const size_t entries = bytes.size() - header.entries_bytes;
  for (uint64_t i = 0; i < header.videos; ++i) {
    auto& record = *reinterpret_cast<IndexRecord*>(bytes.data() + sizeof header + i * sizeof(IndexRecord));
    char* const entry = bytes.data() + entries + record.begin;
    auto* packets = reinterpret_cast<av::PacketRecord*>(entry + sizeof(av::TrackFacts));
    for (uint32_t n = 0; n < reinterpret_cast<av::TrackFacts*>(entry)->packets; ++n)
      packets[n].marks &= static_cast<uint8_t>(~av::PacketRecord::kUnreferenced);
    record.crc = crc32c({entry, record.bytes});
  }
  header.directory_crc =
      crc32c(std::string_view(bytes).substr(sizeof header, header.videos * sizeof(IndexRecord) + header.names_bytes));
  header.crc = crc32c({reinterpret_cast<const char*>(&header), sizeof header - sizeof header.crc});
  std::memcpy(bytes.data(), &header, sizeof header);
  return VideoIndex::from_bytes(bytes, "memory", "/");
}

av::Track track_of(const std::string& path, const VideoIndex& index) { return find_indexed(index, path)->track; }

// The packets that a clip takes: one row for every start of decoding, as VideoReader reads them.
struct ClipPackets {
  std::vector<int64_t> wanted;  // packets whose pictures are shown, sorted
  std::vector<std::vector<av::Owned<AVPacket>>> rows;

  ClipPackets(const std::string& path, const VideoIndex& index, const ClipRequest& clip) {
    const av::Track track = track_of(path, index);
    std::map<int64_t, int64_t> starts;  // start, and the last packet wanted from there
    for (const int64_t frame : clip.frames) {
      wanted.push_back(track.packet_of(frame));
      int64_t& last = starts[track.start_for(wanted.back())];
      last = std::max(last, wanted.back());
    }
    std::ranges::sort(wanted);
    for (const auto& [start, last] : starts) {
      av::DirectPackets source(path, track, find_indexed(index, path)->open(path));
      source.go_to(start, last);
      std::vector<av::Owned<AVPacket>> row;
      for (int64_t number = start; number <= last; ++number) {
        if (track.packet(number).unreferenced() && !std::ranges::binary_search(wanted, number)) {
          source.pass();
          continue;
        }
        row.push_back(av::make_packet());
        source.read(*row.back());
      }
      rows.push_back(std::move(row));
    }
  }
};

// Seconds of the processor.
struct DecodeTime {
  double decoding = 0, decoders = 0;  // the second: to make and free them
};

// Decodes the rows, each from a decoder that is ready; `each` gets every picture and may take it. What it takes counts
// as decoding.
template <class F>
DecodeTime decode_rows(const std::string& path, const av::Track& track, const ClipPackets& packets, const F& each) {
  const double begin = cpu_seconds();
  DecodeTime time;
  {
    const auto parameters = track.codec_parameters();
    std::optional<av::Decoder> decoder;
    auto picture = av::make_frame();
    for (const auto& row : packets.rows) {
      if (!decoder || !decoder->restart())
        decoder.emplace(path, *parameters, track.facts().reorder_depth, int64_t{INT32_MAX});
      const double start = cpu_seconds();
      const auto receive = [&] {
        while (decoder->receive(*picture)) each(picture);
      };
      for (const auto& packet : row) {
        decoder->send(*packet);
        receive();
      }
      decoder->drain();
      receive();
      time.decoding += cpu_seconds() - start;
    }
  }
  time.decoders = cpu_seconds() - begin - time.decoding;
  return time;
}

}  // namespace

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The decoded pictures of one clip.
struct VideoWork::Pictures {
  size_t clip;
  av::Orientation orientation;
  std::vector<av::Owned<AVFrame>> frames;
  av::Converter converter;

  Pictures(const std::string& path, const VideoIndex& index, const ClipRequest& request, size_t number) : clip(number) {
    const av::Track track = track_of(path, index);
    orientation = track.orientation();
    const ClipPackets packets(path, index, request);
    decode_rows(path, track, packets, [&](av::Owned<AVFrame>& picture) {
      if (!std::ranges::binary_search(packets.wanted, picture->pts)) return;
      frames.push_back(std::move(picture));
      picture = av::make_frame();
    });
  }
};

VideoWork::VideoWork(const std::vector<std::string>& paths, const WorkOptions& options)
    : paths_(paths), options_(options) {
  IndexOptions indexing;
  indexing.threads = 1;
  update_ = update_index("", "/", paths_, indexing);
  whole_ = without_skipping(update_);
  const auto other = [&](const std::string& path) {
    const auto file = find_indexed(*update_.index, path);
    return !file || !file->error.empty() || !file->track.direct();
  };
  left_out_ = std::erase_if(paths_, other);
  if (paths_.empty()) throw Error("no video here is read directly", exit_code::kData);
  Random random(1, 0, 0);
  const int64_t span = int64_t{options_.frames - 1} * options_.stride + 1;
  for (int i = 0; i < options_.clips; ++i) {
    ClipRequest clip{static_cast<size_t>(i) % paths_.size(), {}};
    const int64_t count = track_of(paths_[clip.video], *update_.index).frames();
    const auto spare = static_cast<uint64_t>(std::max<int64_t>(count - span, 0));
    const auto start = static_cast<int64_t>(random.below(spare + 1));
    for (int64_t t = 0; t < options_.frames; ++t)
      clip.frames.push_back(std::min(start + t * options_.stride, count - 1));
    clips_.push_back(std::move(clip));
  }
}

VideoWork::~VideoWork() = default;

json VideoWork::describe() const {
  json videos = json::array(), clips = json::array();
  for (const std::string& path : paths_) {
    const IndexedVideo video = update_.index->describe(update_.index->impl().find(update_.index->impl().name_of(path)));
    const av::Track track = track_of(path, *update_.index);
    videos.push_back({{"path", path},
                      {"codec", video.info.codec},
                      {"width", video.info.size.width},
                      {"height", video.info.size.height},
                      {"frames", video.frames},
                      {"bytes", video.bytes},
                      {"kbit_per_s", static_cast<double>(video.bytes) * 8e-3 / std::max(video.seconds, 1e-3)},
                      {"gop_mean", video.info.gop_mean},
                      {"reorder_depth", track.facts().reorder_depth},
                      {"unreferenced", video.unreferenced}});
  }
  for (const ClipRequest& clip : clips_) clips.push_back({{"video", clip.video}, {"frames", clip.frames}});
  return {{"ffmpeg", ffmpeg_version()}, {"videos", videos}, {"left_out", left_out_}, {"clips", clips}};
}

int64_t VideoWork::decode_all(size_t video) const {
  const std::string& path = paths_.at(video);
  const av::Track track = track_of(path, *update_.index);
  const auto parameters = track.codec_parameters();
  av::DirectPackets source(path, track, find_indexed(*update_.index, path)->open(path));
  source.go_to(0, track.packets() - 1);
  av::Decoder decoder(path, *parameters, track.facts().reorder_depth, INT32_MAX);
  const auto packet = av::make_packet();
  const auto picture = av::make_frame();
  int64_t pictures = 0;
  for (bool more = true; more;) {
    more = source.read(*packet);
    more ? void(decoder.send(*packet)) : decoder.drain();
    while (decoder.receive(*picture)) ++pictures;
  }
  return pictures;
}

int64_t VideoWork::read_clips(size_t begin, size_t end, Through through) const {
  const FrameSize size{options_.size, options_.size};
  static std::vector<uint8_t> rgb;
  rgb.resize(static_cast<size_t>(options_.frames) * size.bytes());
  const VideoIndex* index = through == Through::index         ? update_.index.get()
                            : through == Through::whole_index ? whole_.get()
                                                              : nullptr;
  for (size_t i = begin; i < end; ++i) {
    const ClipRequest& clip = clips_.at(i % clips_.size());
    open_frames(paths_[clip.video], index, {})->view_frames(clip.frames, whole_view(size), rgb);
  }
  return static_cast<int64_t>(end - begin);
}

json VideoWork::parts(size_t begin, size_t end, int rounds) const {
  const FrameSize size{options_.size, options_.size};
  std::vector<uint8_t> rgb(size.bytes());
  const auto nothing = [](av::Owned<AVFrame>&) {};
  const auto timed = [](const auto& work) {
    const double start = cpu_seconds();
    work();
    return cpu_seconds() - start;
  };
  std::map<std::string, double> sums;
  size_t packets = 0;
  for (size_t i = begin; i < end; ++i) {
    const ClipRequest& clip = clips_.at(i % clips_.size());
    const std::string& path = paths_[clip.video];
    const av::Track track = track_of(path, *update_.index);
    const ClipPackets taken(path, *update_.index, clip), all(path, *whole_, clip);
    Pictures pictures(path, *update_.index, clip, i);
    std::map<std::string, double> least;
    const auto keep = [&](const char* name, double seconds) {
      const auto [place, is_first] = least.try_emplace(name, seconds);
      if (!is_first) place->second = std::min(place->second, seconds);
    };
    for (int round = 0; round < rounds; ++round) {
      const DecodeTime decoded = decode_rows(path, track, taken, nothing);
      keep("decode_ms", decoded.decoding);
      keep("decoder_ms", decoded.decoders);
      keep("read_ms", timed([&] { read_clips(i, i + 1, Through::index); }));
      keep("convert_ms", timed([&] {
             av::Converter converter;  // as every clip has one
             for (const auto& picture : pictures.frames)
               converter.convert(*picture, pictures.orientation, whole_view(size), Untagged::bt601, rgb.data());
           }));
      av::Converter converter;
      const auto convert = [&](const av::Owned<AVFrame>& picture) {
        if (std::ranges::binary_search(taken.wanted, picture->pts))
          converter.convert(*picture, pictures.orientation, whole_view(size), Untagged::bt601, rgb.data());
      };
      keep("both_ms", decode_rows(path, track, taken, convert).decoding);
      keep("decode_whole_ms", decode_rows(path, track, all, nothing).decoding);
      keep("open_ms", timed([&] { open_frames(path, update_.index.get(), {}); }));
      keep("packets_ms", timed([&] { ClipPackets(path, *update_.index, clip); }));
    }
    for (const auto& [name, seconds] : least) sums[name] += 1e3 * seconds;
    for (const auto& row : taken.rows) packets += row.size();
  }
  sums["between_ms"] = sums["both_ms"] - sums["decode_ms"] - sums["convert_ms"];
  sums.erase("both_ms");
  json result = sums;
  result["packets"] = packets;
  result["count"] = end - begin;
  return result;
}

int64_t VideoWork::convert(size_t clip, int rounds, bool swscale) {
  const ClipRequest& request = clips_.at(clip % clips_.size());
  if (!pictures_ || pictures_->clip != clip)
    pictures_ = std::make_unique<Pictures>(paths_[request.video], *update_.index, request, clip);
  const FrameSize size{options_.size, options_.size};
  std::vector<uint8_t> rgb(size.bytes());
  for (int round = 0; round < rounds; ++round)
    for (const auto& picture : pictures_->frames) {
      if (swscale)
        pictures_->converter.convert(*picture, pictures_->orientation, size, rgb.data());
      else
        pictures_->converter.convert(*picture, pictures_->orientation, whole_view(size), Untagged::bt601, rgb.data());
    }
  return rounds * std::ssize(pictures_->frames);
}

int64_t VideoWork::make_index() const {
  IndexOptions options;
  options.threads = 1;
  return update_index("", "/", paths_, options).scanned;
}

int64_t VideoWork::write_frames(size_t video, const std::vector<int64_t>& frames, const std::string& file) const {
  const auto source = open_frames(paths_.at(video), update_.index.get(), {});
  std::vector<uint8_t> rgb(frames.size() * source->size().bytes());
  source->view_frames(frames, whole_view(source->size()), rgb);
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(rgb.data()), std::ssize(rgb));
  if (!out.flush()) throw Error(file + ": cannot be written", exit_code::kStorage);
  return std::ssize(frames);
}

}  // namespace engine::bench
