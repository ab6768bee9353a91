#include "io/stages.h"

#include <chrono>
#include <utility>

namespace engine {
namespace {

constexpr size_t kNone = kStages;  // what is outside of every stage

struct Account {
  size_t stage = kNone;
  int64_t since = 0;  // nanoseconds
  std::array<int64_t, kStages + 1> spent{};
};
constinit thread_local Account account;

size_t change_to(size_t stage) {
  const int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  account.spent[account.stage] += now - account.since;
  account.since = now;
  return std::exchange(account.stage, stage);
}

}  // namespace

StageTimer::StageTimer(Stage stage) : before_(change_to(static_cast<size_t>(stage))) {}
StageTimer::~StageTimer() { change_to(before_); }

StageSeconds stage_seconds() {
  change_to(account.stage);
  StageSeconds seconds{};
  for (size_t i = 0; i < kStages; ++i) seconds[i] = 1e-9 * static_cast<double>(account.spent[i]);
  return seconds;
}

}  // namespace engine
