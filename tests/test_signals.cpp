#include <csignal>

#include "engine/tensor.h"
#include "program_run.h"
#include "train/classifier.h"
#include "train/signals.h"

using namespace program_run;
using engine::StopSignals;

namespace {

// Starts a run that would take hours, lets it finish an epoch, and sends it the signal.
Outcome stop_training(const TemporaryFolder& folder, int signal) {
  make_videos(folder / "videos");
  Process process(folder, "engine_train",
                  {folder / "videos", "--out", folder / "run", "--epochs", "100000", "--frames", "1", "--workers", "0",
                   "--progress", "none"});
  CHECK(process.wait_for("Epoch 1/100000 "));
  kill(process.pid(), signal);
  return process.finish();
}

void check_saved(const TemporaryFolder& folder, const Outcome& outcome, const std::string& signal) {
  CHECK(outcome.err.find("stopped by " + signal) != std::string::npos);
  const engine::Classifier classifier = engine::Classifier::load(folder / "run/last.safetensors");
  CHECK(classifier.classes().size() == 10);
  CHECK(classifier.description().step > 0);
  for (const auto& entry : fs::directory_iterator(folder / "run"))
    CHECK(!entry.path().filename().string().starts_with('.'));
}

// The exit code of a child that runs f.
template <class F>
int in_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    f();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("signals: Ctrl-C saves and ends with 130") {
  const TemporaryFolder folder;
  const Outcome outcome = stop_training(folder, SIGINT);
  CHECK(outcome.code == 130);
  check_saved(folder, outcome, "SIGINT");
}

TEST_CASE("signals: SIGTERM saves and ends with 75") {
  const TemporaryFolder folder;
  const Outcome outcome = stop_training(folder, SIGTERM);
  CHECK(outcome.code == 75);
  check_saved(folder, outcome, "SIGTERM");
}

TEST_CASE("signals: the first is remembered, and asks only") {
  const StopSignals signals;
  CHECK(StopSignals::received() == 0);
  raise(SIGUSR1);
  CHECK(StopSignals::received() == SIGUSR1);
  raise(SIGTERM);
  CHECK(StopSignals::received() == SIGUSR1);
  CHECK(engine::stop_exit_code(SIGUSR1) == engine::exit_code::kStopped);
  CHECK(engine::stop_exit_code(SIGINT) == engine::exit_code::kInterrupted);
}

TEST_CASE("signals: a second SIGINT ends the process at once") {
  CHECK(in_child([] {
          const StopSignals signals;
          raise(SIGINT);
          raise(SIGINT);
        }) == 130);
  CHECK(in_child([] {
          const StopSignals signals;
          raise(SIGINT);
        }) == 0);
}

TEST_CASE("signals: the handlers of before come back") {
  CHECK(in_child([] {
          std::signal(SIGTERM, SIG_DFL);
          { const StopSignals signals; }
          raise(SIGTERM);
        }) == -SIGTERM);
}
