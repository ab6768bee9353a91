#include "io/list_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "engine/tensor.h"
#include "io/text.h"

namespace engine {

namespace {

constexpr size_t kMaxLine = 65536;
constexpr uintmax_t kMaxBytes = uintmax_t{1} << 30;

struct Line {
  std::string text;
  int number;
};

[[noreturn]] void refuse(const std::string& file, int line, const std::string& why) {
  throw Error(concat(escaped(file), ":", line, ": ", why), exit_code::kData);
}

std::string trim(std::string text, std::string_view characters) {
  text.erase(text.find_last_not_of(characters) + 1);
  text.erase(0, text.find_first_not_of(characters));
  return text;
}

// The lines that say something, trimmed of `blanks`.
std::vector<Line> read_lines(const std::string& file, char comment = '#', std::string_view blanks = " \t\r") {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error))
    throw Error(concat(escaped(file), ": no such file"), exit_code::kNoInput);
  if (std::filesystem::file_size(file, error) > kMaxBytes)
    throw Error(concat(escaped(file), ": larger than 1 GiB; this is no list"), exit_code::kData);
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw Error(concat(escaped(file), ": cannot be opened"), exit_code::kNoInput);
  std::vector<Line> lines;
  std::string text;
  for (int number = 1; std::getline(stream, text); ++number) {
    if (number == 1 && text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    if (text.size() > kMaxLine) refuse(file, number, concat("longer than ", kMaxLine, " bytes"));
    if (number == 1 && (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")))
      refuse(file, number, "UTF-16; save the file as UTF-8");
    if (text.find('\0') != text.npos) refuse(file, number, "a NUL byte; this is not a text file");
    text = trim(text, blanks);
    if (!text.empty() && (comment == 0 || text[0] != comment)) lines.push_back({text, number});
  }
  if (stream.bad()) throw Error(concat(escaped(file), ": cannot be read"), exit_code::kNoInput);
  return lines;
}

// `text` without the quotes around it, if there are any.
std::string unquote(const std::string& file, int line, const std::string& text) {
  if (!text.starts_with('"')) return text;
  std::string result;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      if (i + 1 == text.size()) return result;
      if (text[++i] != '"') break;
    }
    result += text[i];
  }
  refuse(file, line, "a quote is not closed");
}

// Where the label starts in a line. A quoted label starts at the quote that follows a separator.
size_t label_start(const std::string& text, std::string_view separators) {
  if (!text.ends_with('"')) return text.find_last_of(separators) + 1;
  for (size_t i = text.size() - 1; i-- > 1;)
    if (text[i] == '"' && separators.find(text[i - 1]) != separators.npos) return i;
  return 0;
}

ListEntry entry_of(const std::string& file, const Line& line, LabelColumn column) {
  const auto& [text, number] = line;
  if (column == LabelColumn::none) return {unquote(file, number, text), "", number};
  const bool several = column == LabelColumn::several;
  const std::string_view separators = several ? " \t" : " \t,";
  const size_t start = label_start(text, separators);
  const std::string path = trim(text.substr(0, start), separators);
  if (several && (path.empty() || path.ends_with(',') || text.substr(start).starts_with(',')))
    refuse(file, number,
           "a path and labels are expected: a blank or tab between the two, and commas without blanks between labels");
  if (path.empty() || start == text.size())
    refuse(file, number, "a path and a label are expected, separated by a blank, tab or comma");
  return {unquote(file, number, path), unquote(file, number, text.substr(start)), number};
}

std::vector<std::string> cells_of(const std::string& file, const Line& line, char separator) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (const char c : line.text) {
    if (c == '"') quoted = !quoted;
    if (c == separator && !quoted)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  for (std::string& cell : cells) cell = unquote(file, line.number, trim(cell, " "));
  return cells;
}

}  // namespace

std::vector<ListEntry> read_list(const std::string& file, LabelColumn column, std::vector<std::string>* problems,
                                 char comment) {
  std::vector<ListEntry> entries;
  for (const Line& line : read_lines(file, comment)) {
    try {
      entries.push_back(entry_of(file, line, column));
    } catch (const Error& error) {
      if (!problems) throw;
      problems->push_back(error.what());
    }
  }
  return entries;
}

bool is_list_name(const std::string& name) {
  return name.ends_with(".txt") || name.ends_with(".csv") || name.ends_with(".tsv") || name.ends_with(".list");
}

std::vector<std::string> read_paths(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  std::vector<std::string> paths;
  for (const Line& line : read_lines(file)) {
    std::error_code error;
    std::string path;
    for (const LabelColumn column : {LabelColumn::none, LabelColumn::one, LabelColumn::several}) {
      try {
        const std::string found = (folder / entry_of(file, line, column).path).string();
        if (path.empty()) path = found;
        if (!std::filesystem::exists(found, error)) continue;
        path = found;
        break;
      } catch (const Error&) {
        if (column == LabelColumn::several && path.empty()) throw;
      }
    }
    paths.push_back(path);
  }
  return paths;
}

int64_t TextTable::column(const std::string& name) const {
  const auto found = std::ranges::find(columns, name);
  return found == columns.end() ? -1 : found - columns.begin();
}

TextTable read_table(const std::string& file) {
  TextTable table;
  char separator = ',';
  for (const Line& line : read_lines(file, '#', "\r")) {
    if (table.columns.empty()) {
      if (line.text.find('\t') != line.text.npos) separator = '\t';
      table.columns = cells_of(file, line, separator);
      continue;
    }
    std::vector<std::string> cells = cells_of(file, line, separator);
    if (cells.size() > table.columns.size())
      refuse(file, line.number,
             concat(cells.size(), " cells where the first line names ", table.columns.size(),
                    " columns; put a cell with separators in it into double quotes"));
    cells.resize(table.columns.size());
    table.rows.push_back({std::move(cells), line.number});
  }
  if (table.columns.empty())
    throw Error(concat(escaped(file), ": an empty table; its first line must name the columns"), exit_code::kData);
  return table;
}

std::string quoted_for_list(const std::string& text) {
  if (!text.empty() && text.find_first_of(" \t,\"#") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

std::vector<std::string> read_classes(const std::string& file) {
  std::vector<std::string> names;
  for (const auto& [text, number] : read_lines(file)) {
    const std::string name = unquote(file, number, text);
    if (std::ranges::find(names, name) != names.end())
      refuse(file, number, concat("class \"", escaped(name), "\" is there twice"));
    names.push_back(name);
  }
  return names;
}

}  // namespace engine
