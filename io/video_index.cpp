#include "io/video_index.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "io/file_ends.h"
#include "io/for_all.h"
#include "io/index_file.h"
#include "io/scan.h"
#include "io/text.h"

namespace engine {
namespace {

// What looking at a video gave.
struct Scanned {
  IndexRecord record{};
  std::string error;  // the bytes of its entry, where there is no track
  av::Track track;
};

// One video on its way into the index.
struct Job {
  std::string name;
  const std::string* path;
  int64_t old = -1;                  // its number in the old index
  std::unique_ptr<Scanned> scanned;  // where it is not kept from there
};

void stat_file(const std::string& path, IndexRecord& record) {
  struct stat status;
  const bool there = ::stat(path.c_str(), &status) == 0;
  record.file_bytes = there ? status.st_size : 0;
  record.file_time = there ? file_time_of(status) : 0;
}

// Scans the file, or takes down why that cannot be done.
std::unique_ptr<Scanned> scan(const std::string& path, const SourceOptions& options) {
  auto found = std::make_unique<Scanned>();
  IndexRecord& record = found->record;
  stat_file(path, record);
  try {
    found->track = av::scan_file(path, options);
  } catch (const SourceError& error) {
    std::string why = error.what();
    const std::string start = concat(escaped(path), ": ");
    if (why.starts_with(start)) why.erase(0, start.size());
    const uint32_t head[] = {static_cast<uint32_t>(error.fault()), static_cast<uint32_t>(why.size())};
    found->error.assign(reinterpret_cast<const char*>(head), sizeof head);
    found->error += why;
    found->error.resize((found->error.size() + 7) / 8 * 8);
    record.flags = IndexRecord::kUnusable;
    if (error.fault() <= SourceFault::unreadable || error.fault() == SourceFault::slow)
      record.flags |= IndexRecord::kAgain;
  }
  record.ends = file_ends(path, record.file_bytes);
  IndexRecord now{};
  stat_file(path, now);
  if (now.file_bytes != record.file_bytes || now.file_time != record.file_time) record.flags |= IndexRecord::kAgain;
  return found;
}

class Update {
 public:
  Update(const std::string& file, const std::string& folder, const IndexOptions& options)
      : file_(file), folder_(folder), options_(options) {
    try {
      old_ = VideoIndex::open(file, folder);
    } catch (const Error& error) {
      if (error.code() != exit_code::kData && error.code() != exit_code::kNoInput) throw;
      old_ = VideoIndex::from_bytes(index_bytes({}), file, folder);
      readable_ = false;
    }
  }
  IndexUpdate run(std::span<const std::string> paths);

 private:
  void collect(std::span<const std::string> paths);
  bool may_keep(const Job& job) const;
  void scan_all(const std::vector<Job*>& changed) const;
  IndexUpdate result(int64_t scanned);

  std::string file_, folder_;
  const IndexOptions& options_;
  std::shared_ptr<const VideoIndex> old_;
  bool readable_ = true;
  std::vector<Job> jobs_;  // by name
};

void Update::collect(std::span<const std::string> paths) {
  const VideoIndex::Impl& old = old_->impl();
  jobs_.reserve(paths.size());
  for (const std::string& path : paths) jobs_.push_back({old.name_of(path), &path, -1, nullptr});
  std::ranges::sort(jobs_, {}, &Job::name);
  const auto repeated = std::ranges::unique(jobs_, {}, &Job::name);
  jobs_.erase(repeated.begin(), repeated.end());
  int64_t number = 0;
  for (Job& job : jobs_) {
    while (number < old_->size() && old.name(number) < job.name) ++number;
    if (number < old_->size() && old.name(number) == job.name) job.old = number;
  }
}

bool Update::may_keep(const Job& job) const {
  if (job.old < 0) return false;
  const IndexRecord& record = old_->impl().directory[static_cast<size_t>(job.old)];
  IndexRecord now{};
  stat_file(*job.path, now);
  if (record.flags & IndexRecord::kAgain || now.file_bytes != record.file_bytes || now.file_time != record.file_time)
    return false;
  return !options_.thorough || (old_->impl().sound(job.old) && file_ends(*job.path, now.file_bytes) == record.ends);
}

void Update::scan_all(const std::vector<Job*>& changed) const {
  const int64_t total = std::ssize(changed);
  const auto work = [&](int64_t i) {
    if (options_.source.stop.stop_requested()) throw Error("indexing stopped on request", exit_code::kStopped);
    Job& job = *changed[static_cast<size_t>(i)];
    job.scanned = scan(*job.path, options_.source);
  };
  const auto progress = [&](int64_t done) { return !options_.progress || options_.progress(done, total); };
  if (for_all(total, options_.threads, work, progress) < total)
    throw Error("indexing stopped on request", exit_code::kStopped);
}

IndexUpdate Update::run(std::span<const std::string> paths) {
  collect(paths);
  std::vector<char> kept(jobs_.size());
  for_all(std::ssize(jobs_), std::ssize(jobs_) < 1000 && !options_.thorough ? 1 : options_.threads,
          [&](int64_t i) { kept[static_cast<size_t>(i)] = may_keep(jobs_[static_cast<size_t>(i)]); });
  std::vector<Job*> changed;
  for (size_t i = 0; i < jobs_.size(); ++i)
    if (!kept[i]) changed.push_back(&jobs_[i]);
  scan_all(changed);
  return result(std::ssize(changed));
}

IndexUpdate Update::result(int64_t scanned) {
  const VideoIndex::Impl& old = old_->impl();
  const auto known = std::ranges::count_if(jobs_, [](const Job& job) { return job.old >= 0; });
  const bool dropped = options_.thorough && known < old_->size();
  if (readable_ && scanned == 0 && !dropped) return {old_, 0, false, {}};
  std::vector<IndexEntry> entries;
  const auto keep = [&](int64_t number) {
    if (old.sound(number))
      entries.push_back({std::string(old.name(number)), old.directory[static_cast<size_t>(number)], old.entry(number)});
  };
  int64_t next_old = 0;  // not asked for now, and kept all the same
  for (const Job& job : jobs_) {
    for (; next_old < old_->size() && old.name(next_old) <= job.name; ++next_old)
      if (!options_.thorough && old.name(next_old) < job.name) keep(next_old);
    if (!job.scanned)
      keep(job.old);
    else
      entries.push_back(
          {job.name, job.scanned->record,
           job.scanned->error.empty() ? job.scanned->track.bytes() : std::string_view(job.scanned->error)});
  }
  for (; next_old < old_->size() && !options_.thorough; ++next_old) keep(next_old);
  IndexUpdate update{nullptr, scanned, true, index_bytes(std::move(entries))};
  update.index = VideoIndex::from_bytes(update.bytes, file_, folder_);
  return update;
}

}  // namespace

IndexUpdate update_index(const std::string& file, const std::string& folder, std::span<const std::string> paths,
                         const IndexOptions& options) {
  return Update(file, folder, options).run(paths);
}

std::unique_ptr<FrameSource> open_frames(const std::string& path, const VideoIndex* index,
                                         const SourceOptions& options) {
  if (index && index->contains(path)) return std::make_unique<VideoReader>(path, *index, options);
  return open_frames(path, options);
}

}  // namespace engine
