#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/run_folders.h"
#include "train/html_charts.h"
#include "train/html_report.h"
#include "train/html_text.h"

using namespace engine;
using namespace engine::test;
using program_run::read_text;
using program_run::write_text;

namespace {

// A page as XML: every tag closed in its order, attributes quoted and given once, entities known, ids given once, and
// every link to one. Returns the text between the tags.
class Page {
 public:
  explicit Page(const std::string& html) : html_(html) {
    const std::string doctype = "<!DOCTYPE html>\n";
    REQUIRE(html_.starts_with(doctype));
    place_ = doctype.size();
    while (place_ < html_.size()) html_[place_] == '<' ? tag() : text();
    CHECK_MESSAGE(open_.empty(), (open_.empty() ? "" : open_.back()));
    for (const std::string& each : links_) CHECK_MESSAGE(ids_.contains(each), each);
  }
  std::string words;
  std::map<std::string, int> tags;

 private:
  void text() {
    const size_t end = std::min(html_.find('<', place_), html_.size());
    const std::string piece = html_.substr(place_, end - place_);
    if (open_.empty() || open_.back() != "style") check_entities(piece);
    words += piece;
    place_ = end;
  }
  static void check_entities(const std::string& piece) {
    CHECK_MESSAGE(piece.find('>') == std::string::npos, piece);
    for (size_t at = piece.find('&'); at != std::string::npos; at = piece.find('&', at + 1)) {
      const std::string rest = piece.substr(at, 6);
      const bool is_known = rest.starts_with("&amp;") || rest.starts_with("&lt;") || rest.starts_with("&gt;") ||
                            rest.starts_with("&quot;") || rest.starts_with("&#39;");
      CHECK_MESSAGE(is_known, rest);
    }
  }
  void tag() {
    const size_t end = html_.find('>', place_);
    REQUIRE(end != std::string::npos);
    std::string inside = html_.substr(place_ + 1, end - place_ - 1);
    place_ = end + 1;
    if (inside.starts_with("/")) {
      REQUIRE_MESSAGE((!open_.empty() && open_.back() == inside.substr(1)), inside);
      open_.pop_back();
      return;
    }
    const bool closed = inside.ends_with("/");
    if (closed) inside.pop_back();
    size_t at = 0;
    while (at < inside.size() && std::isalnum(static_cast<unsigned char>(inside[at])) != 0) ++at;
    const std::string name = inside.substr(0, at);
    REQUIRE_MESSAGE(!name.empty(), inside);
    ++tags[name];
    attributes(inside.substr(at));
    if (!closed) open_.push_back(name);
  }
  void attributes(const std::string& text) {
    std::set<std::string> names;
    for (size_t at = 0; at < text.size();) {
      if (text[at] == ' ') {
        ++at;
        continue;
      }
      const size_t equals = text.find("=\"", at), close = text.find('"', equals + 2);
      REQUIRE_MESSAGE((equals != std::string::npos && close != std::string::npos), text);
      const std::string name = text.substr(at, equals - at), value = text.substr(equals + 2, close - equals - 2);
      CHECK_MESSAGE(names.insert(name).second, name);
      CHECK_MESSAGE(value.find('<') == std::string::npos, value);
      if (!value.starts_with("data:")) check_entities(value);
      if (name == "id") CHECK_MESSAGE(ids_.insert(value).second, value);
      if (name == "href") links_.push_back(value.substr(std::min<size_t>(1, value.size())));
      if (name == "src") CHECK(value.starts_with("data:image/png;base64,iVBORw0KGgo"));
      at = close + 1;
    }
  }

  const std::string html_;
  size_t place_ = 0;
  std::vector<std::string> open_, links_;
  std::set<std::string> ids_;
};

// Well-formed, alone in the world, of a size that can be sent, and with nothing that is no number.
Page looked_at(const std::string& html) {
  CHECK(html.find("http:") == std::string::npos);
  CHECK(html.find("https:") == std::string::npos);
  CHECK(html.find("<script") == std::string::npos);
  CHECK(html.find("url(") == std::string::npos);
  CHECK(html.size() < 5'000'000);
  Page page(html);
  for (const char* each : {"nan", "inf ", "null"}) CHECK_MESSAGE(page.words.find(each) == std::string::npos, each);
  CHECK(page.words.find("h2></section") == std::string::npos);
  return page;
}

// A finished run of three epochs.
void write_run(const TemporaryFolder& folder, const ModelFile& model, int64_t validation = 13, int64_t tested = 17) {
  write_text(folder / "config.toml",
             "[data]\n# A folder <of> clips\npath = \"a & b\"\n\n[optim]\n# Rate\nlr = 0.001\n");
  RunLog log(folder.path());
  log.start(facts_of(model));
  log_steps(log, model, 1, 21, validation);
  if (tested > 0) {
    const Evaluation test = drawn_evaluation(model, tested, 4);
    log.test({test, test}, {}, 3, 21, model.classes);
    log_mistakes(log, model, tested, "test");
  }
  log.end("done");
}

const std::vector<std::string> kNames = {"clap", "<b>throw & catch</b>", "wave \"hello\" 'you'"};

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("html report: a run with a test, with names that are markup") {
  const TemporaryFolder folder;
  write_run(folder, described(Head::classification, kNames));
  const std::string html = read_text(folder / "report.html");
  CHECK(html == html_report(folder.path()));
  const Page page = looked_at(html);
  for (const char* words :
       {"Test accuracy", "373,386", "&lt;b&gt;throw &amp; catch&lt;/b&gt;", "wave &quot;hello&quot; &#39;you&#39;",
        "videos &amp; &lt;more&gt;", "Confusion matrix", "Most frequent confusions", "Each class", "F1", "best: 3",
        "clip&lt;", "All settings", "a &amp; b", "70 for training, 13 for validation, 17 for testing", "engine_tests"})
    CHECK_MESSAGE(page.words.find(words) != std::string::npos, words);
  CHECK(page.words.find("<b>throw") == std::string::npos);
  CHECK(page.tags.at("svg") == 6);
  if (video_available()) CHECK(page.tags.at("img") == 5);
  const std::string csv = read_text(folder / "confusion.csv");
  CHECK(csv.starts_with("label,clap,<b>throw & catch</b>,\"wave \"\"hello\"\" 'you'\"\nclap,"));
  CHECK(count_of(csv, "\n") == 4);
}

TEST_CASE("html report: the figures are those of the log") {
  const TemporaryFolder folder;
  const ModelFile model = described(Head::classification, kNames);
  write_run(folder, model);
  const Evaluation test = drawn_evaluation(model, 17, 4);
  const std::string html = html_report(folder.path());
  CHECK(html.find(concat(">", fraction_text(test.score()), "<")) != std::string::npos);
  std::istringstream csv(read_text(folder / "confusion.csv"));
  std::string row;
  std::getline(csv, row);
  for (const auto& counts : test.confusion) {
    std::getline(csv, row);
    std::string end;
    for (const int64_t count : counts) end += concat(",", count);
    CHECK(row.ends_with(end));
  }
}

TEST_CASE("html report: numbers and labels have what fits them") {
  const TemporaryFolder numbers, labels;
  write_run(numbers, described(Head::regression, {"speed <m/s>", "angle"}));
  const Page of_numbers = looked_at(read_text(numbers / "report.html"));
  for (const char* words : {"Test R2", "speed &lt;m/s&gt;", "Each target", "Largest errors", "prediction over target"})
    CHECK_MESSAGE(of_numbers.words.find(words) != std::string::npos, words);
  CHECK(of_numbers.tags.at("circle") > 2 * 17);
  CHECK_FALSE(std::filesystem::exists(numbers / "confusion.csv"));
  write_run(labels, described(Head::multilabel, kNames));
  const Page of_labels = looked_at(read_text(labels / "report.html"));
  for (const char* words : {"Each label", "Worst mistakes", "have a wrong or a missing label"})
    CHECK_MESSAGE(of_labels.words.find(words) != std::string::npos, words);
}

TEST_CASE("html report: little is enough: one class, one epoch, no validation, no step, figures that are none") {
  const ModelFile one = described(Head::classification, {"only"});
  {
    const TemporaryFolder folder;
    write_run(folder, one, 0, 0);
    const Page page = looked_at(read_text(folder / "report.html"));
    CHECK(page.words.find("The data have no validation part") != std::string::npos);
    CHECK(page.words.find("Confusion matrix") == std::string::npos);
    CHECK(page.words.find("Worst mistakes") == std::string::npos);
  }
  {
    const TemporaryFolder folder;
    RunLog log(folder.path());
    log.start(facts_of(one));
    log_steps(log, one, 1, 7, 5);
    CHECK(looked_at(html_report(folder.path())).words.find("in training, or killed") != std::string::npos);
    log.end("failed", "training diverged <here>");
    CHECK(looked_at(html_report(folder.path())).words.find("failed: training diverged &lt;here&gt;") !=
          std::string::npos);
  }
  const TemporaryFolder folder;
  write_text(folder / "metrics.jsonl", R"({"kind":"start","head":"classification","outputs":["a","b"],"t":0})");
  CHECK(looked_at(html_report(folder.path())).tags.count("svg") == 0);
  std::ofstream(folder / "metrics.jsonl", std::ios::app)
      << "\n"
      << R"({"kind":"epoch","epoch":1,"train_loss":null,"val_loss":null,"accuracy":null,"seconds":0,"nan":true})"
      << "\n"
      << R"({"kind":"eval","clips":0,"loss":null,"accuracy":null,"classes":[{"name":"a","recall":null},{}],)"
      << R"("confusion":[[0,0],[0,0]]})";
  const Page page = looked_at(html_report(folder.path()));
  CHECK(page.words.find("\u2013") != std::string::npos);
}

TEST_CASE("html report: many classes and many epochs stay small") {
  const TemporaryFolder folder;
  std::vector<std::string> names;
  for (int i = 0; i < 60; ++i) names.push_back("a rather long name of a class, number " + std::to_string(i));
  const ModelFile model = described(Head::classification, names);
  RunLog log(folder.path());
  log.start(facts_of(model));
  for (int64_t step = 1; step <= 1400; ++step)
    log.step({.epoch = 1, .result = {.loss = 1.0 / static_cast<double>(step), .step = step}});
  const Evaluation test = drawn_evaluation(model, 500, 4);
  log.test({test, test}, {}, 3, 21, model.classes);
  std::ofstream lines(folder / "metrics.jsonl", std::ios::app);
  for (int epoch = 1; epoch <= 3000; ++epoch)
    lines << R"({"kind":"epoch","seconds":1,"train_loss":2.5,"accuracy":0.25,"clips_per_second":9,"epoch":)" << epoch
          << "}\n";
  lines.close();
  const std::string html = html_report(folder.path());
  const Page page = looked_at(html);
  CHECK(html.size() < 600'000);
  CHECK(page.words.find("The 30 of 60 classes with most mistakes") != std::string::npos);
}

TEST_CASE("html report: files of another shape are shown as far as they go") {
  const TemporaryFolder folder;
  write_run(folder, described(Head::classification, kNames));
  const std::string lines = read_text(folder / "metrics.jsonl"),
                    mistakes = read_text(folder / "pictures/mistakes.json");
  const std::vector<nlohmann::ordered_json> others = {nullptr,   -3, 1e300, "text", nlohmann::ordered_json::array({1}),
                                                      {{"a", 1}}};
  Random random(5);
  for (int round = 0; round < 40; ++round) {
    std::istringstream text(lines);
    std::string changed;
    for (std::string each; std::getline(text, each);) {
      auto line = nlohmann::ordered_json::parse(each);
      for (auto& [key, value] : line.items())
        if (key != "kind" && random.chance(0.15)) value = others[random.below(others.size())];
      changed += line.dump() + "\n";
    }
    write_text(folder / "metrics.jsonl", changed);
    auto object = nlohmann::ordered_json::parse(mistakes);
    for (auto& [key, value] : object.items())
      if (random.chance(0.3)) value = others[random.below(others.size())];
    for (auto& item : object["items"].is_array() ? object["items"] : object)
      if (item.is_object())
        for (auto& [key, value] : item.items())
          if (random.chance(0.3)) value = others[random.below(others.size())];
    write_text(folder / "pictures/mistakes.json", object.dump());
    Page page(html_report(folder.path()));
  }
  write_text(folder / "metrics.jsonl", "{\"kind\":\"step\"}\nno JSON\n");
  CHECK_THROWS_WITH_AS(html_report(folder.path()), doctest::Contains("no line of kind start"), Error);
  CHECK_THROWS_WITH_AS(html_report(folder / "nowhere"), doctest::Contains("no metrics.jsonl in it"), Error);
}

TEST_CASE("html report: pictures beyond the limit are left out") {
  const TemporaryFolder folder;
  write_run(folder, described(Head::classification, kNames));
  for (int i = 1; i <= 5; ++i)
    write_text(folder / ("pictures/mistake-0" + std::to_string(i) + ".png"),
               std::string("\x89PNG\r\n\x1a\n\0\0\0", 11) + std::string(1'000'000, 'x'));
  auto object = nlohmann::ordered_json::parse(read_text(folder / "pictures/mistakes.json"));
  for (size_t i = 0; i < object["items"].size(); ++i)
    object["items"][i]["picture"] = "../pictures/mistake-0" + std::to_string(i + 1) + ".png";
  write_text(folder / "pictures/mistakes.json", object.dump());
  CHECK(looked_at(html_report(folder.path())).tags.at("img") == 3);
}

TEST_CASE("html charts: gaps, marks and axes") {
  CHECK(html_chart({.title = "none", .x_title = "epoch", .y_title = {}, .series = {{"a", {{1, NAN}, {2, NAN}}}}})
            .empty());
  const std::string chart = html_chart({.title = "Loss",
                                        .x_title = "epoch",
                                        .y_title = {},
                                        .series = {{"a", {{1, 0.5}, {2, NAN}, {3, 0.25}, {4, 0.125}}, true}},
                                        .best = 3.0});
  CHECK(count_of(chart, "<circle") == 3);
  CHECK(count_of(chart, "M") == 2);  // the curve begins anew behind the gap
  CHECK(chart.find("best: 3") != std::string::npos);
  CHECK(chart.find(">0.2</text>") != std::string::npos);
  const std::string same =
      html_chart({.title = "Same", .x_title = "epoch", .y_title = {}, .series = {{"a", {{1, 0}, {2, 0}}}}});
  CHECK(same.find("nan") == std::string::npos);
  std::vector<std::pair<double, double>> spikes;
  for (int i = 0; i < 200; ++i) spikes.emplace_back(i, i == 0 ? 1000 : 1 + 0.01 * i);
  CHECK(
      html_chart({.title = "Cut", .x_title = "step", .y_title = {}, .series = {{"a", spikes}}}).find("peaks cut off") !=
      std::string::npos);
}

TEST_CASE("html text: numbers, escapes and pictures") {
  CHECK(html_escaped("a<b>&\"'\x01\xff\u00e9\n") == "a&lt;b&gt;&amp;&quot;&#39;\uFFFD\uFFFD\u00e9\n");
  CHECK(grouped(0) == "0");
  CHECK(grouped(-1234567) == "-1,234,567");
  CHECK(grouped(999) == "999");
  CHECK(grouped(-999) == "-999");
  CHECK(duration_text(3.25) == "3.2 s");
  CHECK(duration_text(185) == "3 min 05 s");
  CHECK(duration_text(3725) == "1 h 02 min");
  CHECK(duration_text(NAN) == "\u2013");
  CHECK(png_uri("") == "data:image/png;base64,");
  CHECK(png_uri("M") == "data:image/png;base64,TQ==");
  CHECK(png_uri("Ma") == "data:image/png;base64,TWE=");
  CHECK(png_uri("Man\xff") == "data:image/png;base64,TWFu/w==");
}
