// What engine_predict writes: segments and subtitles, CSV, NumPy arrays, scores, confusion matrices, heat, figures.
#include "train/predict.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "program_run.h"
#include "train/classify.h"
#include "train/confusion.h"
#include "train/head.h"
#include "train/npy.h"
#include "train/scores.h"
#include "train/segments.h"

using namespace engine;
using program_run::write_text;

namespace {

ModelFile model_of(Head head, std::vector<std::string> outputs) {
  ModelFile model;
  model.head = head;
  model.classes = std::move(outputs);
  if (head == Head::regression) model.targets = {{0.5, -2}, {1.5, 0.25}};
  return model;
}

Prediction window(int64_t first, int64_t last, double fps, std::vector<double> values) {
  return {"a.mp4", std::move(values),
          Window{first, last, static_cast<double>(first) / fps, static_cast<double>(last) / fps}};
}

std::vector<Segment> joined(Head head, const std::vector<Prediction>& windows) {
  SegmentJoiner joiner(head);
  for (const Prediction& each : windows) joiner.add(each);
  return joiner.segments();
}

// The parts of a CSV file, read by the rules of RFC 4180.
std::vector<std::vector<std::string>> cells_of(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1);
  std::string cell;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '"' && text[i + 1] == '"')
      cell += text[++i];
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted && text[i] == ',')
      rows.back().push_back(cell), cell.clear();
    else if (!quoted && text[i] == '\r')
      rows.back().push_back(cell), cell.clear(), rows.emplace_back(), ++i;
    else
      cell += text[i];
  }
  CHECK(rows.back().empty());
  rows.pop_back();
  return rows;
}

std::string error_of(const std::string& text, int& code) {
  const TemporaryFolder folder;
  write_text(folder / "scores.jsonl", text);
  try {
    (void)read_scores(folder / "scores.jsonl");
  } catch (const Error& error) {
    code = error.code();
    return std::string(error.what()).substr(folder.path().size() + 1);
  }
  return "";
}

// Figures with NaN equal to NaN.
void check_equal(const Evaluation& a, const Evaluation& b) {
  CHECK(a.samples == b.samples);
  CHECK(a.loss == b.loss);
  CHECK(a.confusion == b.confusion);
  const auto same = [](const std::vector<Figure>& x, const std::vector<Figure>& y) {
    REQUIRE(x.size() == y.size());
    for (size_t i = 0; i < x.size(); ++i)
      CHECK((x[i].value == y[i].value || (std::isnan(x[i].value) && std::isnan(y[i].value))));
  };
  same(a.figures, b.figures);
  same(a.more, b.more);
  REQUIRE(a.outputs.size() == b.outputs.size());
  for (size_t i = 0; i < a.outputs.size(); ++i) same(a.outputs[i], b.outputs[i]);
}

}  // namespace

TEST_CASE("segments: windows that say the same are one part, and parts meet half-way") {
  const auto parts = joined(Head::classification,
                            {window(0, 7, 10, {0.9, 0.1}), window(4, 11, 10, {0.7, 0.3}), window(8, 15, 10, {0.2, 0.8}),
                             window(12, 19, 10, {0.6, 0.4}), window(15, 22, 10, {0.8, 0.2})});
  REQUIRE(parts.size() == 3);
  CHECK(parts[0].windows == 2);
  CHECK(parts[0].prediction.values[0] == doctest::Approx(0.8));
  const std::vector<std::array<int64_t, 2>> frames = {{0, 9}, {10, 13}, {14, 22}};
  const std::vector<std::array<double, 2>> times = {{0, 0.95}, {0.95, 1.35}, {1.35, 2.3}};
  for (size_t i = 0; i < 3; ++i) {
    const Window& part = *parts[i].prediction.window;
    CHECK(part.first == frames[i][0]);
    CHECK(part.last == frames[i][1]);
    CHECK(*part.begin == doctest::Approx(times[i][0]));
    CHECK(*part.end == doctest::Approx(times[i][1]));
  }
  const std::vector<Prediction> labels = {window(0, 3, 4, {0.9, 0.7}), window(2, 5, 4, {0.6, 0.8}),
                                          window(4, 7, 4, {0.6, 0.1})};
  CHECK(joined(Head::multilabel, labels).size() == 2);  // the labels count, not which is the most probable
  CHECK(joined(Head::multilabel, {labels[1], window(3, 6, 4, {0.55, 0.9})}).size() == 1);
  CHECK(joined(Head::regression, labels).size() == 3);
  CHECK(joined(Head::classification, {}).empty());
}

TEST_CASE("subtitles: numbered, in time, with a line of text each") {
  const ModelFile model = model_of(Head::classification, {"swipe --> left", "wave\nhands"});
  const auto parts =
      joined(Head::classification, {window(0, 40'000, 10, {0.75, 0.25}), window(40'000, 80'000, 10, {0.1, 0.9})});
  CHECK(to_srt(parts, model, 1) ==
        "1\n00:00:00,000 --> 01:06:40,000\nswipe -> left 75%\n\n"
        "2\n01:06:40,000 --> 02:13:20,100\nwave\\u000ahands 90%\n\n");
  const ModelFile labels = model_of(Head::multilabel, {"a", "b"});
  const auto some = joined(Head::multilabel, {window(0, 7, 8, {0.1, 0.2}), window(8, 15, 8, {0.8, 0.9})});
  CHECK(to_srt(some, labels, 1) == "1\n00:00:00,938 --> 00:00:02,000\nb 90%, a 80%\n\n");
  const auto one = joined(Head::classification, {window(0, 0, 8, {0.3, 0.7})});
  CHECK(to_srt(one, model, 1).find("00:00:00,000 --> 00:00:00,040\n") != std::string::npos);
  Prediction timeless{"a.frames", {0.5, 0.5}, Window{0, 3}};
  CHECK_THROWS_AS(to_srt(joined(Head::classification, {timeless}), model, 1), Error);
}

TEST_CASE("csv: cells that need quotes have them") {
  CHECK(csv_cell("plain text") == "plain text");
  CHECK(csv_cell("a,b") == "\"a,b\"");
  CHECK(csv_cell("say \"hi\"") == "\"say \"\"hi\"\"\"");
  CHECK(csv_cell("two\nlines") == "\"two\nlines\"");
  CHECK(csv_cell("").empty());
}

TEST_CASE("npy: header and elements as numpy wants them") {
  const auto check = [](const Tensor& tensor, const std::string& words) {
    const std::string bytes = encode_npy(tensor);
    REQUIRE(bytes.size() > 10);
    CHECK(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
    const size_t length = static_cast<uint8_t>(bytes[8]) + 256 * static_cast<size_t>(static_cast<uint8_t>(bytes[9]));
    CHECK((10 + length) % 64 == 0);
    const std::string header = bytes.substr(10, length);
    CHECK(header.starts_with(words));
    CHECK(header.find_first_not_of(' ', words.size()) == length - 1);
    CHECK(header.back() == '\n');
    REQUIRE(bytes.size() == 10 + length + tensor.bytes());
    CHECK(std::memcmp(bytes.data() + 10 + length, tensor.memory(), tensor.bytes()) == 0);
  };
  Random random(3);
  check(normal({3, 5}, 0.5, 2, random), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }");
  check(Tensor::full({7}, 2.5, DType::f64), "{'descr': '<f8', 'fortran_order': False, 'shape': (7,), }");
  check(Tensor::full({2, 1, 3}, 9, DType::u8), "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 3), }");
  check(Tensor::full({}, 7, DType::i64), "{'descr': '<i8', 'fortran_order': False, 'shape': (), }");
}

TEST_CASE("class metrics: top-5, F1 and the worst classes of a case worked out by hand") {
  ClassMetrics metrics(7);
  const auto add = [&](std::array<float, 7> logits, int64_t label) { metrics.add(logits, label); };
  add({7, 6, 5, 4, 3, 2, 1}, 0);    // first
  add({7, 6, 5, 4, 3, 2, 1}, 4);    // fifth
  add({7, 6, 5, 4, 3, 2, 1}, 5);    // sixth
  add({1, 1, 1, 1, 1, 1, 1}, 4);    // of equal ones the first: fifth
  add({1, 1, 1, 1, 1, 1, 1}, 6);    // seventh
  add({0, 0, 0, 0, 0, 9, NAN}, 6);  // what is not a number is not found
  CHECK(metrics.top_accuracy(1) == doctest::Approx(1.0 / 6));
  CHECK(metrics.top_accuracy(1) == metrics.accuracy());
  CHECK(metrics.top_accuracy(5) == doctest::Approx(3.0 / 6));
  CHECK_THROWS_AS(metrics.top_accuracy(6), Error);
  CHECK(metrics.f1(0) == doctest::Approx(2.0 / (1 + 5)));
  CHECK(std::isnan(metrics.f1(1)));
  const Evaluation evaluation = metrics.result();
  CHECK(evaluation.more[0].key == "macro_f1");
  CHECK(evaluation.more[0].value == doctest::Approx((2.0 / 6 + 0 + 0 + 0) / 4));  // of 0, 4, 5, 6
  CHECK(evaluation.more[1].value == metrics.top_accuracy(5));
  CHECK(worst_classes(evaluation, {"a", "b", "c", "d", "e", "f", "g"}, 2) ==
        "e: 0 of 2 right; most taken for a, 2\nf: 0 of 1 right; most taken for a, 1\n");
  ClassMetrics few(2);
  few.add(std::array<float, 2>{1, 2}, 1);
  CHECK(few.result().more.size() == 1);
  CHECK(worst_classes(few.result(), {"a", "b"}, 5).empty());
}

TEST_CASE("scores: written and read, every head gives the same figures to the bit") {
  Random random(9);
  for (const Head head : {Head::classification, Head::multilabel, Head::regression})
    for (const int views : {1, 3}) {
      CAPTURE(name_of(head));
      CAPTURE(views);
      Scores scores{model_of(head, {"a \"b\"", "c,d"}), "val", {views, TestCrops::centre}, {}};
      ViewsMetrics direct(scores.model);
      for (int64_t i = 0; i < 9; ++i)
        for (int64_t view = 0; view < views; ++view) {
          const Tensor outputs = normal({2}, 0.1, 4, random);
          Scores::Clip clip{concat("clip ", i % 4), {}, {}, view};  // names come again
          clip.outputs.assign(outputs.values<float>().begin(), outputs.values<float>().end());
          if (head == Head::classification)
            clip.targets = {static_cast<double>(i % 2)};
          else if (head == Head::multilabel)
            clip.targets = {static_cast<double>(i % 2), static_cast<double>(i % 3 == 0)};
          else
            clip.targets = {0.1 * static_cast<double>(i), -1.0 / static_cast<double>(i + 3)};
          direct.add(i, clip.outputs, clip.targets);
          scores.clips.push_back(clip);
        }
      const TemporaryFolder folder;
      write_text(folder / "scores.jsonl", to_text(scores));
      const Scores read = read_scores(folder / "scores.jsonl");
      CHECK(read.part == "val");
      CHECK(read.views.count() == views);
      CHECK(read.model.classes == scores.model.classes);
      CHECK(to_text(read) == to_text(scores));
      const ViewsEvaluation expected = direct.result(), got = evaluate(read);
      CHECK(expected.videos.samples == 9);
      check_equal(got.videos, expected.videos);
      check_equal(got.views, expected.views);

      // Without outputs: what the probabilities say.
      std::string without;
      std::istringstream lines(to_text(scores));
      for (std::string line; std::getline(lines, line);) {
        auto object = nlohmann::ordered_json::parse(line);
        object.erase("outputs");
        without += object.dump() + "\n";
      }
      write_text(folder / "fused.jsonl", without);
      const ViewsEvaluation fused = evaluate(read_scores(folder / "fused.jsonl"));
      CHECK(fused.videos.figures[0].value == doctest::Approx(expected.videos.figures[0].value).epsilon(1e-5));
      if (views == 1) CHECK(fused.videos.loss == doctest::Approx(expected.videos.loss).epsilon(1e-4));
    }
}

TEST_CASE("scores: what is no such file is refused with its line") {
  const std::string head =
      R"({"kind":"scores","part":"test","head":"classification","classes":["a","b"],"clips":1,"crops":1})";
  const std::string good = R"({"clip":"1.mp4","label":"b","probabilities":[0.25,0.75]})";
  int code = 0;
  CHECK(error_of(head + "\n" + good + "\n", code).empty());
  const auto check = [&](const std::string& text, const std::string& words) {
    const std::string what = error_of(text, code);
    CAPTURE(what);
    CHECK(what.starts_with(words));
    CHECK(code == exit_code::kData);
  };
  check("", "scores.jsonl: no scores in this file");
  check(head + "\n", "scores.jsonl: no scores in this file");
  check("file,class\n", "scores.jsonl:1: not a line that --scores writes");
  check(R"({"kind":"epoch"})", "scores.jsonl:1: not a file that --scores wrote");
  check(head + "\n" + good + "\n{\"clip\":", "scores.jsonl:3: not a line");
  check(head + "\n" + R"({"clip":"1","label":"dog","outputs":[1,2]})", "scores.jsonl:2: no class is called \"dog\"");
  check(head + "\n" + R"({"clip":"1","label":"a","outputs":[1,2,3]})",
        "scores.jsonl:2: 3 values and 1 targets for 2 classes");
  check(head + "\n" + R"({"clip":"1","label":"a"})", "scores.jsonl:2: not a line");
  const TemporaryFolder folder;
  try {
    (void)read_scores(folder / "none.jsonl");
    FAIL("read");
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kNoInput);
  }
}

TEST_CASE("confusion: as CSV and as a picture") {
  Evaluation evaluation;
  evaluation.confusion = {{3, 0, 1}, {0, 0, 0}, {250, 0, 7}};
  const std::vector<std::string> names = {"a,1", "say \"b\"", "c"};
  const auto cells = cells_of(confusion_csv(evaluation, names));
  CHECK(cells == std::vector<std::vector<std::string>>{{"", "a,1", "say \"b\"", "c"},
                                                       {"a,1", "3", "0", "1"},
                                                       {"say \"b\"", "0", "0", "0"},
                                                       {"c", "250", "0", "7"}});
  const RgbImage picture = confusion_picture(evaluation, names);
  CHECK(picture.rgb.size() == static_cast<size_t>(picture.size.width * picture.size.height * 3));
  const auto bright = [&](int row, int column) {  // the corner of a cell; text is in its middle
    const int cell = 24, left = picture.size.width - 6 - 3 * cell + column * cell,
              top = picture.size.height - 6 - 3 * cell + row * cell;
    const auto at = static_cast<size_t>((top + 1) * picture.size.width + left + 1) * 3;
    return std::accumulate(picture.rgb.begin() + static_cast<int64_t>(at),
                           picture.rgb.begin() + static_cast<int64_t>(at) + 3, 0);
  };
  CHECK(bright(2, 0) > bright(0, 0));
  CHECK(bright(0, 0) > bright(0, 2));
  CHECK(bright(0, 2) > bright(2, 2));
  CHECK(bright(1, 1) == bright(0, 1));
  const std::vector<std::string> many(300, "x");
  evaluation.confusion.assign(300, std::vector<int64_t>(300, 12345));
  const RgbImage large = confusion_picture(evaluation, many);
  CHECK(large.size.width < 4500);
}

TEST_CASE("heat colours: the hotter the brighter; heat lies over its place") {
  float before = -1;
  for (int i = 0; i <= 50; ++i) {
    const float bright = luma(heat_color(i / 50.0));
    CHECK(bright > before);
    before = bright;
  }
  const Tensor frames = Tensor::full({2, 6, 9, 3}, 100, DType::u8);
  const Tensor heat = Tensor::zeros({2, 2, 3});
  heat.values<float>()[6 + 5] = 1;  // second frame, below to the right
  const Tensor over = heat_over(frames, heat);
  CHECK(over.shape() == frames.shape());
  const auto pixel = [&](size_t t, size_t y, size_t x, size_t c) {
    return over.values<uint8_t>()[((t * 6 + y) * 9 + x) * 3 + c];
  };
  CHECK(pixel(1, 5, 8, 0) > 180);
  CHECK(pixel(1, 5, 8, 0) > pixel(1, 3, 6, 0));
  CHECK(pixel(1, 3, 6, 0) > pixel(1, 0, 0, 0));
  CHECK(pixel(0, 5, 8, 0) == pixel(1, 0, 0, 0));
  const RgbImage strip = heat_strip("title", frames, heat);
  CHECK(strip.rgb.size() == static_cast<size_t>(strip.size.width * strip.size.height * 3));
  CHECK(strip.size.height > 2 * 96);
}
