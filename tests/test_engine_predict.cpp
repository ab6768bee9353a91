// engine_predict from the command line: what it prints, what it writes, what it refuses.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <regex>

#include "io/decoded_clip.h"
#include "io/safetensors.h"
#include "program_run.h"
#include "train/classifier.h"
#include "train/embed.h"
#include "train/predict.h"

using namespace program_run;
using namespace engine;

namespace {

constexpr int kClips = 7;

// A network of random weights, and clips of noise: without times, as decoded clips are.
class Fixture {
 public:
  Fixture() {
    Random random(5);
    for (int i = 0; i < kClips + 2; ++i) {
      const Tensor frames = Tensor::empty({9 + i, 16, 20, 3}, DType::u8);
      const auto most = 40 + 20 * static_cast<uint32_t>(i);
      for (uint8_t& value : frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(most));
      const std::string path =
          concat(folder_ / (i < kClips ? "set/test/" : "set/train/"), i % 2 ? "b/" : ",/", i, ".frames");
      fs::create_directories(fs::path(path).parent_path());
      write_decoded_clip(path, frames);
      if (i < kClips) paths_.push_back(path);
    }
    make_model("model", "sora-cnn");
    make_model("fusion", "sora-fusion");
  }
  std::string set() const { return folder_ / "set"; }
  std::string test() const { return folder_ / "set/test"; }
  std::string clip(size_t i) const { return paths_[i]; }
  const std::vector<std::string>& clips() const { return paths_; }
  std::string model(const std::string& name = "model") const { return folder_ / (name + ".safetensors"); }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  void make_model(const std::string& name, const std::string& network) {
    ModelFile file;
    file.model = network;
    if (network != "sora-cnn") file.model_options["size"] = "tiny";
    file.classes = {",", "b"};
    file.preprocessing.frames = 3;
    file.preprocessing.height = file.preprocessing.width = 16;
    file.preprocessing.sampling = "dense";
    file.seed = 11;
    save_model(model(name), Classifier(file).file());
  }
  TemporaryFolder folder_;
  std::vector<std::string> paths_;
};

const Fixture& fixture() {
  static const Fixture once;
  return once;
}

Outcome predict(const std::vector<std::string>& arguments) {
  return run(fixture().folder(), "engine_predict", arguments);
}

void check_refused(const std::vector<std::string>& arguments, int code, const std::string& words) {
  const Outcome outcome = predict(arguments);
  CAPTURE(outcome.err);
  CHECK(outcome.code == code);
  CHECK(outcome.err.starts_with("engine_predict: error: "));
  CHECK(outcome.err.find(words) != std::string::npos);
  CHECK(std::ranges::count(outcome.err, '\n') == 1);
  CHECK(outcome.out.empty());
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("engine_predict classify: CSV and JSON lines say the same of files, folders and lists") {
  write_text(fixture().folder() / "list.txt", fixture().clip(2) + "\n" + fixture().clip(5) + "\n");
  const std::vector<std::string> what = {fixture().clip(1), fixture().folder() / "list.txt"};
  const Outcome csv = predict({"classify", fixture().model(), what[0], what[1], "--format", "csv", "--top", "2"});
  const Outcome jsonl = predict({"classify", fixture().model(), what[0], what[1], "--format", "jsonl", "--top", "2"});
  CHECK(jsonl.out == predict({"classify", fixture().model(), what[0], what[1], "--json", "--top", "2"}).out);
  const auto rows = lines_of(csv.out), objects = lines_of(jsonl.out);
  REQUIRE(rows.size() == 1 + 2 * 3);
  REQUIRE(objects.size() == 3);
  CHECK(rows[0] == "file,class,probability\r");
  for (size_t i = 0; i < 3; ++i) {
    const auto object = nlohmann::json::parse(objects[i]);
    CHECK(object.at("file") == fixture().clip(i == 0 ? 1 : i == 1 ? 2 : 5));
    for (size_t k = 0; k < 2; ++k) {
      const auto& top = object.at("top").at(k);
      const std::string name = top.at("class") == "," ? "\",\"" : "b", plain = object.at("file");
      const std::string file = plain.find(',') == std::string::npos ? plain : "\"" + plain + "\"";
      const std::string& row = rows[1 + 2 * i + k];
      REQUIRE(row.starts_with(file + "," + name + ","));
      CHECK(std::stod(row.substr(file.size() + name.size() + 2)) == top.at("probability").get<double>());
    }
  }
}

TEST_CASE("engine_predict classify: joined windows cover a clip without gaps, and are means of windows") {
  const std::vector<std::string> all = {"classify", fixture().model(), fixture().clip(4), "--json", "--window", "2"};
  std::vector<std::string> join = all;
  join.push_back("--join");
  const auto windows = lines_of(predict(all).out), segments = lines_of(predict(join).out);
  CHECK(windows.size() == 6);  // of 13 frames, 3 at a time: at 0, 2, 4, 6, 8, 10
  REQUIRE(!segments.empty());
  int64_t next = 0, count = 0;
  for (const std::string& line : segments) {
    const auto object = nlohmann::json::parse(line);
    CHECK(object.at("first_frame") == next);
    next = object.at("last_frame").get<int64_t>() + 1;
    double mean = 0;
    const auto of = object.at("windows").get<int64_t>();
    for (int64_t i = count; i < count + of; ++i) {
      const auto window = nlohmann::json::parse(windows[static_cast<size_t>(i)]);
      CHECK(window.at("class") == object.at("class"));
      mean += window.at("probability").get<double>() / static_cast<double>(of);
    }
    CHECK(object.at("probability").get<double>() == doctest::Approx(mean));
    count += of;
  }
  CHECK(next == 13);
  CHECK(count == 6);
}

TEST_CASE("engine_predict classify: subtitles of a video") {
  check_refused({"classify", fixture().model(), fixture().clip(0), "--format", "srt"}, exit_code::kData,
                "0.frames: only videos have times, which subtitles need; choose another --format");
  check_refused({"classify", fixture().model(), fixture().clip(0), fixture().clip(1), "--format", "srt"},
                exit_code::kUsage, "subtitles are of one video, and here are 2; give --out FOLDER");
  if (!video_available()) return;
  const TemporaryFolder folder;
  make_videos(folder / "videos", 1, 1);
  const std::string videos = folder / "videos/test";
  const Outcome one = predict({"classify", fixture().model(), videos + "/discs/0000.mp4", "--format", "srt"});
  CHECK(one.code == exit_code::kOk);
  const std::regex cues(
      R"((([1-9]\d*)\n\d\d:[0-5]\d:[0-5]\d,\d{3} --> \d\d:[0-5]\d:[0-5]\d,\d{3}\n(,|b) \d{1,3}%\n\n)+)");
  CHECK(std::regex_match(one.out, cues));
  const Outcome all =
      predict({"classify", fixture().model(), videos, "--format", "srt", "--out", folder / "new/subtitles"});
  CHECK(all.code == exit_code::kOk);
  const auto written = lines_of(all.out);
  CHECK(written.size() == 10);  // one name, ten folders
  CHECK(std::ranges::count(written, folder / "new/subtitles/0000-2.srt") == 1);
  for (const std::string& path : written) CHECK(std::regex_match(read_text(path), cues));
}

TEST_CASE("engine_predict eval: scores tell the same figures again, to the digit") {
  for (const std::vector<std::string>& views : {std::vector<std::string>{}, {"--clips", "3", "--crops", "3"}}) {
    const std::string scores = fixture().folder() / "scores.jsonl", matrix = fixture().folder() / "matrix.csv";
    std::vector<std::string> flags = {"eval", fixture().model(), fixture().set(), "--scores",
                                      scores, "--confusion",     matrix};
    flags.insert(flags.end(), views.begin(), views.end());
    const Outcome text = predict(flags);
    CAPTURE(text.err);
    REQUIRE(text.code == exit_code::kOk);
    CHECK(text.out.find("macro F1: ") != std::string::npos);
    CHECK(text.out.find("\nWorst classes:\n") != std::string::npos);
    CHECK(predict({"eval", "--from-scores", scores}).out == text.out);
    flags.push_back("--json");
    const std::string json = predict(flags).out;
    CHECK(predict({"eval", "--from-scores", scores, "--json"}).out == json);
    const auto lines = lines_of(read_text(scores));
    CHECK(lines.size() == 1 + kClips * (views.empty() ? 1 : 9));
    const auto object = nlohmann::json::parse(lines[1]);
    CHECK(object.at("label") == ",");
    const std::string file = fixture().set() + "/test/" + object.at("clip").get<std::string>();
    if (views.empty()) {  // what classify says
      const auto told = nlohmann::json::parse(predict({"classify", fixture().model(), file, "--json"}).out);
      const auto probabilities = object.at("probabilities").get<std::vector<double>>();
      CHECK(told.at("probability").get<double>() == std::ranges::max(probabilities));
    }
    const auto report = nlohmann::json::parse(json);
    const auto counts = report.at("confusion").get<std::vector<std::vector<int>>>();
    CHECK(read_text(matrix) == concat(",\",\",b\r\n\",\",", counts[0][0], ",", counts[0][1], "\r\nb,", counts[1][0],
                                      ",", counts[1][1], "\r\n"));
  }
}

TEST_CASE("engine_predict embed: the same vectors in every kind of file, which the head sees") {
  const auto path = [](const std::string& name) { return fixture().folder() / name; };
  const Outcome npy = predict({"embed", fixture().model(), fixture().test(), "-o", path("v.npy")});
  CAPTURE(npy.err);
  REQUIRE(npy.code == exit_code::kOk);
  auto names = lines_of(npy.out);
  auto sorted = fixture().clips();
  std::ranges::sort(sorted);
  std::ranges::sort(names);
  CHECK(names == sorted);
  REQUIRE(predict({"embed", fixture().model(), fixture().test(), "-o", path("v.safetensors")}).out == npy.out);
  REQUIRE(predict({"embed", fixture().model(), fixture().test(), "-o", path("v.jsonl")}).out == npy.out);
  const TensorFile file = read_safetensors(path("v.safetensors"));
  const Tensor vectors = file.tensors.at(0).tensor;
  CHECK(file.tensors.at(0).name == "features");
  CHECK(vectors.shape() == Shape{kClips, 256});
  CHECK(nlohmann::json::parse(file.metadata.at("files")) == lines_of(npy.out));
  const std::string bytes = read_text(path("v.npy"));
  REQUIRE(bytes.size() == 128 + vectors.bytes());
  CHECK(std::memcmp(bytes.data() + 128, vectors.memory(), vectors.bytes()) == 0);
  Classifier classifier = Classifier::load(fixture().model());
  std::map<std::string, Tensor> parameters;
  for (const NamedTensor& each : classifier.network().parameters()) parameters[each.name] = each.tensor.detach();
  Evaluator evaluator(classifier);
  const auto lines = lines_of(read_text(path("v.jsonl")));
  REQUIRE(lines.size() == kClips);
  for (int64_t i = 0; i < kClips; ++i) {
    const auto object = nlohmann::json::parse(lines[static_cast<size_t>(i)]);
    const Tensor row = vectors.slice(i, i + 1);
    CHECK(std::ranges::equal(object.at("features").get<std::vector<float>>(), row.values<float>()));
    const Tensor clip = clip_of(classifier.description().preprocessing, object.at("file"));
    const Tensor logits = evaluator(clip),
                 again = linear(row, parameters.at("head.weight"), parameters.at("head.bias"));
    for (size_t k = 0; k < 2; ++k)
      CHECK(again.values<float>()[k] == doctest::Approx(logits.values<float>()[k]).epsilon(1e-5));
  }
}

TEST_CASE("engine_predict explain: a picture for every video") {
  if (!video_available()) return;  // PNG takes FFmpeg
  const std::string out = fixture().folder() / "heat", matrix = fixture().folder() / "matrix.png";
  CHECK(predict({"eval", fixture().model(), fixture().set(), "--confusion", matrix}).code == exit_code::kOk);
  CHECK(read_text(matrix).starts_with("\x89PNG\r\n"));
  const Outcome all = predict({"explain", fixture().model(), fixture().test(), "--class", "b", "--out", out});
  CAPTURE(all.err);
  CHECK(all.code == exit_code::kOk);
  const auto written = lines_of(all.out);
  CHECK(written.size() == kClips);
  for (const std::string& path : written) CHECK(read_text(path).starts_with("\x89PNG\r\n"));
  CHECK(std::ranges::count(written, out + "/3-b.png") == 1);
  const Outcome attention =
      predict({"explain", fixture().model("fusion"), fixture().clip(3), "--method", "attention", "--out", out});
  CAPTURE(attention.err);
  CHECK(attention.code == exit_code::kOk);
  CHECK(std::regex_search(attention.out, std::regex("/3-(_|b)(-2)?\\.png\n$")));
}

TEST_CASE("engine_predict classify: --profile tells where the time of clips goes") {
  const std::string trace = fixture().folder() / "trace.json";
  const Outcome told = predict({"classify", fixture().model(), fixture().clip(0), "--profile", "4", "--trace", trace});
  CAPTURE(told.err);
  REQUIRE(told.code == exit_code::kOk);
  CHECK(told.out.starts_with("profile of 4 steps on cpu: "));
  CHECK(told.out.find("\nconv1 ") != std::string::npos);
  CHECK(!nlohmann::json::parse(read_text(trace))["traceEvents"].empty());
  const Outcome json = predict({"classify", fixture().model(), fixture().test(), "--profile", "2", "--json"});
  REQUIRE(json.code == exit_code::kOk);
  CHECK(nlohmann::json::parse(json.out)["steps"] == 2);
}

TEST_CASE("engine_predict: help fits a screen and begins with examples") {
  for (const std::string command : {"", "classify", "eval", "embed", "explain"}) {
    const Outcome help = command.empty() ? predict({"--help"}) : predict({command, "--help"});
    CAPTURE(command);
    CHECK(help.code == exit_code::kOk);
    const auto lines = lines_of(help.out);
    CHECK(lines.size() <= 50);
    CHECK(std::ranges::find(lines, "Examples:") - lines.begin() <= 3);
    for (const std::string& line : lines) CHECK(line.size() <= 120);
  }
}

TEST_CASE("engine_predict: what cannot be done is told in one line") {
  const std::string model = fixture().model(), clip = fixture().clip(0), out = fixture().folder() / "x.npy";
  const std::string nowhere = "/proc/none/there";
  check_refused({"embed", fixture().folder() / "none.safetensors", clip, "-o", out}, exit_code::kNoInput,
                "none.safetensors");
  check_refused({"explain", fixture().folder() / "none.safetensors", clip}, exit_code::kNoInput, "none.safetensors");
  check_refused({"embed", model, "no.mp4", "-o", out}, exit_code::kNoInput, "no.mp4: no such file");
  CHECK(!fs::exists(out));
  check_refused({"embed", model, clip, "-o", "v.txt"}, exit_code::kUsage, ".npy, .safetensors or .jsonl");
  check_refused({"embed", model, clip, "-o", nowhere + ".npy"}, exit_code::kStorage, nowhere);
  check_refused({"explain", model, clip, "--class", "bb"}, exit_code::kUsage,
                "--class bb: the model knows no such class; did you mean 'b'?");
  check_refused({"explain", model, clip, "--method", "attention"}, exit_code::kUsage,
                "for sora-serial and sora-fusion");
  check_refused({"explain", model, clip, "--out", nowhere}, exit_code::kStorage,
                "cannot make folder '/proc/none/there': No such file or directory; choose a place that can be");
  check_refused({"explain", model, clip, "--out", model}, exit_code::kStorage,
                "model.safetensors': Not a directory; choose a place that can be written to");
  check_refused({"classify", model, clip, "--profile", "3", "--format", "csv"}, exit_code::kUsage,
                "--profile tells a table or, with --json, an object; leave out --format");
  check_refused({"classify", model, clip, "--trace", "t.json"}, exit_code::kUsage,
                "--trace is of --profile; give --profile N as well");
  check_refused({"classify", model, clip, "--join"}, exit_code::kUsage, "give --window as well");
  check_refused({"classify", model, clip, "--format", "xml"}, exit_code::kUsage, "xml");
  check_refused({"classify", model, clip, "--out", "here"}, exit_code::kUsage,
                "--out is for --format srt; the other formats go to standard output");
  check_refused({"eval", model}, exit_code::kUsage, "MODEL and DATA are expected");
  check_refused({"eval", model, fixture().set(), "--from-scores", "s.jsonl"}, exit_code::kUsage, "leave these out");
  check_refused({"eval", "--from-scores", "none.jsonl"}, exit_code::kNoInput, "none.jsonl");
  check_refused({"eval", model, fixture().set(), "--confusion", "m.txt"}, exit_code::kUsage,
                "--confusion m.txt: the matrix goes into a .csv or .png file");
  check_refused({"eval", model, fixture().set(), "--scores", "s.csv"}, exit_code::kUsage,
                "--scores: the scores are JSON lines; give a file .jsonl");
  check_refused({"eval", model, fixture().set(), "--split", "val"}, exit_code::kNoInput,
                ", drawn with seed 11); choose another with --split");
  fs::create_directories(fixture().folder() / "bare");
  check_refused({"embed", model, fixture().folder() / "bare", "-o", out}, exit_code::kNoInput,
                "bare: no video in this folder");
  const Outcome unwritten = predict({"eval", model, fixture().set(), "--scores", nowhere + ".jsonl"});
  CHECK(unwritten.code == exit_code::kStorage);
}

TEST_CASE("engine_predict: a reader that goes away is no error") {
  const std::string program = kWithoutCuda + engine::test::program_folder() + "/engine_predict";
  const std::string many = " " + fixture().set() + " " + fixture().set() + " " + fixture().set();
  const std::string command = program + " classify " + fixture().model() + many + " --json 2>" +
                              (fixture().folder() / "pipe.err") + " | head -1 >/dev/null; exit ${PIPESTATUS[0]}";
  const int status = std::system(("bash -c '" + command + "'").c_str());
  CHECK(WEXITSTATUS(status) == exit_code::kOk);
  CHECK(read_text(fixture().folder() / "pipe.err").empty());
}

TEST_CASE("engine_predict: a file that may not grow is an error of writing, and leaves nothing") {
  const std::string out = fixture().folder() / "limited.npy", told = fixture().folder() / "limited.err";
  const std::string command = kWithoutCuda + engine::test::program_folder() + "/engine_predict embed " +
                              fixture().model() + " " + fixture().test() + " -o " + out + " >/dev/null 2>" + told;
  const int status = std::system(("bash -c 'ulimit -f 1; " + command + "'").c_str());
  CHECK(WEXITSTATUS(status) == exit_code::kStorage);
  CHECK(read_text(told).find("limited.npy") != std::string::npos);
  CHECK(!fs::exists(out));
}
