#include "io/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/random.h"
#include "io/text.h"
#include "io/trim.h"

namespace engine {

namespace {

constexpr int kMaxWorkers = 256;
constexpr int kMaxQueue = 1024;
constexpr int kMaxBatch = 65536;
constexpr uint32_t kMaxAttempts = 8;  // clips tried for one place
constexpr size_t kShownBad = 3;       // in a message

// Different purposes draw from different substreams; attempts are counted from these. Clips have lower ones
// (clip_draws).
constexpr uint32_t kDrawReplacement = 0x20000, kDrawOrder = 0x30000;

// What became of one clip of a batch. An item is view `item` % views of sample `item` / views.
struct Outcome {
  int64_t item = 0;
  std::optional<std::string> bad;  // why the clip that was asked for could not be decoded
  std::exception_ptr error;        // why there is no clip
  bool mirrored = false;
};

// A batch in the making. `remaining` is guarded by the mutex, each outcome belongs to the worker that has the clip.
struct Slot {
  Batch batch;
  std::vector<Outcome> outcomes;
  size_t remaining = 0;
};

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    throw Error(concat("loader: ", name, " is ", value, "; it must be from ", low, " to ", high), exit_code::kUsage);
}

}  // namespace

struct Loader::Impl {
  Impl(const Dataset& data, const LoaderOptions& given);

  Random draw(int64_t epoch_number, int64_t item, uint32_t purpose) const {
    const uint64_t stream = static_cast<uint64_t>(epoch_number) << 32 | static_cast<uint64_t>(item);
    return Random(options.seed ^ stream_of("loader"), stream, purpose);
  }
  int64_t clips_in_epoch() const;
  int64_t sample_of(int64_t item) const { return item / views; }
  const std::vector<int64_t>& alike(int64_t item) const {  // the samples of its class
    return members[static_cast<size_t>(dataset.samples[static_cast<size_t>(sample_of(item))].label)];
  }
  int64_t batches() const { return (clips_in_epoch() + options.batch - 1) / options.batch; }
  std::vector<int64_t> order_of_epoch() const;

  void start(int64_t epoch_number);
  void stop_workers();
  void work();
  void prepare(Slot& slot, int64_t batch_number) const;
  void decode(Slot& slot, size_t position) const;
  Outcome decode(int64_t item, std::span<uint8_t> rgb) const;
  bool read(int64_t item, uint32_t attempt, std::span<uint8_t> rgb) const;
  int64_t replacement(int64_t item, uint32_t attempt) const;

  Batch take();
  Slot decode_here();
  Slot wait_for_workers();
  bool left_out(const Outcome& outcome) const { return outcome.bad && options.on_bad == BadClip::leave_out; }
  void account(const Slot& slot);
  Batch keep(Slot slot) const;
  void label(const Sample& sample, bool mirrored, size_t row, const Tensor& labels) const;
  [[noreturn]] void refuse_bad() const;
  void end_epoch();

  const Dataset& dataset;
  LoaderOptions options;
  size_t clip_bytes;
  int64_t views;                              // of each sample
  std::vector<std::vector<int64_t>> members;  // of each class
  std::vector<int64_t> order;                 // items of this epoch
  int64_t epoch = 0;
  LoaderStats stats;

  std::mutex mutex;                    // guards what follows, except the options' token
  std::condition_variable_any free;    // a batch may be started
  std::condition_variable_any filled;  // a batch is complete
  std::vector<Slot> slots;             // batch b is made in slot b % queue
  int64_t next_clip = 0;               // place in `order` that the next free worker takes
  int64_t next_batch = 0;              // that the caller gets
  std::exception_ptr failure;          // of a worker, outside clips
  std::stop_source stop;
  std::vector<std::jthread> workers;
};

Loader::Impl::Impl(const Dataset& data, const LoaderOptions& given) : dataset(data), options(given) {
  check_options(options.clip);
  check_range("batch", options.batch, 1, kMaxBatch);
  check_range("workers", options.workers, 0, kMaxWorkers);
  check_range("queue", options.queue, 1, kMaxQueue);
  ENGINE_CHECK(options.mirrored_labels.empty() || options.mirrored_labels.size() == dataset.classes.size(),
               "loader: ", options.mirrored_labels.size(), " labels of mirrored clips for ", dataset.classes.size(),
               " classes");
  const size_t targets = dataset.head == Head::classification ? 0 : dataset.classes.size();
  for (const Sample& sample : dataset.samples)
    ENGINE_CHECK(sample.targets.size() == targets, "loader: clip ", sample.name, " has ", sample.targets.size(),
                 " targets, not ", targets);
  if (dataset.samples.empty()) throw Error(concat("loader: no clips in ", escaped(dataset.source)), exit_code::kData);
  views = options.training ? 1 : views_of(options.clip);
  clip_bytes = static_cast<size_t>(options.clip.frames) * FrameSize{options.clip.width, options.clip.height}.bytes();
  members.resize(dataset.classes.size());
  for (int64_t item = 0; item < std::ssize(dataset.samples); ++item)
    members.at(static_cast<size_t>(dataset.samples[static_cast<size_t>(item)].label)).push_back(item);
  next_batch = batches();  // nothing to give before start_epoch()
}

int64_t Loader::Impl::clips_in_epoch() const {
  const int64_t all = std::ssize(dataset.samples) * views;
  return options.drop_last ? all / options.batch * options.batch : all;
}

std::vector<int64_t> Loader::Impl::order_of_epoch() const {
  const int64_t all = std::ssize(dataset.samples);
  std::vector<int64_t> samples(static_cast<size_t>(all)), items;
  std::iota(samples.begin(), samples.end(), 0);
  if (options.shuffle) samples = draw(epoch, 0, kDrawOrder).permutation(all);
  for (const int64_t sample : samples)
    for (int64_t view = 0; view < views; ++view) items.push_back(sample * views + view);
  items.resize(static_cast<size_t>(clips_in_epoch()));
  return items;
}

void Loader::Impl::start(int64_t epoch_number) {
  check_range("epoch", epoch_number, 0, INT32_MAX);
  stop_workers();
  epoch = epoch_number;
  order = order_of_epoch();
  stats = {};
  slots.assign(static_cast<size_t>(options.queue), {});
  next_clip = next_batch = 0;
  failure = nullptr;
  stop = {};
  options.source.stop = stop.get_token();
  try {
    for (int i = 0; i < options.workers; ++i) workers.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop_workers();
    throw Error(concat("loader: cannot start ", options.workers, " threads (", error.what(), "); use fewer workers"),
                exit_code::kMemory);
  }
}

void Loader::Impl::stop_workers() {
  stop.request_stop();
  workers.clear();
}

// A worker takes clip after clip; the batch that a clip belongs to must be less than `queue` ahead of the caller.
void Loader::Impl::work() {
  set_cpu_threads(1);  // of kernels that this thread calls: the workers are the parallel part
  std::unique_lock lock(mutex);
  try {
    const std::stop_token token = options.source.stop;
    const auto ended = [&] { return token.stop_requested() || failure || next_clip == std::ssize(order); };
    const auto may_go_on = [&] { return ended() || next_clip / options.batch < next_batch + options.queue; };
    while (free.wait(lock, token, may_go_on) && !ended()) {
      const int64_t clip = next_clip++;
      const int64_t batch_number = clip / options.batch;
      Slot& slot = slots[static_cast<size_t>(batch_number % options.queue)];
      const auto position = static_cast<size_t>(clip % options.batch);
      if (position == 0) prepare(slot, batch_number);
      lock.unlock();
      decode(slot, position);
      lock.lock();
      if (--slot.remaining == 0) filled.notify_all();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    failure = std::current_exception();
    filled.notify_all();
  }
}

void Loader::Impl::prepare(Slot& slot, int64_t batch_number) const {
  const int64_t first = batch_number * options.batch;
  const int64_t count = std::min<int64_t>(options.batch, std::ssize(order) - first);
  const ClipOptions& clip = options.clip;
  slot.batch.frames = Tensor::empty({count, clip.frames, clip.height, clip.width, 3}, DType::u8);
  slot.batch.labels = dataset.head == Head::classification
                          ? Tensor::empty({count}, DType::i64)
                          : Tensor::empty({count, std::ssize(dataset.classes)}, DType::f64);
  slot.batch.items.assign(order.begin() + first, order.begin() + first + count);
  slot.outcomes.assign(static_cast<size_t>(count), {});
  slot.remaining = static_cast<size_t>(count);
}

void Loader::Impl::decode(Slot& slot, size_t position) const {
  uint8_t* frames = static_cast<uint8_t*>(slot.batch.frames.memory());
  slot.outcomes[position] = decode(slot.batch.items[position], std::span(frames + position * clip_bytes, clip_bytes));
}

Outcome Loader::Impl::decode(int64_t item, std::span<uint8_t> rgb) const {
  Outcome outcome;
  outcome.item = item;
  for (uint32_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    try {
      if (attempt > 0) outcome.item = replacement(item, attempt);
      outcome.mirrored = read(outcome.item, attempt, rgb);
      outcome.error = nullptr;
      return outcome;
    } catch (const Error& error) {
      outcome.error = std::current_exception();
      const bool bad_clip = error.code() == exit_code::kData || error.code() == exit_code::kNoInput;
      if (!bad_clip || options.on_bad == BadClip::error || options.source.stop.stop_requested()) return outcome;
      if (attempt == 0) outcome.bad = error.what();
      if (options.on_bad == BadClip::leave_out) return outcome;
      if (alike(item).size() == 1) return outcome;
    } catch (...) {
      outcome.error = std::current_exception();
      return outcome;
    }
  }
  return outcome;
}

// True when the clip is mirrored.
bool Loader::Impl::read(int64_t item, uint32_t attempt, std::span<uint8_t> rgb) const {
  const Sample& sample = dataset.samples[static_cast<size_t>(sample_of(item))];
  const auto source = open_clip(sample, options.index.get(), options.source);
  Random random = clip_draws(options.seed, epoch, sample_of(item), attempt);
  const ClipPlan plan = plan_clip(clip_source(*source, options.clip, sample.path), options.clip,
                                  options.training ? &random : nullptr, static_cast<int>(item % views));
  read_clip(*source, plan, rgb);
  return plan.flip;
}

// The same view of another clip of the same class.
int64_t Loader::Impl::replacement(int64_t item, uint32_t attempt) const {
  const auto& others = alike(item);
  const size_t own = static_cast<size_t>(std::ranges::lower_bound(others, sample_of(item)) - others.begin());
  const size_t drawn = draw(epoch, sample_of(item), kDrawReplacement + attempt).below(others.size() - 1);
  return others[drawn < own ? drawn : drawn + 1] * views + item % views;
}

Slot Loader::Impl::decode_here() {
  Slot slot;
  prepare(slot, next_batch);
  for (size_t position = 0; position < slot.outcomes.size(); ++position) decode(slot, position);
  return slot;
}

Slot Loader::Impl::wait_for_workers() {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex);
  Slot& slot = slots[static_cast<size_t>(next_batch % options.queue)];
  filled.wait(lock, [&] { return failure || (!slot.outcomes.empty() && slot.remaining == 0); });
  stats.wait_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (failure) std::rethrow_exception(failure);
  return std::exchange(slot, {});
}

// The next batch; its place is free for another one from now on.
Batch Loader::Impl::take() {
  Slot slot = options.workers == 0 ? decode_here() : wait_for_workers();
  {
    const std::lock_guard lock(mutex);
    ++next_batch;
  }
  free.notify_all();
  account(slot);
  return keep(std::move(slot));
}

// The batch with what it holds in the end; clips that are left out make room for those behind them.
Batch Loader::Impl::keep(Slot slot) const {
  Batch& batch = slot.batch;
  uint8_t* frames = static_cast<uint8_t*>(batch.frames.memory());
  size_t kept = 0;
  for (size_t position = 0; position < slot.outcomes.size(); ++position) {
    if (left_out(slot.outcomes[position])) continue;
    const int64_t sample = sample_of(slot.outcomes[position].item);
    batch.items[kept] = sample;
    label(dataset.samples[static_cast<size_t>(sample)], slot.outcomes[position].mirrored, kept, batch.labels);
    if (kept < position) std::memcpy(frames + kept * clip_bytes, frames + position * clip_bytes, clip_bytes);
    ++kept;
  }
  if (kept == slot.outcomes.size()) return std::move(batch);
  batch.items.resize(kept);
  const auto count = static_cast<int64_t>(kept);
  return {batch.frames.slice(0, count), batch.labels.slice(0, count), std::move(batch.items)};
}

// Writes a row of the batch's labels.
void Loader::Impl::label(const Sample& sample, bool mirrored, size_t row, const Tensor& labels) const {
  const auto place = [&](size_t label) {
    const bool other = mirrored && !options.mirrored_labels.empty();
    return other ? static_cast<size_t>(options.mirrored_labels[label]) : label;
  };
  if (dataset.head == Head::classification)
    labels.values<int64_t>()[row] = static_cast<int64_t>(place(static_cast<size_t>(sample.label)));
  const size_t count = sample.targets.size();
  for (size_t i = 0; i < count; ++i) labels.values<double>()[row * count + place(i)] = sample.targets[i];
}

// Counts what was bad in a batch, in the order of its clips, and throws when that is too much.
void Loader::Impl::account(const Slot& slot) {
  const auto of_one = static_cast<size_t>(views);  // a bad sample is bad in each of its views
  const size_t allowed = std::max<size_t>(1, order.size() / of_one / 100) * of_one;
  for (size_t position = 0; position < slot.outcomes.size(); ++position) {
    const Outcome& outcome = slot.outcomes[position];
    if (outcome.bad) stats.bad.push_back({sample_of(slot.batch.items[position]), *outcome.bad});
    if (stats.bad.size() > allowed || stats.bad.size() == order.size()) refuse_bad();
    if (left_out(outcome)) continue;
    if (outcome.error) std::rethrow_exception(outcome.error);
    ++stats.clips;
  }
}

void Loader::Impl::refuse_bad() const {
  std::string reasons;
  for (size_t i = 0; i < std::min(kShownBad, stats.bad.size()); ++i) reasons += (i ? "; " : "") + stats.bad[i].why;
  throw Error(concat(stats.bad.size(), " clips cannot be decoded so far, more than 1% of ", order.size(),
                     "; the first: ", reasons),
              exit_code::kData);
}

void Loader::Impl::end_epoch() {
  stop_workers();
  next_batch = batches();
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, options)) {}

Loader::~Loader() { impl_->stop_workers(); }

int64_t Loader::size() const { return impl_->batches(); }

void Loader::start_epoch(int64_t epoch) { impl_->start(epoch); }

bool Loader::next(Batch& batch) {
  try {
    while (impl_->next_batch < impl_->batches()) {
      batch = impl_->take();
      if (!batch.items.empty()) return true;
    }
  } catch (...) {
    impl_->end_epoch();
    throw;
  }
  return false;
}

const LoaderStats& Loader::stats() const { return impl_->stats; }

}  // namespace engine
