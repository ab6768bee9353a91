// The settings of a program, declared once: from the declarations come the command-line flags, the help, the reading
// and checking of TOML files and the resolved configuration as TOML text.
#pragma once

#include <charconv>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace engine {

enum class ValueKind { boolean, integer, number, text };

// One setting. Its value lives in a variable of the program; the functions read and write it.
struct Option {
  std::string flag;        // without the dashes; upper case: a positional argument
  std::string key;         // "section.name" in a file; empty: on the command line only
  std::string value_name;  // what the help calls the value
  std::string help;
  std::string domain;                // the values allowed, in words: "a number over 0"
  std::vector<std::string> choices;  // the words allowed, where there are only some
  std::string group;
  ValueKind kind = ValueKind::text;
  std::function<bool(const std::string& text)> set;  // false, and no change, when the text is not in the domain
  std::function<std::string()> get;                  // the value as text that set() takes
};

// The numbers allowed: low <= x <= high, or low < x where `above`.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above = false;
  bool contains(double x) const { return (above ? x > low : x >= low) && x <= high; }  // false for NaN
};

// Names an option: {"lr", "optim.lr", "X", "Learning rate after the warm-up"}.
struct OptionName {
  std::string flag, key, value_name, help;
};

// Variables bound to a table must outlive it; they hold the defaults when they are declared. Every error is an Error of
// code kUsage, one line that names the flag, or the file, line and column.
class OptionTable {
 public:
  OptionTable() = default;
  OptionTable(const OptionTable&) = delete;
  OptionTable& operator=(const OptionTable&) = delete;

  // The heading in the help for the options that follow.
  void group(const std::string& title) { group_ = title; }
  void boolean(OptionName name, bool& value);
  void number(OptionName name, double& value, Range range);
  void number(OptionName name, std::optional<double>& value, Range range);  // also "auto": no value
  void integer(OptionName name, int64_t& value, Range range);
  void integer(OptionName name, std::optional<int64_t>& value, Range range);  // also "auto": no value
  void text(OptionName name, std::string& value);
  template <class E>
  void choice(OptionName name, E& value, const std::vector<std::pair<std::string, E>>& choices);
  // Any other type, by its own conversions.
  // `choices`: the words that are offered, in help and for misspellings.
  void custom(OptionName name, std::string domain, std::function<bool(const std::string&)> set,
              std::function<std::string()> get, std::vector<std::string> choices = {});

  const std::vector<Option>& options() const { return options_; }

  // Declares the flags to CLI11. What it parses takes effect in apply_flags(), so that files can come before flags.
  // Only the flags in `shown` are in the help; all of them when it is empty.
  void bind(CLI::App& app, const std::vector<std::string>& shown = {});
  void apply_flags();
  // Reads a TOML file. Unknown keys are errors with the nearest known name.
  void read_file(const std::string& path);
  // The same of its text; `where` stands for the path in messages.
  void read_text(const std::string& text, const std::string& where);
  // All settings that have a key, with their help as comments; read_file() understands it.
  std::string to_toml() const;

 private:
  Option& add(OptionName name, ValueKind kind);
  void read(const std::string& path, const std::string* text);
  void assign(const Option& option, const std::string& text, const std::string& where) const;

  std::string group_ = "Options";
  std::vector<Option> options_;
  std::vector<std::pair<size_t, std::string>> given_;  // option and text, in the order of the command line
};

// "a, b, c".
std::string joined(const std::vector<std::string>& words);

template <class E>
void OptionTable::choice(OptionName name, E& value, const std::vector<std::pair<std::string, E>>& choices) {
  std::vector<std::string> words;
  for (const auto& [word, each] : choices) words.push_back(word);
  custom(
      std::move(name), "one of " + joined(words),
      [&value, choices](const std::string& text) {
        for (const auto& [word, each] : choices)
          if (word == text) return value = each, true;
        return false;
      },
      [&value, choices] {
        for (const auto& [word, each] : choices)
          if (each == value) return word;
        return std::string();
      });
  options_.back().choices = words;
}

}  // namespace engine
