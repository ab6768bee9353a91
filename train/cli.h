// What every command-line program here shares: its frame, its parsing, its one-line errors.
//
//   int body(int argc, char** argv) {
//     CLI::App app("Learns from video", "engine_train");
//     app.footer("Examples:\n  engine_train DATA");   // the help starts with it
//     ...
//     if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
//     ...
//   }
//   int main(int argc, char** argv) { return engine::run_program("engine_train", argc, argv, body); }
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace engine {

// A subcommand, declared; run() does what was asked for and returns the exit code.
struct Subcommand {
  CLI::App* app;
  std::function<int()> run;
};

// Runs body(argc, argv) and returns its exit code. What it throws becomes one line on stderr, `NAME: error: ...`, and
// an exit code: that of an Error; kMemory when memory, threads or descriptors ran out; kInternal for any other
// exception. Before that, OpenMP's threads are set to sleep while they wait, and SIGPIPE and SIGXFSZ are ignored.
// Afterwards stdout is flushed: kStorage when that fails, unless its reader went away.
int run_program(const char* name, int argc, char** argv, int (*body)(int, char**));

// Parses the arguments and returns true; prints the help or the version on stdout and returns false where they are
// asked for. Adds --version, and shows the footers (examples) of `app` and its subcommands at the top of the help.
// Anything wrong is an Error of one line with code kUsage; an unknown flag or subcommand comes with the nearest known
// name.
bool parse_command_line(CLI::App& app, int argc, char** argv);

// The one of `known` that `given` is most likely a misspelling of; empty where none is near.
std::string nearest_name(std::string_view given, const std::vector<std::string>& known);
// "; did you mean 'NAME'?", or nothing where no known name is near: the end of a message about an unknown name.
std::string did_you_mean(std::string_view given, const std::vector<std::string>& known);

}  // namespace engine
