// Being told to stop. The handlers only set a flag; the training loop looks at it between steps.
#pragma once

namespace engine {

// While alive, SIGINT, SIGTERM and SIGUSR1 ask for a stop instead of ending the process. A second SIGINT ends it at
// once with exit code 130. One object at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();  // the handlers that were there before are back
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The first signal that came, 0 when none did.
  static int received();
};

// What a program that was stopped by `signal` ends with: exit_code::kInterrupted for SIGINT, kStopped for the others.
int stop_exit_code(int signal);
// "SIGINT" and so on, for messages.
const char* signal_name(int signal);

}  // namespace engine
