// Every message of an error that a user can see, and every exit code, has a test that provokes it. The list of messages
// is read from the sources, what tests expect from the tests (tests/message_list.h tells when a message counts as
// quoted); ENGINE_CHECK, the errors of a C++ caller, is no part of it. This file and its tables are left out.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/message_list.h"
#include "tests/places.h"

using namespace engine::test;

namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;  // contents by path

// What makes messages beside Error and SourceError.
const Makers kMakers = {
    {"io/atomic_file.cpp", {"fail"}},
    {"io/dataset.cpp", {"refuse", "why"}},
    {"io/demuxer.cpp", {"refuse_file", "refuse", "kEncrypted"}},
    {"io/index_file.cpp", {"refuse", "why"}},
    {"io/known_splits.cpp", {"refuse"}},
    {"io/list_dataset.cpp", {"refuse"}},
    {"io/list_file.cpp", {"refuse"}},
    {"io/plain_image_reader.cpp", {"refuse_damaged"}},
    {"io/safetensors_header.cpp", {"refuse", "bad", "bad_tensor"}},
    {"io/safetensors_read.cpp", {"refuse"}},
    {"io/scan.cpp", {"refuse"}},
    {"io/video_writer.cpp", {"storage_error"}},
    {"train/checkpoint.cpp", {"refuse", "bad"}},
    {"train/classify.cpp", {"refuse"}},
    {"train/cli.cpp", {"report", "explain_leftover()"}},
    {"train/data_make.cpp", {"refuse"}},
    {"train/data_options.cpp", {"refuse"}},
    {"train/data_split.cpp", {"refuse"}},
    {"train/evaluate_data.cpp", {"refuse"}},
    {"train/failure.cpp", {"with_plan"}},
    {"train/layer_table.h", {"refuse"}},
    {"train/model_description.cpp", {"refuse"}},
    {"train/option_table.cpp", {"refuse"}},
    {"train/run_state.cpp", {"refuse"}},
    {"train/short_videos.cpp", {"line"}},
};

// Messages that no test can provoke, by how they begin, and why not.
const std::map<std::string, std::string> kUnprovoked = {
    {"video: out of memory; use fewer --workers", "FFmpeg would have to get no memory for a few bytes"},
    {"image: out of memory; use fewer --workers", "FFmpeg would have to get no memory for a few bytes"},
    {": out of memory; use fewer --workers", "FFmpeg would have to get no memory for a packet"},
    {"damaged: what is in it cannot be told (", "FFmpeg says so where it gets no memory, and of no file that is known"},
    {"video: no conversion from ", "swscale converts every format and size that come so far"},
    {"this FFmpeg has no encoder ", "another FFmpeg, without PNG or JPEG"},
    {"cannot write  ... : this FFmpeg has no encoder libx264; ", "another FFmpeg, without libx264"},
};

// What is wrong with the two lists, in lines for a failure.
struct Findings {
  std::vector<std::string> untested, untold, idle;
};

Findings compare(const Files& sources, const Files& tests, const Makers& makers,
                 const std::map<std::string, std::string>& unprovoked) {
  Findings findings;
  std::vector<Message> messages;
  for (const auto& [path, text] : sources) {
    const MessageReader reader(path, text, makers);
    messages.insert(messages.end(), reader.messages().begin(), reader.messages().end());
    for (const std::string& place : reader.unknown()) findings.untold.push_back(place);
    if (const auto row = makers.find(path); row != makers.end())
      for (const std::string& maker : row->second)
        if (!reader.useful().contains(maker)) findings.idle.push_back(path + ": " + maker);
  }
  for (const auto& [path, names] : makers)
    if (!sources.contains(path)) findings.idle.push_back(path);
  std::vector<std::string> texts;
  for (const auto& [path, text] : tests)
    for (std::string& quoted : quoted_texts(text)) texts.push_back(std::move(quoted));
  const Quotes quotes(messages, texts);
  std::set<std::string> used;
  for (const Message& message : messages) {
    if (quotes.quotes(message)) continue;
    bool excused = false;
    for (const auto& [words, reason] : unprovoked)
      if (message.text().starts_with(words)) excused = used.insert(words).second || true;
    if (!excused) findings.untested.push_back(message.place + ": " + message.text());
  }
  for (const auto& [words, reason] : unprovoked)
    if (!used.contains(words)) findings.idle.push_back(words);
  return findings;
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_source(const fs::path& path) { return path.extension() == ".h" || path.extension() == ".cpp"; }

Files sources() {
  Files files;
  const fs::path root = source_folder();
  for (const char* folder : {"engine", "io", "layers", "train"})
    for (const auto& entry : fs::recursive_directory_iterator(root / folder))
      if (is_source(entry.path())) files[fs::relative(entry.path(), root).string()] = text_of(entry.path());
  return files;
}

Files tests() {
  Files files;
  for (const auto& entry : fs::directory_iterator(fs::path(source_folder()) / "tests")) {
    const std::string name = entry.path().filename().string();
    if (is_source(entry.path()) && name != "test_error_messages.cpp" && name != "message_list.h")
      files[name] = text_of(entry.path());
  }
  return files;
}

std::string listed(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

using Words = std::vector<std::string>;

// What is found in one source and one test.
Findings found(const std::string& source, const std::string& test, const std::set<std::string>& makers = {},
               const std::map<std::string, std::string>& unprovoked = {}) {
  return compare({{"a.cpp", source}}, {{"test_a.cpp", test}}, makers.empty() ? Makers{} : Makers{{"a.cpp", makers}},
                 unprovoked);
}

Words told(const std::string& source, const std::set<std::string>& makers = {}) {
  Words all;
  const MessageReader reader("a.cpp", source, {{"a.cpp", makers}});
  for (const Message& message : reader.messages()) all.push_back(message.text());
  return all;
}

// Constants of exit_code by name, as kernels/check.h has them.
std::map<std::string, std::string> exit_codes() {
  const std::vector<Token> tokens = tokens_of(text_of(fs::path(source_folder()) / "kernels/check.h"));
  std::map<std::string, std::string> codes;
  for (size_t i = 0; i + 3 < tokens.size(); ++i)
    if (tokens[i].text == "int" && tokens[i + 2].text == "=" && tokens[i + 4].text == ";")
      codes[tokens[i + 1].text] = tokens[i + 3].text;
  return codes;
}

// The names behind exit_code:: in a source, but for those that are given to an error there.
std::set<std::string> expected_codes(std::string_view source) {
  const std::vector<Token> tokens = tokens_of(source);
  std::set<std::string> names;
  int inside = 0;  // brackets of a call of Error
  for (size_t i = 0; i + 2 < tokens.size(); ++i) {
    const std::string& text = tokens[i].text;
    if (tokens[i].kind == Token::Kind::sign && text == "(" && (inside > 0 || (i > 0 && tokens[i - 1].text == "Error")))
      ++inside;
    if (tokens[i].kind == Token::Kind::sign && text == ")" && inside > 0) --inside;
    if (inside == 0 && text == "exit_code" && tokens[i + 1].text == "::") names.insert(tokens[i + 2].text);
  }
  return names;
}

}  // namespace

TEST_CASE("messages: every one that a user can see is quoted by a test") {
  const Files all = sources();
  REQUIRE(all.size() > 200);
  const Findings findings = compare(all, tests(), kMakers, kUnprovoked);
  CHECK_MESSAGE(findings.untested.empty(),
                "no test quotes these messages; provoke them and check what is said:", listed(findings.untested));
  CHECK_MESSAGE(findings.untold.empty(),
                "errors of a text from elsewhere; name in kMakers what makes it:", listed(findings.untold));
  CHECK_MESSAGE(findings.idle.empty(),
                "rows of kMakers and kUnprovoked that are needed no more:", listed(findings.idle));
}

TEST_CASE("exit codes: every one is expected by a test and told in docs/errors.md") {
  std::set<std::string> expected;
  for (const auto& [path, text] : tests()) expected.merge(expected_codes(text));
  std::set<std::string> documented;
  std::ifstream docs(fs::path(source_folder()) / "docs/errors.md");
  for (std::string line; std::getline(docs, line) && !line.starts_with("## ");)
    if (line.starts_with("| ") && std::isdigit(static_cast<unsigned char>(line[2])) != 0)
      documented.insert(line.substr(2, line.find(' ', 2) - 2));
  const auto codes = exit_codes();
  REQUIRE(codes.size() == 14);
  for (const auto& [name, value] : codes) {
    CHECK_MESSAGE(expected.contains(name), name, " is expected by no test");
    CHECK_MESSAGE(documented.erase(value) == 1, name, " = ", value, " is not in the table of docs/errors.md");
  }
  CHECK_MESSAGE(documented.empty(),
                "docs/errors.md has codes that there are not:", listed({documented.begin(), documented.end()}));
}

TEST_CASE("messages: what is read from a source") {
  CHECK(told(R"(throw Error("no such " /* file */ "thing");)") == Words{"no such thing"});
  CHECK(told("// throw Error(\"one\");\n/* Error(\"two\") */ #\n") == Words{});
  CHECK(told("#define FAIL throw \\\n  Error(\"one\")\nint c = '\"'; int d = 1'000; throw Error(\"two\");") ==
        Words{"two"});
  CHECK(told(R"(throw Error(concat("an \"a\"\n", x, ": ", y, " of ", z), exit_code::kData);)") ==
        Words{"an \"a\"\n ...  of "});
  CHECK(told(R"(throw Error(fmt::format("{}: {:>3} are {{many}}", a, b));)") == Words{" are {many}"});
  CHECK(told("throw Error(R\"x(raw \\ )\" text)x\");") == Words{"raw \\ )\" text"});
  CHECK(told(R"(throw Error(n == 1 ? "only one of them" : "there are several"); )") ==
        Words{"only one of them", "there are several"});
  CHECK(told(R"(throw Error(concat("clip", n == 1 ? "" : "s", kind == "word" ? a : b, " left")); )") ==
        Words{"clip ...  left"});
  CHECK(told(R"(refuse("not known"); )") == Words{});
  CHECK(told(R"(refuse("known"); why = concat("what ", x); const auto f = [] { return "other"; };)",
             {"refuse", "why"}) == Words{"known", "what "});
  CHECK(told(R"(std::string f(int x) { if (x) return "first"; return concat("second"); })", {"f()"}) ==
        Words{"first", "second"});
}

TEST_CASE("messages: one that no test quotes is found") {
  const std::string source =
      R"(void f(int n) { throw Error(concat("the rope is ", n, " m too short for this well")); })";
  CHECK(found(source, "").untested == Words{"a.cpp:1: the rope is  ...  m too short for this well"});
  CHECK(found(source, R"(CHECK(message == "the rope is 3 m too short for this well");)").untested.empty());
  CHECK(found(source, R"(CHECK(contains(message, "too short for this"));)").untested.empty());
  CHECK(found(source, R"(CHECK(contains(message, "short for this"));)").untested.empty());
  CHECK(found(source, R"(CHECK(contains(message, "hort for this"));)").untested.size() == 1);
  CHECK(found(source, R"(// the rope is 3 m too short for this well)").untested.size() == 1);
  CHECK(found(source, R"(TEST_CASE("the rope is 3 m too short for this well") {})").untested.size() == 1);
  // Words that others say, too, do not tell which of them was provoked.
  const std::string both = source + R"( void g() { throw Error("too short for this well is the ladder"); })";
  CHECK(found(both, R"(CHECK(contains(message, "too short for this well"));)").untested.size() == 2);
  CHECK(found(both, R"(CHECK(contains(message, "this well is the ladder"));)").untested.size() == 1);
  // Short ones are wanted as a whole.
  const std::string brief = R"(void f(int n) { throw Error(concat("rank ", n, " over ", 6)); })";
  CHECK(found(brief, R"(CHECK(message == "rank 7 over 6");)").untested.empty());
  CHECK(found(brief, R"(CHECK(message == "over 6, rank 7");)").untested.size() == 1);
}

TEST_CASE("messages: makers that are not named, and rows that are not needed, are found") {
  const std::string wrapper = "void refuse(const std::string& why) { throw Error(why); }\n",
                    call = "refuse(\"no well\");";
  CHECK(found(wrapper + call, "").untold == Words{"a.cpp:1"});
  CHECK(found(wrapper + call, "").untested.empty());
  CHECK(found(wrapper + call, "", {"refuse"}).untold.empty());
  CHECK(found(wrapper + call, "", {"refuse"}).untested == Words{"a.cpp:2: no well"});
  CHECK(found("const auto f = [](const char* why) { throw Error(concat(\"x: \", why)); };", "").untold.size() == 1);
  CHECK(found("throw Error(error.what(), 3);", "").untold.empty());
  CHECK(found(wrapper + call, "\"no well\"", {"refuse", "fail"}).idle == Words{"a.cpp: fail"});
  CHECK(found(call, "", {"refuse"}, {{"no well", "there is one"}}).untested.empty());
  CHECK(found(call, "", {"refuse"}, {{"no well", "there is one"}}).idle.empty());
  CHECK(found(call, "\"no well\"", {"refuse"}, {{"no well", "there is one"}}).idle == Words{"no well"});
  CHECK(found("", "", {}, {{"no well", "there is one"}}).idle == Words{"no well"});
  CHECK(compare({}, {}, {{"gone.cpp", {"refuse"}}}, {}).idle == Words{"gone.cpp"});
}

TEST_CASE("exit codes: those that a test only throws are not expected ones") {
  CHECK(expected_codes("CHECK(code == exit_code::kData); throw Error(concat(a, (b)), exit_code::kUsage);") ==
        std::set<std::string>{"kData"});
}
