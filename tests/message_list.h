// The messages of errors that sources make, and the texts that tests quote: read from the sources by a small lexer.
#pragma once

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace engine::test {

struct Token {
  enum class Kind { word, text, sign } kind;
  std::string text;  // of a literal what it stands for
  int line;
};

// The tokens of a C++ source: without comments and preprocessor lines, with neighbouring literals joined.
class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    while (at_ < source_.size()) next();
  }
  std::vector<Token> take() { return std::move(tokens_); }

 private:
  char look(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
  void skip_to(std::string_view end) {
    const size_t found = source_.find(end, at_);
    const size_t stop = found == source_.npos ? source_.size() : found + end.size();
    line_ += static_cast<int>(std::ranges::count(source_.substr(at_, stop - at_), '\n'));
    at_ = stop;
  }
  void add(Token::Kind kind, std::string text) {
    const bool joins = kind == Token::Kind::text && !tokens_.empty() && tokens_.back().kind == kind;
    if (joins)
      tokens_.back().text += text;
    else
      tokens_.push_back({kind, std::move(text), line_});
    starts_line_ = false;
  }

  void next() {
    const char c = look();
    if (c == '\n') {
      ++line_, ++at_;
      starts_line_ = true;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at_;
    } else if (c == '#' && starts_line_) {
      while (at_ < source_.size() && look() != '\n') at_ += look() == '\\' && look(1) == '\n' ? (++line_, 2) : 1;
    } else if (c == '/' && look(1) == '/') {
      at_ = std::min(source_.find('\n', at_), source_.size());
    } else if (c == '/' && look(1) == '*') {
      skip_to("*/");
    } else if (c == 'R' && look(1) == '"') {
      raw();
    } else if (is_word(c)) {
      word();
    } else if (c == '"' || c == '\'') {
      quoted(c);
    } else {
      const bool is_scope = c == ':' && look(1) == ':';
      add(Token::Kind::sign, std::string(is_scope ? 2 : 1, c));
      at_ += is_scope ? 2 : 1;
    }
  }
  void word() {
    const size_t begin = at_;
    const bool number = std::isdigit(static_cast<unsigned char>(look())) != 0;
    while (is_word(look()) || (number && (look() == '.' || (look() == '\'' && is_word(look(1)))))) ++at_;
    const std::string text(source_.substr(begin, at_ - begin));
    if (text != "s" || tokens_.empty() || tokens_.back().kind != Token::Kind::text)  // the s of "..."s
      add(Token::Kind::word, text);
  }
  void raw() {
    const size_t open = source_.find('(', at_);
    const std::string end = ")" + std::string(source_.substr(at_ + 2, open - at_ - 2)) + "\"";
    const size_t close = std::min(source_.find(end, open), source_.size());
    add(Token::Kind::text, std::string(source_.substr(open + 1, close - open - 1)));
    skip_to(end);
  }
  void quoted(char quote) {
    std::string text;
    for (++at_; at_ < source_.size() && look() != quote; ++at_)
      if (look() == '\\')
        escape(text);
      else
        text += look();
    ++at_;
    add(quote == '"' ? Token::Kind::text : Token::Kind::sign, std::move(text));
  }
  void escape(std::string& text) {
    static const std::map<char, char> kKnown = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'a', '\a'}, {'0', '\0'}};
    ++at_;
    if (look() == 'x') {  // what follows is no part of a sentence
      while (std::isxdigit(static_cast<unsigned char>(look(1))) != 0) ++at_;
      text += '\x1a';
      return;
    }
    const auto known = kKnown.find(look());
    text += known != kKnown.end() ? known->second : look();
  }

  std::string_view source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool starts_line_ = true;
};

inline std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).take(); }

// Whether there is more in it than punctuation: two letters in a row.
inline bool says_words(std::string_view text) {
  const auto is_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  return std::ranges::adjacent_find(text, [&](char a, char b) { return is_letter(a) && is_letter(b); }) != text.end();
}

// One sentence that a source can say: the parts of it that it says in each case, without those of mere punctuation.
struct Message {
  std::string place;  // file:line
  std::vector<std::string> parts;

  std::string text() const {
    std::string all;
    for (const std::string& part : parts) all += (all.empty() ? "" : " ... ") + part;
    return all;
  }
};

// Which names make messages in a file: functions, lambdas and variables; `name()` stands for what that function
// returns.
using Makers = std::map<std::string, std::set<std::string>>;

// A run of this many characters tells one sentence from another.
constexpr size_t kTelling = 14;

// Finds the messages of one file: the literals that are given to Error, SourceError or a maker, given to a variable
// that is one, or returned by a function that is one. Texts of fmt are taken apart at their {}. One of several choices
// (a literal behind ? or :) of at least kTelling characters is a message of its own; shorter ones are where nothing
// else is said.
class MessageReader {
 public:
  MessageReader(std::string file, std::string_view source, const Makers& makers)
      : file_(std::move(file)), tokens_(tokens_of(source)) {
    if (const auto found = makers.find(file_); found != makers.end()) makers_ = found->second;
    for (size_t i = 0; i < tokens_.size(); ++i) find_parameters(i);
    for (size_t i = 0; i < tokens_.size();) i = read(i);
  }
  const std::vector<Message>& messages() const { return messages_; }
  // Calls that make an error of a text that comes from no known maker, as file:line.
  const std::vector<std::string>& unknown() const { return unknown_; }
  // The makers of this file that made a message or hand one on.
  const std::set<std::string>& useful() const { return useful_; }

 private:
  bool is(size_t at, std::string_view sign) const { return at < tokens_.size() && tokens_[at].text == sign; }
  bool is_word(size_t at) const { return at < tokens_.size() && tokens_[at].kind == Token::Kind::word; }
  bool is_maker(size_t at) const { return is_word(at) && makers_.contains(tokens_[at].text); }
  bool is_error(size_t at) const {
    return is_word(at) && (tokens_[at].text == "Error" || tokens_[at].text == "SourceError");
  }

  // Behind the bracket that closes the one at `at`.
  size_t past_bracket(size_t at) const {
    int depth = 0;
    for (; at < tokens_.size(); ++at) {
      if (tokens_[at].kind != Token::Kind::sign) continue;
      const std::string& sign = tokens_[at].text;
      if (sign == "(" || sign == "[" || sign == "{") ++depth;
      if ((sign == ")" || sign == "]" || sign == "}") && --depth == 0) return at + 1;
    }
    return at;
  }
  size_t past_statement(size_t at) const {
    while (at < tokens_.size() && !is(at, ";")) at = is(at, "(") || is(at, "{") ? past_bracket(at) : at + 1;
    return at;
  }
  bool has(size_t begin, size_t end, std::string_view word) const {
    return std::any_of(tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
                       tokens_.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](const Token& token) { return token.kind == Token::Kind::word && token.text == word; });
  }
  bool is_declaration(size_t begin, size_t end) const { return has(begin, end, "const"); }

  // Remembers the names of what a maker is given.
  void find_parameters(size_t at) {
    if (!is_maker(at) && !is_error(at)) return;
    size_t open = at + 1;
    if (is(open, "=") && is(open + 1, "[")) open = past_bracket(open + 1);
    if (!is(open, "(")) return;
    const size_t end = past_bracket(open);
    if (!is_declaration(open, end)) return;
    for (size_t i = open; i < end; ++i)
      if (is_word(i)) parameters_[tokens_[i].text].insert(tokens_[at].text);
  }

  size_t read(size_t at) {
    const bool error = is_error(at);
    if (!error && !is_maker(at)) return is_word(at) ? read_function(at) : at + 1;
    if (is(at + 1, "(")) {
      const size_t end = past_bracket(at + 1);
      if (is_declaration(at + 1, end)) return read_function(at);
      const bool said = say(at, end);
      check_source(at, end, said);
      return said ? end : at + 1;
    }
    if (!error && (is(at + 1, "=") || (is(at + 1, "+") && is(at + 2, "="))) && !is(at + 2, "[")) {
      const size_t end = past_statement(at);
      return say(at, end) ? end : at + 1;
    }
    return at + 1;
  }
  // The texts that a function returns, where `name()` is a maker.
  size_t read_function(size_t at) {
    const std::string key = tokens_[at].text + "()";
    if (!makers_.contains(key)) return at + 1;
    size_t open = at + 1;
    if (is(open, "=") && is(open + 1, "[")) open = past_bracket(open + 1);
    if (!is(open, "(")) return at + 1;
    open = past_bracket(open);
    while (is(open, "const") || is(open, "noexcept")) ++open;
    if (!is(open, "{")) return at + 1;
    const size_t end = past_bracket(open);
    for (size_t i = open; i < end; ++i)
      if (is(i, "return") && say(i, past_statement(i))) useful_.insert(key);
    return at + 1;
  }

  // Whether what is at `at` is not said but compared with.
  bool is_compared(size_t at) const {
    const bool before = at > 1 && is(at - 1, "=") && (is(at - 2, "=") || is(at - 2, "!"));
    return before || ((is(at + 1, "=") || is(at + 1, "!")) && is(at + 2, "="));
  }
  // Adds the literals of [begin, end) as messages; whether there are any.
  bool say(size_t begin, size_t end) {
    Message whole{place_of(begin), {}};
    bool said = false;
    std::vector<std::string> choices;
    std::vector<bool> formats;  // of each open bracket, whether it is a call of fmt::format
    for (size_t i = begin; i < end; ++i) {
      if (tokens_[i].kind == Token::Kind::sign && is(i, "(")) formats.push_back(i > 0 && is(i - 1, "format"));
      if (tokens_[i].kind == Token::Kind::sign && is(i, ")") && !formats.empty()) formats.pop_back();
      if (tokens_[i].kind != Token::Kind::text) continue;
      said = true;
      const bool choice = i > begin && (is(i - 1, "?") || is(i - 1, ":"));
      if (is_compared(i)) continue;
      if (choice)
        choices.push_back(tokens_[i].text);
      else
        add_parts(whole.parts, tokens_[i].text, !formats.empty() && formats.back());
    }
    if (!whole.parts.empty()) messages_.push_back(whole);
    for (const std::string& choice : choices)
      if (says_words(choice) && (choice.size() >= kTelling || whole.parts.empty()))
        messages_.push_back({whole.place, {choice}});
    if (said && is_maker(begin)) useful_.insert(tokens_[begin].text);
    return said;
  }
  static void add_parts(std::vector<std::string>& parts, const std::string& text, bool format) {
    std::string part;
    const auto end_part = [&] {
      if (says_words(part)) parts.push_back(part);
      part.clear();
    };
    for (size_t i = 0; i < text.size(); ++i) {
      if (format && text[i] == '{' && i + 1 < text.size() && text[i + 1] != '{') {
        end_part();
        i = std::min(text.find('}', i), text.size());
      } else {
        part += text[i];
        if (format && (text[i] == '{' || text[i] == '}')) ++i;
      }
    }
    end_part();
  }

  // What a call hands on besides its literals must come from a maker: the text of a call without any, and what is
  // called as texts are called here. That of another error, of the system or of a library is made elsewhere.
  void check_source(size_t begin, size_t end, bool said) {
    static const std::set<std::string> kTexts = {"why", "message", "sentence", "parts"};
    static const std::set<std::string> kForeign = {"what", "message", "description", "error_text", "strerror"};
    bool known = said;
    for (size_t i = begin + 1; i < end; ++i) {
      if (!is_word(i)) continue;
      const std::string& word = tokens_[i].text;
      const auto found = parameters_.find(word);
      if (found != parameters_.end()) useful_.insert(found->second.begin(), found->second.end());
      const bool made = is_maker(i) || found != parameters_.end();
      if (is_maker(i)) useful_.insert(word);
      const bool foreign = kForeign.contains(word) && (is(i + 1, "(") || is(i - 1, "."));
      known = known || made || foreign;
      if (!made && !foreign && kTexts.contains(word)) return unknown_.push_back(place_of(begin));
    }
    if (!known) unknown_.push_back(place_of(begin));
  }
  std::string place_of(size_t at) const { return file_ + ":" + std::to_string(tokens_[at].line); }

  std::string file_;
  std::vector<Token> tokens_;
  std::set<std::string> makers_;
  std::map<std::string, std::set<std::string>> parameters_;
  std::vector<Message> messages_;
  std::vector<std::string> unknown_;
  std::set<std::string> useful_;
};

// What tests say that they expect: their literals, but for the names of test cases and what only is told.
inline std::vector<std::string> quoted_texts(std::string_view source) {
  static const std::set<std::string> kNotExpected = {"TEST_CASE", "SUBCASE", "INFO", "MESSAGE"};
  const std::vector<Token> tokens = tokens_of(source);
  std::vector<std::string> texts;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i].kind == Token::Kind::text && (i < 2 || !kNotExpected.contains(tokens[i - 2].text)))
      texts.push_back(tokens[i].text);
  return texts;
}

// Which messages tests quote. A message is quoted when a text of the tests has kTelling characters in a row of one of
// its parts that are in no message of other words. Where a message has no such run, because it is shorter or because
// others say the same, one text must have all of its parts, in their order; that is little where a message is a word or
// two, and such ones stand in tables of their suites.
class Quotes {
 public:
  Quotes(const std::vector<Message>& messages, const std::vector<std::string>& texts) : texts_(texts) {
    for (const Message& message : messages)
      for (const std::string& part : message.parts)
        for (const std::string_view run : runs(part)) sayers_[run].insert(message.text());
    for (const std::string& text : texts_)
      for (const std::string_view run : runs(text)) quoted_.insert(run);
  }

  bool quotes(const Message& message) const {
    bool telling = false;
    for (const std::string& part : message.parts)
      for (const std::string_view run : runs(part)) {
        if (sayers_.at(run).size() > 1) continue;
        telling = true;
        if (quoted_.contains(run)) return true;
      }
    if (telling) return false;
    return std::ranges::any_of(texts_, [&](const std::string& text) { return has_all(text, message.parts); });
  }

 private:
  static bool has_all(const std::string& text, const std::vector<std::string>& parts) {
    size_t at = 0;
    for (const std::string& part : parts) {
      at = text.find(part, at);
      if (at == text.npos) return false;
      at += part.size();
    }
    return true;
  }
  static std::vector<std::string_view> runs(std::string_view text) {
    std::vector<std::string_view> all;
    for (size_t i = 0; i + kTelling <= text.size(); ++i) all.push_back(text.substr(i, kTelling));
    return all;
  }

  std::vector<std::string> texts_;
  std::unordered_map<std::string_view, std::set<std::string>> sayers_;
  std::unordered_set<std::string_view> quoted_;
};

}  // namespace engine::test
