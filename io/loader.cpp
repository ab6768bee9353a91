#include "io/loader.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>
#include <optional>
#include <utility>

#include "engine/random.h"
#include "io/job_queue.h"
#include "io/loader_memory.h"
#include "io/text.h"
#include "io/trim.h"

namespace engine {

namespace {

constexpr int kMaxQueue = 1024;
constexpr int kMaxBatch = 65536;
constexpr int kMaxShards = 65536;
constexpr uint32_t kMaxAttempts = 8;  // clips tried for one place
constexpr size_t kShownBad = 3;       // in a message

// Different purposes draw from different substreams; attempts are counted from these. Clips have lower ones
// (clip_draws).
constexpr uint32_t kDrawReplacement = 0x20000, kDrawOrder = 0x30000, kDrawOfClass = 0x40000;

// What became of one clip of a batch. An item is view `item` % views of sample `item` / views. With balance, which has
// one view, one that comes for the k-th time has k - 1 times the number of samples added.
struct Outcome {
  int64_t item = 0;
  std::optional<std::string> bad;  // why the clip that was asked for could not be decoded
  std::exception_ptr error;        // why there is no clip
  bool mirrored = false;
};

// A batch in the making; each outcome belongs to the worker that has the clip.
struct Slot {
  Batch batch;
  std::vector<Outcome> outcomes;
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
  int64_t sample_of(int64_t item) const { return item / views % std::ssize(dataset.samples); }
  uint32_t time_of(int64_t item) const { return static_cast<uint32_t>(item / views / std::ssize(dataset.samples)); }
  const std::vector<int64_t>& alike(int64_t item) const {  // the samples of its class
    return members[static_cast<size_t>(dataset.samples[static_cast<size_t>(sample_of(item))].label)];
  }
  int64_t batches() const { return (clips_in_epoch() + options.batch - 1) / options.batch; }
  std::vector<int64_t> order_of_epoch() const;
  std::vector<int64_t> balanced_items() const;

  void start(int64_t epoch_number, int64_t first_batch);
  Slot& slot_of(int64_t batch_number) { return slots[static_cast<size_t>(batch_number % std::ssize(slots))]; }
  void prepare(Slot& slot, int64_t batch_number) const;
  void decode(Slot& slot, size_t position) const;
  Outcome decode(int64_t item, std::span<uint8_t> rgb) const;
  bool read(int64_t item, uint32_t attempt, std::span<uint8_t> rgb) const;
  int64_t replacement(int64_t item, uint32_t attempt) const;

  Batch take();
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
  LoaderMemory memory;
  LoaderStats stats;
  std::vector<Slot> slots;  // batch b is made in slot b % size
  int64_t next_batch = 0;   // that the caller gets
  JobQueue queue;           // of the places in `order`; goes first, with its threads
};

Loader::Impl::Impl(const Dataset& data, const LoaderOptions& given) : dataset(data), options(given) {
  check_options(options.clip);
  check_range("batch", options.batch, 1, kMaxBatch);
  check_range("workers", options.workers, 0, kMaxWorkers);
  check_range("queue", options.queue, 1, kMaxQueue);
  check_range("memory", options.memory, 0, INT64_MAX);
  check_range("shards", options.shards, 1, kMaxShards);
  check_range("shard", options.shard, 0, options.shards - 1);
  ENGINE_CHECK(options.mirrored_labels.empty() || options.mirrored_labels.size() == dataset.classes.size(),
               "loader: ", options.mirrored_labels.size(), " labels of mirrored clips for ", dataset.classes.size(),
               " classes");
  const size_t targets = dataset.head == Head::classification ? 0 : dataset.classes.size();
  for (const Sample& sample : dataset.samples)
    ENGINE_CHECK(sample.targets.size() == targets, "loader: clip ", sample.name, " has ", sample.targets.size(),
                 " targets, not ", targets);
  ENGINE_CHECK(!options.balance || (options.training && dataset.head == Head::classification),
               "loader: to balance classes is for training with classes");
  if (dataset.samples.empty()) throw Error(concat("loader: no clips in ", escaped(dataset.source)), exit_code::kData);
  views = options.training ? 1 : views_of(options.clip);
  clip_bytes = static_cast<size_t>(options.clip.frames) * FrameSize{options.clip.width, options.clip.height}.bytes();
  members.resize(dataset.classes.size());
  for (int64_t item = 0; item < std::ssize(dataset.samples); ++item)
    members.at(static_cast<size_t>(dataset.samples[static_cast<size_t>(item)].label)).push_back(item);
  memory = plan_memory(dataset, options, clips_in_epoch());
  next_batch = batches();  // nothing to give before start_epoch()
}

int64_t Loader::Impl::clips_in_epoch() const {
  const int64_t all = std::ssize(dataset.samples);
  if (options.drop_last) return all / options.shards * views / options.batch * options.batch;
  return (all - options.shard + options.shards - 1) / options.shards * views;
}

std::vector<int64_t> Loader::Impl::order_of_epoch() const {
  const int64_t all = std::ssize(dataset.samples);
  std::vector<int64_t> samples(static_cast<size_t>(all)), items;
  std::iota(samples.begin(), samples.end(), 0);
  if (options.balance) samples = balanced_items();
  if (options.shuffle) {
    const std::vector<int64_t> kept = samples, places = draw(epoch, 0, kDrawOrder).permutation(all);
    for (size_t i = 0; i < samples.size(); ++i) samples[i] = kept[static_cast<size_t>(places[i])];
  }
  for (int64_t i = options.shard; i < all; i += options.shards)
    for (int64_t view = 0; view < views; ++view) items.push_back(samples[static_cast<size_t>(i)] * views + view);
  items.resize(static_cast<size_t>(clips_in_epoch()));
  return items;
}

// As many as there are samples: the classes in turn, and of each its samples in an order drawn anew for every round.
std::vector<int64_t> Loader::Impl::balanced_items() const {
  const auto all = std::ssize(dataset.samples);
  std::vector<int64_t> items;
  std::vector<std::vector<int64_t>> rounds(members.size());  // the order of each class, this time
  for (int64_t turn = 0; std::ssize(items) < all; ++turn)
    for (size_t c = 0; c < members.size() && std::ssize(items) < all; ++c) {
      const auto count = std::ssize(members[c]);
      if (count == 0) continue;
      const int64_t time = turn / count;
      if (turn % count == 0)
        rounds[c] = draw(epoch, static_cast<int64_t>(c), kDrawOfClass + static_cast<uint32_t>(time)).permutation(count);
      const auto which = static_cast<size_t>(rounds[c][static_cast<size_t>(turn % count)]);
      items.push_back(members[c][which] + time * all);
    }
  return items;
}

void Loader::Impl::start(int64_t epoch_number, int64_t first_batch) {
  check_range("epoch", epoch_number, 0, INT32_MAX);
  check_range("first batch", first_batch, 0, batches());
  end_epoch();
  epoch = epoch_number;
  order = order_of_epoch();
  stats = {};
  slots.assign(static_cast<size_t>(std::max<int64_t>(1, memory.batches - 1)), {});
  options.source.stop = queue.token();
  const int64_t clips = std::ssize(order), batch = options.batch;
  queue.start(
      {.first = std::min(first_batch * batch, clips),
       .end = clips,
       .group = batch,
       .depth = std::ssize(slots),
       .workers = options.workers},
      [this](int64_t number) { prepare(slot_of(number), number); },
      [this, batch](int64_t place) { decode(slot_of(place / batch), static_cast<size_t>(place % batch)); });
  next_batch = first_batch;
}

void Loader::Impl::prepare(Slot& slot, int64_t batch_number) const {
  const int64_t first = batch_number * options.batch;
  const int64_t count = std::min<int64_t>(options.batch, std::ssize(order) - first);
  const ClipOptions& clip = options.clip;
  // Always of one size, so that its memory can serve the next one.
  const int64_t most = std::min<int64_t>(options.batch, std::ssize(order));
  slot.batch.frames = Tensor::empty({most, clip.frames, clip.height, clip.width, 3}, DType::u8).slice(0, count);
  slot.batch.labels = dataset.head == Head::classification
                          ? Tensor::empty({count}, DType::i64)
                          : Tensor::empty({count, std::ssize(dataset.classes)}, DType::f64);
  slot.batch.items.assign(order.begin() + first, order.begin() + first + count);
  slot.outcomes.assign(static_cast<size_t>(count), {});
}

void Loader::Impl::decode(Slot& slot, size_t position) const {
  uint8_t* frames = static_cast<uint8_t*>(slot.batch.frames.memory());
  slot.outcomes[position] = decode(slot.batch.items[position], std::span(frames + position * clip_bytes, clip_bytes));
}

Outcome Loader::Impl::decode(int64_t item, std::span<uint8_t> rgb) const {
  const StageTimer timer(Stage::open);
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
  constexpr uint32_t kMostTimes = 1024;  // beyond, draws come again
  const uint32_t draws = attempt + kMaxAttempts * (time_of(item) % kMostTimes);
  Random random = clip_draws(options.seed, epoch, sample_of(item), draws);
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

// The next batch; its place is free for another one from now on.
Batch Loader::Impl::take() {
  queue.wait();
  Slot slot = std::exchange(slot_of(next_batch), {});
  ++next_batch;
  queue.taken();
  const JobTimes times = queue.times();
  stats.wait_seconds = times.waited;
  stats.blocked_seconds = times.blocked;
  stats.stages = times.stages;
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
  queue.stop();
  next_batch = batches();
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, options)) {}

Loader::~Loader() = default;

int64_t Loader::size() const { return impl_->batches(); }
int64_t Loader::clips(int64_t first_batch, int64_t end_batch) const {
  const auto before = [this](int64_t batch) { return std::min(batch * impl_->options.batch, impl_->clips_in_epoch()); };
  return before(end_batch) - before(first_batch);
}
LoaderMemory Loader::memory() const { return impl_->memory; }
int64_t Loader::position() const { return impl_->next_batch; }

void Loader::start_epoch(int64_t epoch, int64_t first_batch) { impl_->start(epoch, first_batch); }

bool Loader::next(Batch& batch) {
  try {
    for (batch = {}; impl_->next_batch < impl_->batches(); batch = {}) {
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
