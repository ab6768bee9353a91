// What reading clips through an index costs beside the decoding itself, per processor second of this process:
//   engine_io_bench VIDEO...        each for itself; an H.264 video with B-frames of ten seconds and more says most
// Ratios of one run may be compared, rates only on one machine. The program ffmpeg is the other side of two of them;
// what it takes to start is measured with a single frame, and taken off.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>

#include "engine/random.h"
#include "io/crc32c.h"
#include "io/decoder.h"
#include "io/index_file.h"
#include "io/packet_reader.h"
#include "io/video_index.h"
#include "train/cli.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace engine {
namespace {

constexpr int64_t kFrames = 16;  // of a clip
constexpr int64_t kStride = 2;
constexpr FrameSize kSize{112, 112};
constexpr int kClips = 24;
constexpr int kRounds = 5;  // of which the best counts

double now() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double children_seconds() {
  rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Processor seconds of `ffmpeg ARGUMENTS` for one round over the file beside those of `ours`, in turn.
template <class F>
std::pair<double, double> beside_ffmpeg(const F& ours, const std::string& path, const std::string& arguments,
                                        int more) {
  const auto run = [&](int rounds) {
    const double start = children_seconds();
    const std::string command =
        fmt::format("ffmpeg -v error -nostdin -stream_loop {} -threads 1 -i '{}' -map 0:v:0 {} -f null - 2>/dev/null",
                    rounds, path, arguments);
    if (std::system(command.c_str()) != 0) throw Error("ffmpeg failed: " + command, exit_code::kData);
    return children_seconds() - start;
  };
  double least = 1e9, one = 1e9, all = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    least = std::min(least, ours());
    one = std::min(one, run(0));
    all = std::min(all, run(more));
  }
  return {least, (all - one) / more};
}

// The index with no picture marked as one that may be left out.
std::shared_ptr<const VideoIndex> without_skipping(const IndexUpdate& update, const std::string& folder) {
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
  return VideoIndex::from_bytes(bytes, "memory", folder);
}

struct Clip {
  std::vector<int64_t> frames;
};

std::vector<Clip> draw_clips(int64_t count) {
  std::vector<Clip> clips;
  Random random(1, 0, 0);
  const int64_t span = (kFrames - 1) * kStride + 1;
  for (int i = 0; i < kClips; ++i) {
    Clip clip;
    const auto start =
        static_cast<int64_t>(random.below(static_cast<uint64_t>(std::max<int64_t>(count - span, 0) + 1)));
    for (int64_t t = 0; t < kFrames; ++t) clip.frames.push_back(std::min(start + t * kStride, count - 1));
    clips.push_back(clip);
  }
  return clips;
}

double read_clip(const std::string& path, const VideoIndex* index, const Clip& clip) {
  static std::vector<uint8_t> rgb(static_cast<size_t>(kFrames) * kSize.bytes());
  const double start = now();
  open_frames(path, index, {})->read_frames(clip.frames, kSize, rgb);
  return now() - start;
}

// The decoding alone of the packets that the clips take, and the conversion alone of their pictures.
struct Parts {
  double decoding = 0, conversion = 0;
  int64_t packets = 0;
};

Parts parts_of(const std::string& path, const VideoIndex& index, const Clip& clip) {
  const IndexedFile file = *find_indexed(index, path);
  const av::Track& track = file.track;
  if (!track.direct()) throw Error(path + ": not read directly", exit_code::kData);
  const auto parameters = track.codec_parameters();
  Parts sum;
  std::map<int64_t, int64_t> starts;  // start, and the last packet wanted from there
  std::vector<int64_t> wanted;
  for (const int64_t frame : clip.frames) {
    wanted.push_back(track.packet_of(frame));
    int64_t& last = starts[track.start_for(wanted.back())];
    last = std::max(last, wanted.back());
  }
  std::ranges::sort(wanted);
  std::vector<av::Owned<AVFrame>> pictures;
  for (const auto& [start, last] : starts) {
    av::DirectPackets source(path, track, file.open(path));
    source.go_to(start, last);
    std::vector<av::Owned<AVPacket>> packets;
    for (int64_t number = start; number <= last; ++number) {
      if (track.packet(number).unreferenced() && !std::ranges::binary_search(wanted, number)) {
        source.pass();
        continue;
      }
      packets.push_back(av::make_packet());
      source.read(*packets.back());
    }
    av::Decoder decoder(path, *parameters, track.facts().reorder_depth, INT32_MAX);
    auto picture = av::make_frame();
    const double begin = now();
    const auto receive = [&] {
      while (decoder.receive(*picture)) {
        if (!std::ranges::binary_search(wanted, picture->pts)) continue;
        pictures.push_back(std::move(picture));
        picture = av::make_frame();
      }
    };
    for (const auto& packet : packets) {
      decoder.send(*packet);
      receive();
    }
    decoder.drain();
    receive();
    sum.decoding += now() - begin;
    sum.packets += std::ssize(packets);
  }
  std::vector<uint8_t> rgb(kSize.bytes());
  const double begin = now();
  av::Converter converter;
  for (const auto& picture : pictures) converter.convert(*picture, track.orientation(), kSize, rgb.data());
  sum.conversion += now() - begin;
  return sum;
}

// The whole file, nothing but decoded.
double decode_all(const std::string& path, const VideoIndex& index) {
  const IndexedFile file = *find_indexed(index, path);
  const av::Track& track = file.track;
  const double start = now();
  const auto parameters = track.codec_parameters();
  av::DirectPackets source(path, track, file.open(path));
  source.go_to(0, track.packets() - 1);
  av::Decoder decoder(path, *parameters, track.facts().reorder_depth, INT32_MAX);
  const auto packet = av::make_packet();
  const auto picture = av::make_frame();
  bool more = true;
  while (more) {
    more = source.read(*packet);
    more ? void(decoder.send(*packet)) : decoder.drain();
    while (decoder.receive(*picture)) {
    }
  }
  return now() - start;
}

void measure(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string() + "/";
  const std::vector<std::string> paths = {path};
  IndexOptions options;
  options.threads = 1;
  IndexUpdate update;
  const auto make_index = [&] {
    const double start = now();
    update = update_index("", folder, paths, options);
    return now() - start;
  };
  const auto [indexing, copying] = beside_ffmpeg(make_index, path, "-c copy", 40);
  const VideoIndex& index = *update.index;
  const IndexedVideo video = index.describe(0);
  const std::vector<Clip> clips = draw_clips(video.frames);
  fmt::print("{}: {} {}x{}, {} frames, {:.0f} kbit/s, key frame every {:.0f}\n", path, video.info.codec,
             video.info.size.width, video.info.size.height, video.frames,
             static_cast<double>(video.bytes) * 8e-3 / std::max(video.seconds, 1e-3), video.info.gop_mean);
  const auto without = without_skipping(update, folder);
  double plain = 0, all = 0, whole = 0;
  Parts parts;
  for (const Clip& clip : clips) {
    double times[5];
    std::ranges::fill(times, 1e9);
    Parts part;
    for (int round = 0; round < kRounds; ++round) {
      part = parts_of(path, index, clip);
      const double taken[] = {part.decoding, read_clip(path, &index, clip), part.conversion,
                              read_clip(path, nullptr, clip), read_clip(path, without.get(), clip)};
      for (int i = 0; i < 5; ++i) times[i] = std::min(times[i], taken[i]);
    }
    parts.packets += part.packets;
    parts.decoding += times[0];
    all += times[1];
    parts.conversion += times[2];
    plain += times[3];
    whole += times[4];
  }
  const auto [ours, theirs] = beside_ffmpeg([&] { return decode_all(path, index); }, path, "-vsync passthrough", 2);
  const double fixed = (all - parts.decoding - parts.conversion) / kClips;
  fmt::print("  G1   sequential decode against ffmpeg      {:.2f}x   ({:.0f} frames/s, ffmpeg {:.0f})\n", theirs / ours,
             static_cast<double>(video.frames) / ours, static_cast<double>(video.frames) / theirs);
  fmt::print("  G2   clips against null decode of the same {:.2f}x   ({:.1f} packets a clip)\n",
             parts.decoding / (all - parts.conversion), static_cast<double>(parts.packets) / kClips);
  fmt::print(
      "  G6   leaving pictures out on against off   {:.2f}x   ({:.0f} and {:.0f} clips/s, of {} frames, every {}.)\n",
      whole / all, kClips / all, kClips / whole, kFrames, kStride);
  fmt::print("  G7   fixed cost of a clip                  {:.3f} ms (decoding {:.2f} ms, conversion {:.2f} ms)\n",
             fixed * 1e3, parts.decoding / kClips * 1e3, parts.conversion / kClips * 1e3);
  fmt::print("       with an index against without         {:.2f}x   ({:.0f} clips/s without)\n", plain / all,
             kClips / plain);
  fmt::print("  G13  indexing against ffmpeg -c copy       {:.2f}x   ({:.2f} ms, ffmpeg {:.2f} ms)\n",
             copying / indexing, indexing * 1e3, copying * 1e3);
}

int body(int argc, char** argv) {
  if (argc < 2) throw Error("no videos given: engine_io_bench VIDEO...", exit_code::kUsage);
  for (int i = 1; i < argc; ++i) measure(argv[i]);
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_io_bench", argc, argv, engine::body); }
