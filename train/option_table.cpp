#include "train/option_table.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cmath>
#include <sstream>

#include "engine/tensor.h"
#include "train/cli.h"

namespace engine {
namespace {

[[noreturn]] void refuse(const std::string& sentence) { throw Error(sentence, exit_code::kUsage); }

template <class T>
bool parse(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stopped == end;
}

template <class T>
bool set_number(const std::string& text, const Range& range, T& value) {
  T parsed{};
  if (!parse(text, parsed) || !range.contains(static_cast<double>(parsed))) return false;
  value = parsed;
  return true;
}

std::string words_for(const Range& range, const char* kind) {
  const bool low = std::isfinite(range.low), high = std::isfinite(range.high);
  if (low && range.above)
    return fmt::format("{} over {}{}", kind, range.low, high ? fmt::format(" and at most {}", range.high) : "");
  if (low && high) return fmt::format("{} from {} to {}", kind, range.low, range.high);
  if (low) return fmt::format("{}, at least {}", kind, range.low);
  return kind;
}

// TOML tells numbers from integers by the point.
std::string number_text(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == text.npos ? text + ".0" : text;
}

bool is_positional(const Option& option) { return std::isupper(static_cast<unsigned char>(option.flag[0])) != 0; }

std::string flag_name(const Option& option) { return is_positional(option) ? option.flag : "--" + option.flag; }

std::string help_text(const Option& option) {
  if (option.kind == ValueKind::boolean) return option.help;
  const std::string value = option.get();
  std::string notes = option.choices.empty() ? "" : fmt::format("{}; ", fmt::join(option.choices, ", "));
  notes += value.empty() ? "" : fmt::format("default {}", value);
  return notes.empty() ? option.help : fmt::format("{} ({})", option.help, notes);
}

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string toml_value(const Option& option) {
  const std::string text = option.get();
  const bool bare = option.kind != ValueKind::text && text != "auto";
  return bare ? text : quoted(text);
}

// The text of a value in a file; nullopt when its TOML type cannot be one of the option's kind.
std::optional<std::string> text_of(const toml::node& node, ValueKind kind) {
  if (const auto* flag = node.as_boolean(); flag != nullptr && kind == ValueKind::boolean)
    return flag->get() ? "true" : "false";
  if (kind == ValueKind::boolean) return std::nullopt;
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* text = node.as_string(); text != nullptr && (kind == ValueKind::text || text->get() == "auto"))
    return text->get();
  return std::nullopt;
}

std::string place(const std::string& path, const toml::source_region& source) {
  return fmt::format("{}:{}:{}: ", path, source.begin.line, source.begin.column);
}

// The key that was meant: one spelled alike, or one of the same name in another section.
std::string suggestion(const std::string& key, const std::vector<std::string>& keys) {
  const auto name_in = [](const std::string& each) { return each.substr(each.find('.') + 1); };
  if (!nearest_name(key, keys).empty()) return did_you_mean(key, keys);
  for (const std::string& each : keys)
    if (name_in(each) == name_in(key)) return did_you_mean(each, {each});
  return "";
}

// A text, or where there is none the file.
toml::table parse_toml(const std::string& path, const std::string* text) {
  try {
    return text != nullptr ? toml::parse(*text, path) : toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    if (text == nullptr && error.source().begin.line == 0)
      throw Error(fmt::format("{}: cannot be read: {}", path, error.description()), exit_code::kNoInput);
    refuse(place(path, error.source()) + std::string(error.description()));
  }
}

}  // namespace

std::string joined(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, ", ")); }

Option& OptionTable::add(OptionName name, ValueKind kind) {
  Option& option = options_.emplace_back();
  option.flag = std::move(name.flag);
  option.key = std::move(name.key);
  option.value_name = std::move(name.value_name);
  option.help = std::move(name.help);
  option.group = group_;
  option.kind = kind;
  return option;
}

void OptionTable::boolean(OptionName name, bool& value) {
  Option& option = add(std::move(name), ValueKind::boolean);
  option.domain = "true or false";
  option.set = [&value](const std::string& text) {
    if (text != "true" && text != "false") return false;
    value = text == "true";
    return true;
  };
  option.get = [&value] { return std::string(value ? "true" : "false"); };
}

void OptionTable::number(OptionName name, double& value, Range range) {
  Option& option = add(std::move(name), ValueKind::number);
  option.domain = words_for(range, "a number");
  option.set = [&value, range](const std::string& text) { return set_number(text, range, value); };
  option.get = [&value] { return number_text(value); };
}

void OptionTable::integer(OptionName name, int64_t& value, Range range) {
  Option& option = add(std::move(name), ValueKind::integer);
  option.domain = words_for(range, "an integer");
  option.set = [&value, range](const std::string& text) { return set_number(text, range, value); };
  option.get = [&value] { return std::to_string(value); };
}

void OptionTable::number(OptionName name, std::optional<double>& value, Range range) {
  Option& option = add(std::move(name), ValueKind::number);
  option.domain = words_for(range, "a number") + ", or auto";
  option.set = [&value, range](const std::string& text) {
    double parsed = 0;
    if (text == "auto") return value.reset(), true;
    return set_number(text, range, parsed) ? (value = parsed, true) : false;
  };
  option.get = [&value] { return value ? number_text(*value) : std::string("auto"); };
}

void OptionTable::integer(OptionName name, std::optional<int64_t>& value, Range range) {
  Option& option = add(std::move(name), ValueKind::integer);
  option.domain = words_for(range, "an integer") + ", or auto";
  option.set = [&value, range](const std::string& text) {
    int64_t parsed = 0;
    if (text == "auto") return value.reset(), true;
    return set_number(text, range, parsed) ? (value = parsed, true) : false;
  };
  option.get = [&value] { return value ? std::to_string(*value) : std::string("auto"); };
}

void OptionTable::text(OptionName name, std::string& value) {
  custom(
      std::move(name), "", [&value](const std::string& text) { return value = text, true; },
      [&value] { return value; });
}

void OptionTable::custom(OptionName name, std::string domain, std::function<bool(const std::string&)> set,
                         std::function<std::string()> get, std::vector<std::string> choices) {
  Option& option = add(std::move(name), ValueKind::text);
  option.domain = std::move(domain);
  option.choices = std::move(choices);
  option.set = std::move(set);
  option.get = std::move(get);
}

void OptionTable::bind(CLI::App& app, const std::vector<std::string>& shown) {
  for (size_t i = 0; i < options_.size(); ++i) {
    const Option& option = options_[i];
    const std::string name = flag_name(option);
    const bool hidden = !shown.empty() && std::ranges::count(shown, option.flag) == 0;
    const std::string group = hidden ? "" : option.group;
    if (option.kind == ValueKind::boolean) {
      app.add_flag_function(
             name, [this, i](int64_t count) { given_.emplace_back(i, count > 0 ? "true" : "false"); },
             help_text(option))
          ->group(group);
      continue;
    }
    app.add_option_function<std::string>(
           name, [this, i](const std::string& text) { given_.emplace_back(i, text); }, help_text(option))
        ->group(group)
        ->type_name(option.value_name)
        ->take_last();
  }
}

void OptionTable::assign(const Option& option, const std::string& text, const std::string& where) const {
  if (option.set(text)) return;
  refuse(fmt::format("{} must be {}, not '{}'{}", where, option.domain, text, did_you_mean(text, option.choices)));
}

void OptionTable::apply_flags() {
  for (const auto& [index, text] : given_) assign(options_[index], text, flag_name(options_[index]));
}

void OptionTable::read_file(const std::string& path) { read(path, nullptr); }

void OptionTable::read_text(const std::string& text, const std::string& where) { read(where, &text); }

void OptionTable::read(const std::string& path, const std::string* text) {
  const toml::table file = parse_toml(path, text);
  std::vector<std::string> keys;
  for (const Option& option : options_)
    if (!option.key.empty()) keys.push_back(option.key);

  const auto read = [&](const std::string& key, const toml::source_region& where, const toml::node& node) {
    const auto found = std::find_if(options_.begin(), options_.end(), [&](const Option& o) { return o.key == key; });
    if (found == options_.end())
      refuse(fmt::format("{}unknown key '{}'{}", place(path, where), key, suggestion(key, keys)));
    const std::optional<std::string> value = text_of(node, found->kind);
    if (!value)
      refuse(concat(place(path, node.source()), key, " must be ", found->domain.empty() ? "a text" : found->domain,
                    ", not a TOML ", node.type()));
    assign(*found, *value, place(path, node.source()) + key);
  };
  for (const auto& [section, node] : file) {
    const std::string name(section.str());
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      read(name, section.source(), node);
      continue;
    }
    for (const auto& [key, value] : *table) read(name + "." + std::string(key.str()), key.source(), value);
  }
}

std::string OptionTable::to_toml() const {
  std::string text, section;
  for (const Option& option : options_) {
    if (option.key.empty()) continue;
    const size_t dot = option.key.find('.');
    if (option.key.substr(0, dot) != section) {
      section = option.key.substr(0, dot);
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    }
    const std::string domain = option.domain.empty() ? "" : fmt::format(" ({})", option.domain);
    text += fmt::format("# {}{}\n{} = {}\n", option.help, domain, option.key.substr(dot + 1), toml_value(option));
  }
  return text;
}

}  // namespace engine
