#include "io/index_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "io/crc32c.h"
#include "io/scan.h"
#include "io/text.h"

namespace engine {

namespace fs = std::filesystem;

namespace {

constexpr char kMagic[8] = {'E', 'N', 'G', 'V', 'I', 'D', 'X', '\n'};
constexpr uint32_t kVersion = 2;
constexpr size_t kHeaderChecked = sizeof(IndexHeader) - sizeof(uint32_t);

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

void pad(std::string& bytes) { bytes.resize((bytes.size() + 7) / 8 * 8); }

bool is_padding(std::string_view bytes) {
  return bytes.size() < 8 && bytes.find_first_not_of('\0') == std::string_view::npos;
}

}  // namespace

VideoIndex::Impl::~Impl() {
  if (mapped) ::munmap(const_cast<char*>(bytes.data()), bytes.size());
}

void VideoIndex::Impl::refuse(const std::string& why) const {
  throw Error(concat("index '", escaped(file), "': ", why, "; run engine_data index again"), exit_code::kData);
}

void VideoIndex::Impl::check() {
  if (bytes.size() < sizeof(IndexHeader)) refuse(concat("only ", bytes.size(), " bytes; cut off"));
  const auto& header = *reinterpret_cast<const IndexHeader*>(bytes.data());
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) refuse("not an index of videos");
  if (header.version != kVersion)
    refuse(concat("format ", header.version, ", and this engine reads format ", kVersion));
  if (crc32c(bytes.substr(0, kHeaderChecked)) != header.crc || header.zero != 0 || header.zero_too != 0)
    refuse("its header is damaged");
  const auto library = av::library_versions();
  if (header.library[0] != library[0] || header.library[1] != library[1]) refuse("made with another version of FFmpeg");
  const uint64_t left = bytes.size() - sizeof header;
  const uint64_t most = left / sizeof(IndexRecord);
  const bool fits = header.videos <= most && header.names_bytes % 8 == 0 &&
                    header.names_bytes <= left - header.videos * sizeof(IndexRecord) &&
                    header.entries_bytes == left - header.videos * sizeof(IndexRecord) - header.names_bytes;
  if (!fits) refuse(concat(bytes.size(), " bytes, not what its header says; cut off or damaged"));
  const auto table = bytes.substr(sizeof header, header.videos * sizeof(IndexRecord));
  directory = {reinterpret_cast<const IndexRecord*>(table.data()), static_cast<size_t>(header.videos)};
  names = bytes.substr(sizeof header + table.size(), header.names_bytes);
  entries = bytes.substr(sizeof header + table.size() + names.size());
  if (crc32c(names, crc32c(table)) != header.directory_crc) refuse("its directory is damaged");

  uint64_t name_end = 0, entry_end = 0;
  std::string_view previous;
  for (const IndexRecord& record : directory) {
    const bool valid = record.name_begin == name_end && record.name_bytes > 0 &&
                       record.name_bytes <= names.size() - name_end && record.begin == entry_end &&
                       record.bytes % 8 == 0 && record.bytes <= entries.size() - entry_end && record.file_bytes >= 0 &&
                       record.flags <= (IndexRecord::kUnusable | IndexRecord::kAgain) && record.zero == 0;
    if (!valid) refuse("its directory makes no sense");
    const std::string_view name = names.substr(name_end, record.name_bytes);
    if (name <= previous) refuse("its names are not in order");
    previous = name;
    name_end += record.name_bytes;
    entry_end += record.bytes;
  }
  if (!is_padding(names.substr(name_end)) || entry_end != entries.size()) refuse("its directory makes no sense");
  checked.assign(directory.size(), 0);
}

std::string VideoIndex::Impl::name_of(const std::string& path) const {
  std::string absolute = path.starts_with('/') ? path : fs::current_path().string() + '/' + path;
  const bool plain = absolute.find("//") == absolute.npos && absolute.find("/.") == absolute.npos;
  if (!plain) absolute = fs::path(absolute).lexically_normal().string();
  const bool inside =
      absolute.size() > folder.size() + 1 && absolute.starts_with(folder) && absolute[folder.size()] == '/';
  return inside ? absolute.substr(folder.size() + 1) : absolute;
}

std::string_view VideoIndex::Impl::name(int64_t number) const {
  const IndexRecord& record = directory[static_cast<size_t>(number)];
  return names.substr(record.name_begin, record.name_bytes);
}

int64_t VideoIndex::Impl::find(std::string_view wanted) const {
  int64_t low = 0, high = std::ssize(directory);
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (name(middle) < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low < std::ssize(directory) && name(low) == wanted ? low : -1;
}

std::string_view VideoIndex::Impl::entry(int64_t number) const {
  const IndexRecord& record = directory[static_cast<size_t>(number)];
  return entries.substr(record.begin, record.bytes);
}

bool VideoIndex::Impl::sound(int64_t number) const {
  const std::atomic_ref seen(checked[static_cast<size_t>(number)]);
  if (seen.load(std::memory_order_relaxed) == 0 && crc32c(entry(number)) == directory[static_cast<size_t>(number)].crc)
    seen.store(1, std::memory_order_relaxed);
  return seen.load(std::memory_order_relaxed) != 0;
}

IndexedFile VideoIndex::Impl::video(int64_t number, std::shared_ptr<const Impl> self) const {
  const auto damaged = [&] { refuse(concat("the entry of ", escaped(name(number)), " is damaged")); };
  if (!sound(number)) damaged();
  const IndexRecord& record = directory[static_cast<size_t>(number)];
  const std::string_view data = entry(number);
  IndexedFile found;
  found.file_bytes = record.file_bytes;
  found.file_time = record.file_time;
  if (!(record.flags & IndexRecord::kUnusable)) {
    auto track = av::Track::parse(data, std::move(self), record.file_bytes);
    if (!track) damaged();
    found.track = std::move(*track);
    return found;
  }
  uint32_t fault = 0, size = 0;
  constexpr size_t kHead = sizeof fault + sizeof size;
  if (data.size() < kHead) damaged();
  std::memcpy(&fault, data.data(), sizeof fault);
  std::memcpy(&size, data.data() + sizeof fault, sizeof size);
  const bool valid = fault <= static_cast<uint32_t>(kLastSourceFault) && size > 0 && size <= data.size() - kHead &&
                     is_padding(data.substr(kHead + size));
  if (!valid) damaged();
  found.fault = static_cast<SourceFault>(fault);
  found.error = data.substr(kHead, size);
  return found;
}

VideoIndex::VideoIndex(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
VideoIndex::~VideoIndex() = default;

std::shared_ptr<const VideoIndex> VideoIndex::open(const std::string& file, const std::string& folder) {
  auto impl = std::make_shared<Impl>();
  impl->file = file;
  impl->folder = fs::absolute(folder).lexically_normal().string();
  if (impl->folder.ends_with('/')) impl->folder.pop_back();
  const auto unreadable = [&](int error) {
    throw Error(concat("index '", escaped(file), "': cannot be read: ", std::generic_category().message(error)),
                exit_code::kNoInput);
  };
  Descriptor descriptor;
  if (!descriptor.open(retry([&] { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); })))
    unreadable(errno);
  struct stat status;
  if (::fstat(descriptor.get(), &status) != 0) unreadable(errno);
  if (!S_ISREG(status.st_mode)) impl->refuse("not a regular file");
  if (status.st_size == 0) impl->refuse("only 0 bytes; cut off");
  void* const memory =
      ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (memory == MAP_FAILED) unreadable(errno);
  impl->mapped = true;
  impl->bytes = {static_cast<const char*>(memory), static_cast<size_t>(status.st_size)};
  impl->check();
  return std::shared_ptr<const VideoIndex>(new VideoIndex(impl));
}

std::shared_ptr<const VideoIndex> VideoIndex::from_bytes(std::string bytes, const std::string& file,
                                                         const std::string& folder) {
  auto impl = std::make_shared<Impl>();
  impl->file = file;
  impl->folder = fs::absolute(folder).lexically_normal().string();
  if (impl->folder.ends_with('/')) impl->folder.pop_back();
  impl->memory = std::move(bytes);
  impl->bytes = impl->memory;
  impl->check();
  return std::shared_ptr<const VideoIndex>(new VideoIndex(impl));
}

int64_t VideoIndex::size() const { return std::ssize(impl_->directory); }
int64_t VideoIndex::find(const std::string& path) const { return impl_->find(impl_->name_of(path)); }

IndexedVideo VideoIndex::describe(int64_t number) const {
  const IndexedFile found = impl_->video(number, impl_);
  IndexedVideo video;
  video.name = impl_->name(number);
  video.bytes = found.file_bytes;
  video.error = found.error;
  if (!found.error.empty()) return video;
  const av::Track& track = found.track;
  const uint32_t flags = track.facts().flags;
  video.info = track.info();
  video.seconds = track.time_of(track.frames() - 1);
  video.frames = track.frames();
  video.direct = track.direct();
  video.open_gop = flags & av::TrackFacts::kOpenGop;
  bool in_row = false;
  for (int64_t i = 0; i < track.packets(); ++i) {
    const av::PacketRecord& packet = track.packet(i);
    video.unreferenced += packet.unreferenced();
    const bool damaged = packet.marks & av::PacketRecord::kDamaged && packet.frame() >= 0;
    if (damaged && !in_row) video.damaged.emplace_back(packet.frame(), packet.frame());
    if (damaged) video.damaged.back().second = std::max(video.damaged.back().second, packet.frame());
    if (damaged) video.damaged.back().first = std::min(video.damaged.back().first, packet.frame());
    in_row = damaged;
  }
  return video;
}

std::optional<IndexedFile> find_indexed(const VideoIndex& index, const std::string& path) {
  const VideoIndex::Impl& impl = index.impl();
  const int64_t number = impl.find(impl.name_of(path));
  if (number < 0 || impl.directory[static_cast<size_t>(number)].flags & IndexRecord::kAgain) return std::nullopt;
  return impl.video(number, index.shared_impl());
}

Descriptor IndexedFile::open(const std::string& path) const {
  Descriptor descriptor;
  if (!descriptor.open(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }))) {
    const bool missing = errno == ENOENT;
    const std::string why = missing ? "no such file" : concat("cannot be opened (", std::strerror(errno), ")");
    throw SourceError(missing ? SourceFault::missing : SourceFault::unreadable, concat(escaped(path), ": ", why));
  }
  struct stat status;
  const bool same = ::fstat(descriptor.get(), &status) == 0 && S_ISREG(status.st_mode) &&
                    status.st_size == file_bytes && file_time_of(status) == file_time;
  if (!same)
    throw SourceError(SourceFault::changed,
                      concat(escaped(path), ": changed since it was indexed; run engine_data index again"));
  if (!error.empty()) throw SourceError(fault, concat(escaped(path), ": ", error));
  return descriptor;
}

int64_t file_time_of(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

std::string index_bytes(std::vector<IndexEntry> entries) {
  IndexHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  const auto library = av::library_versions();
  header.library[0] = library[0];
  header.library[1] = library[1];
  header.videos = entries.size();
  std::string names;
  for (IndexEntry& entry : entries) {
    entry.record.name_begin = names.size();
    entry.record.name_bytes = static_cast<uint32_t>(entry.name.size());
    entry.record.crc = crc32c(entry.bytes);
    entry.record.begin = header.entries_bytes;
    entry.record.bytes = entry.bytes.size();
    names += entry.name;
    header.entries_bytes += entry.bytes.size();
  }
  pad(names);
  header.names_bytes = names.size();
  std::string bytes(sizeof header, '\0');
  bytes.reserve(sizeof header + entries.size() * sizeof(IndexRecord) + names.size() + header.entries_bytes);
  for (const IndexEntry& entry : entries) bytes += bytes_of(entry.record);
  bytes += names;
  header.directory_crc = crc32c(std::string_view(bytes).substr(sizeof header));
  header.crc = crc32c(bytes_of(header).substr(0, kHeaderChecked));
  bytes.replace(0, sizeof header, bytes_of(header));
  for (const IndexEntry& entry : entries) bytes += entry.bytes;
  return bytes;
}

}  // namespace engine
