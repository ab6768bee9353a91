#include "train/cli.h"

#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <system_error>

#include "engine/tensor.h"

namespace engine {

namespace {

// libgomp reads its variables when it is loaded, before main, so the only way to change them from inside is to start
// over with them set. By default idle threads spin for milliseconds, which takes the cores from the threads that decode
// video; threads that sleep at once are woken up for every op, which costs a small one several times its work. So they
// spin for about as long as waking up takes, some ten microseconds, and then sleep.
void make_openmp_wait_shortly(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
  setenv("GOMP_SPINCOUNT", "1000", 0);
  execv("/proc/self/exe", argv);  // returns only where it cannot: then we go on, a little slower
}

int report(const char* name, std::string message, int code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  std::fprintf(stderr, "%s: error: %s\n", name, message.c_str());
  return code;
}

int code_of(const std::system_error& error) {
  const std::error_code code = error.code();
  const bool exhausted = code == std::errc::resource_unavailable_try_again || code == std::errc::not_enough_memory ||
                         code == std::errc::too_many_files_open;
  return exhausted ? exit_code::kMemory : exit_code::kInternal;
}

int guarded(const char* name, int argc, char** argv, int (*body)(int, char**)) {
  try {
    return body(argc, argv);
  } catch (const Error& error) {
    return report(name, error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return report(name, "out of memory; close other programs or ask for less", exit_code::kMemory);
  } catch (const std::system_error& error) {
    return report(name, error.what(), code_of(error));
  } catch (const std::exception& error) {
    return report(name, concat("internal error: ", error.what()), exit_code::kInternal);
  }
}

// Whether stdout is a pipe that nobody reads any more.
bool reader_went_away() {
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

// Help that starts with the examples, which are the footer to CLI11.
class ExamplesFirst : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    if (mode == CLI::AppFormatMode::Sub) return make_expanded(app);
    const std::string footer = app->get_footer();
    std::string help = make_description(app) + (footer.empty() ? "" : "\n" + footer + "\n\n") + make_usage(app, name) +
                       make_positionals(app) + make_groups(app, mode) + make_subcommands(app, mode);
    for (size_t at = 0; (at = help.find("\n\n\n", at)) != std::string::npos;) help.erase(at, 1);
    return help;
  }
};

void set_formatter(CLI::App& app, const std::shared_ptr<CLI::FormatterBase>& formatter) {
  app.formatter(formatter);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) set_formatter(*command, formatter);
}

const CLI::App& chosen_command(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : chosen_command(*chosen.front());
}

// "engine_data make"
std::string full_name(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent ? full_name(*parent) + " " + app.get_name() : app.get_name();
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// What is wrong with a line that CLI11 could not make sense of, where it would only say that something is missing or
// left.
std::string explain_leftover(const CLI::App& app) {
  const CLI::App& command = chosen_command(app);
  const std::vector<std::string> left = app.remaining(true), commands = command_names(command);
  const auto is_flag = [](const std::string& word) { return word.size() > 1 && word.front() == '-'; };
  if (!commands.empty() && command.get_require_subcommand_min() > 0) {
    const auto word = std::find_if_not(left.begin(), left.end(), is_flag);
    if (word != left.end()) {
      return concat("unknown command '", *word, "'", did_you_mean(*word, commands), " (commands: ", joined(commands),
                    ")");
    }
  }
  const auto flag = std::find_if(left.begin(), left.end(), is_flag);
  if (flag != left.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    return concat("unknown flag ", name, did_you_mean(name, flag_names(command)));
  }
  if (!commands.empty() && left.empty()) return concat("no command given (commands: ", joined(commands), ")");
  return left.empty() ? "" : concat("unexpected argument '", left.front(), "'");
}

// Edit distance with swaps of neighbours (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, above, row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::move(above);
    above = row;
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

int run_program(const char* name, int argc, char** argv, int (*body)(int, char**)) {
  make_openmp_wait_shortly(argv);
  // A closed pipe and a limit of file sizes are errors of write(), not the end of a run.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const int code = guarded(name, argc, argv, body);
  const bool failed = (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && !reader_went_away();
  if (failed && code == exit_code::kOk) {
    return report(name, "standard output cannot be written to; the results there are not complete",
                  exit_code::kStorage);
  }
  return code;
}

bool parse_command_line(CLI::App& app, int argc, char** argv) {
  app.set_version_flag("--version", concat(app.get_name(), " ", ENGINE_VERSION));
  set_formatter(app, std::make_shared<ExamplesFirst>());
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version.what());
    return false;
  } catch (const CLI::ParseError& error) {
    const bool unclear = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                         dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    const std::string explained = unclear ? explain_leftover(app) : "";
    throw Error(
        concat(explained.empty() ? error.what() : explained, "; see ", full_name(chosen_command(app)), " --help"),
        exit_code::kUsage);
  }
}

std::string nearest_name(std::string_view given, const std::vector<std::string>& known) {
  const size_t limit = std::max<size_t>(1, given.size() / 3);  // further away it is another word
  std::string nearest;
  size_t smallest = limit + 1;
  for (const std::string& name : known) {
    const size_t distance = edit_distance(given, name);
    if (distance < smallest) {
      smallest = distance;
      nearest = name;
    }
  }
  return nearest;
}

std::string did_you_mean(std::string_view given, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(given, known);
  return nearest.empty() ? "" : concat("; did you mean '", nearest, "'?");
}

}  // namespace engine
