#include "train/step_profile.h"

#include <string_view>
#include <unordered_map>

#include "engine/recording.h"
#include "train/op_cost.h"

namespace engine {
namespace {

thread_local const PassRecorder* recorder_here = nullptr;  // of this thread

}  // namespace

PassRecorder::PassRecorder(DeviceClock& clock) : clock_(clock), others_(profiler.load()) {
  recorder_here = this;
  profiler = this;
}

PassRecorder::~PassRecorder() {
  profiler = others_;
  recorder_here = nullptr;
}

double PassRecorder::host_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void PassRecorder::begin(const OpPass& pass) {
  if (others_ != nullptr) others_->begin(pass);
  if (recorder_here != this) return;
  Raw& raw = raw_.emplace_back();
  raw.seen.pass = pass;
  raw.seen.inside = open_.empty() ? -1 : static_cast<int64_t>(open_.back());
  open_.push_back(raw_.size() - 1);
  raw.seen.host_begin = host_seconds();
  raw.begin = clock_.mark();
}

void PassRecorder::end() {
  if (recorder_here == this && !open_.empty()) {
    Raw& raw = raw_[open_.back()];
    open_.pop_back();
    raw.end = clock_.mark();
    raw.seen.host_end = host_seconds();
  }
  if (others_ != nullptr) others_->end();
}

void PassRecorder::operands(const char* op, std::span<const int64_t> from, std::span<const int64_t> to) {
  if (others_ != nullptr) others_->operands(op, from, to);
  if (recorder_here != this || raw_.empty() || std::string_view(raw_.back().seen.pass.op) != op) return;
  raw_.back().from.assign(from.begin(), from.end());
  raw_.back().to.assign(to.begin(), to.end());
}

std::vector<SeenPass> PassRecorder::passes(size_t origin) const {
  const std::vector<double> marks = clock_.marks();
  std::unordered_map<uint64_t, const Raw*> forward;
  std::vector<SeenPass> all;
  for (const Raw& raw : raw_) {
    SeenPass& seen = all.emplace_back(raw.seen);
    seen.begin = marks[raw.begin] - marks[origin];
    seen.end = marks[raw.end] - marks[origin];
    const std::string_view op = seen.pass.op;
    if (!seen.pass.backward || op == "accumulate") {
      seen.bytes = forward_bytes(raw.from, raw.to);
      if (!seen.pass.backward) forward[seen.pass.sequence] = &raw;
    } else if (const auto found = forward.find(seen.pass.sequence); found != forward.end()) {
      seen.pass.flop = backward_flop(op, found->second->seen.pass.flop, raw.to);
      seen.bytes = backward_bytes(op, found->second->from, raw.from, raw.to);
    } else {  // of an op that only looks at its input in another way
      seen.bytes = backward_bytes(op, {}, raw.from, raw.to);
    }
  }
  return all;
}

ProfileWindow::ProfileWindow(Device device, int64_t steps)
    : steps_(steps), profile_{.device = device, .passes = {}, .step_ends = {}}, clock_(make_clock(device)) {
  may_record = false;
  clock_->mark();
}

ProfileWindow::~ProfileWindow() {
  may_record = true;
  if (!recorder_) return;
  try {
    clock_->capture(false);
  } catch (const Error&) {  // a device that fails is told of by what comes next
  }
}

void ProfileWindow::step() {
  if (done()) return;
  ends_.push_back(clock_->mark());
  if (++made_ == kWarmUp) {
    clock_->capture(true);
    recorder_.emplace(*clock_);
  } else if (done()) {
    finish();
  }
}

// The window begins with the mark behind the warm-up's last step.
void ProfileWindow::finish() {
  const size_t origin = ends_[kWarmUp - 1];
  profile_.passes = recorder_->passes(origin);
  recorder_.reset();
  clock_->capture(false);
  const std::vector<double> marks = clock_->marks();
  for (size_t i = kWarmUp; i < ends_.size(); ++i) profile_.step_ends.push_back(marks[ends_[i]] - marks[origin]);
  profile_.steps = std::ssize(profile_.step_ends);
  profile_.seconds = profile_.step_ends.back();
  profile_.unprofiled_seconds = std::min(marks[ends_[kWarmUp - 1]] - marks[ends_[kWarmUp - 2]],
                                         marks[ends_[kWarmUp - 2]] - marks[ends_[kWarmUp - 3]]);
}

const StepProfile& ProfileWindow::result() {
  if (recorder_ && made_ > kWarmUp) finish();
  return profile_;
}

}  // namespace engine
