#include "io/loader_memory.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "io/decoded_clip.h"
#include "io/decoder.h"
#include "io/host_memory.h"
#include "io/index_file.h"

namespace engine {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kMostUnasked = 2048 * kMiB;
// Of FFmpeg's codec and demuxer, of swscale, a thread's stack and its part of the heap, whatever the video.
constexpr int64_t kWorker = 4 * kMiB;
// What is not known before it is opened is taken for this: 1920x1080 in 8-bit 4:2:0, four pictures kept.
constexpr int64_t kUnknownPicture = int64_t{1920} * 1088 * 3 / 2, kUnknown = 12 * kUnknownPicture;

int64_t in_mib(int64_t bytes) { return (bytes + kMiB - 1) / kMiB; }

// Where a track (io/track.h) of these facts has it; empty where it cannot.
std::string_view extradata_of(const av::TrackFacts& facts, std::string_view entry) {
  const uint64_t stamps = facts.flags & av::TrackFacts::kDirect ? 0 : 2 * uint64_t{facts.packets};
  const uint64_t ticks = facts.tick_step == 0 ? static_cast<uint64_t>(std::max<int64_t>(facts.frames, 0)) : 0;
  const uint64_t begin = sizeof facts + facts.packets * sizeof(av::PacketRecord) + 8 * (stamps + ticks) +
                         facts.container_bytes + uint64_t{facts.codec_bytes} + facts.format_bytes;
  return begin < entry.size() ? entry.substr(begin, facts.extradata_bytes) : std::string_view();
}

// The most that reading a video takes. Its entry is looked at without a check: that comes when it is used.
int64_t bytes_of(const VideoIndex::Impl& index, const IndexRecord& record, int64_t number, bool rgb_first) {
  constexpr int64_t kRun = 4 * kMiB;  // read at a time, unless one packet is larger (io/packet_reader.cpp)
  constexpr int64_t kMostSide = 1 << 16;
  if (record.flags & IndexRecord::kAgain) return kUnknown;
  av::TrackFacts facts;
  const std::string_view entry = index.entry(number);
  if (record.flags & IndexRecord::kUnusable || entry.size() < sizeof facts) return 0;
  std::memcpy(static_cast<void*>(&facts), entry.data(), sizeof facts);
  facts.width = static_cast<int32_t>(std::clamp<int64_t>(facts.width, 0, kMostSide));
  facts.height = static_cast<int32_t>(std::clamp<int64_t>(facts.height, 0, kMostSide));
  // A run and the one before it; the packet, and what the decoder makes of its bytes.
  const int64_t packet = std::min(record.file_bytes, int64_t{facts.width} * facts.height * 3);
  const int64_t packets = 2 * std::min(record.file_bytes, std::max(kRun, packet)) + 3 * packet;
  return av::decoder_bytes(facts, extradata_of(facts, entry), rgb_first) + packets;
}

// The most that reading a clip takes.
int64_t bytes_of_worker(const Dataset& dataset, const LoaderOptions& options) {
  int64_t most = 0;
  if (options.index) {
    const VideoIndex::Impl& index = options.index->impl();
    for (int64_t i = 0; i < std::ssize(index.directory); ++i)
      most =
          std::max(most, bytes_of(index, index.directory[static_cast<size_t>(i)], i, options.clip.augment.rgb_first));
  }
  for (const Sample& sample : dataset.samples) {
    std::error_code error;
    if (is_decoded_clip_name(sample.path)) {
      const auto bytes = static_cast<int64_t>(std::filesystem::file_size(sample.path, error));
      most = std::max(most, error ? 0 : 2 * bytes);
    } else if (!options.index || (!is_video_name(sample.path) && !options.index->contains(sample.path))) {
      most = std::max(most, kUnknown);
    }
  }
  return kWorker + most;
}

// Of a batch, with its labels.
int64_t bytes_of_clip(const Dataset& dataset, const LoaderOptions& options) {
  const ClipOptions& clip = options.clip;
  const int64_t labels = dataset.head == Head::classification ? 1 : std::ssize(dataset.classes);
  return clip.frames * static_cast<int64_t>(FrameSize{clip.width, clip.height}.bytes()) + 8 * labels;
}

int64_t allowed(const LoaderOptions& options) { return options.memory > 0 ? options.memory : default_loader_memory(); }

}  // namespace

int64_t default_loader_memory() { return std::min(kMostUnasked, host_memory() / 4); }

LoaderMemory plan_memory(const Dataset& dataset, const LoaderOptions& options, int64_t clips) {
  LoaderMemory memory{.batches = options.workers > 0 ? 2 : 1,
                      .batch_bytes = std::min<int64_t>(options.batch, clips) * bytes_of_clip(dataset, options),
                      .workers = options.workers,
                      .worker_bytes = bytes_of_worker(dataset, options)};
  const int64_t limit = allowed(options);
  if (memory.total() > limit) {
    const ClipOptions& clip = options.clip;
    throw Error(concat("loader: ", memory.batches, " batches of ", in_mib(memory.batch_bytes), " MiB (", options.batch,
                       " clips of ", clip.frames, " frames of ", clip.width, "x", clip.height, ") and ",
                       std::max(1, options.workers), " workers of ", in_mib(memory.worker_bytes), " MiB need ",
                       in_mib(memory.total()), " MiB, more than the ", limit / kMiB,
                       " MiB that are allowed; use a smaller batch, fewer frames, a smaller size, fewer workers, or "
                       "--loader-memory ",
                       in_mib(memory.total())),
                exit_code::kMemory);
  }
  const int64_t room = (limit - memory.total()) / std::max<int64_t>(1, memory.batch_bytes);
  if (options.workers > 0) memory.batches += std::min<int64_t>(room, options.queue - 1);
  return memory;
}

int affordable_workers(const Dataset& dataset, const LoaderOptions& options) {
  const int64_t batches = 2 * options.batch * bytes_of_clip(dataset, options);
  const int64_t room = (allowed(options) - batches) / bytes_of_worker(dataset, options);
  return static_cast<int>(std::clamp<int64_t>(room, 1, std::max(1, options.workers)));
}

}  // namespace engine
