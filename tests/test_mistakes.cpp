#include <nlohmann/json.hpp>

#include "engine/ops.h"
#include "tests/run_folders.h"
#include "train/film_strip.h"
#include "train/heat_strip.h"

using namespace engine;
using namespace engine::test;
using program_run::read_text;

namespace {

// A clip whose frame t is of the colour (10 t, 100, x), x the column.
Tensor striped(int64_t frames, int64_t height, int64_t width) {
  const Tensor clip = Tensor::empty({frames, height, width, 3}, DType::u8);
  const std::span<uint8_t> pixels = clip.values<uint8_t>();
  for (int64_t i = 0; i < clip.elements(); i += 3) {
    pixels[static_cast<size_t>(i)] = static_cast<uint8_t>(10 * (i / (3 * height * width)));
    pixels[static_cast<size_t>(i) + 1] = 100;
    pixels[static_cast<size_t>(i) + 2] = static_cast<uint8_t>(i / 3 % width);
  }
  return clip;
}

std::vector<int> pixel(const RgbImage& image, int x, int y) {
  const auto place = static_cast<size_t>(3 * (y * image.size.width + x));
  return {image.rgb[place], image.rgb[place + 1], image.rgb[place + 2]};
}

Dataset clips_called(const std::vector<std::string>& names, const ModelFile& model) {
  Dataset dataset{.samples = {}, .classes = model.classes, .source = {}, .head = model.head};
  for (const std::string& name : names) dataset.samples.push_back({.path = {}, .name = name});
  return dataset;
}

}  // namespace

TEST_CASE("film strip: frames are spread over the clip, and made smaller by means") {
  CHECK(strip_frames(5) == std::vector<int64_t>{0, 1, 2, 3, 4});
  CHECK(strip_frames(16, {.frames = 4}) == std::vector<int64_t>{0, 5, 10, 15});
  CHECK(strip_frames(9, {.frames = 1}) == std::vector<int64_t>{4});
  const RgbImage same = film_strip(striped(3, 5, 7));
  CHECK(same.size == FrameSize{3 * 7 + 2 * 2, 5});
  CHECK(pixel(same, 6, 4) == std::vector<int>{0, 100, 6});
  CHECK(pixel(same, 7, 4) == std::vector<int>{255, 255, 255});
  CHECK(pixel(same, 2 * 9 + 3, 0) == std::vector<int>{20, 100, 3});
  const RgbImage smaller = film_strip(striped(2, 10, 24), {.frames = 8, .side = 8});
  CHECK(smaller.size == FrameSize{2 * 8 + 2, 3});
  CHECK(pixel(smaller, 10 + 7, 1) == std::vector<int>{10, 100, 22});
  CHECK_THROWS_AS(film_strip(Tensor::zeros({3, 5, 7, 3})), Error);
}

TEST_CASE("film strip: maps of differences belong to the later frame") {
  const Tensor heat = Tensor::zeros({2, 1, 2}), clip = striped(3, 4, 8);
  heat.values<float>()[1] = 1;  // the right half of the first map
  const Tensor maps = concat({heat.slice(0, 1), heat}, 0);
  CHECK(film_strip(clip, heat).rgb == film_strip(heat_over(clip, maps)).rgb);
  CHECK(film_strip(clip, heat).rgb == film_strip(clip, maps).rgb);
  CHECK(film_strip(clip, heat).rgb != film_strip(clip, concat({heat, heat.slice(1, 2)}, 0)).rgb);
}

TEST_CASE("mistakes: the surest wrong ones first, then the least sure right ones") {
  const ModelFile model = described(Head::classification, {"a", "b"});
  const Dataset dataset = clips_called({"right, unsure", "wrong, unsure", "right, sure", "wrong, sure"}, model);
  const TemporaryFolder folder;
  RunLog log(folder.path());
  log.start(facts_of(model));
  log_steps(log, model, 1, 1, 0);
  Mistakes mistakes(model, dataset, 3);
  const std::vector<std::vector<float>> logits = {{0.5f, 0.0f}, {0.0f, 0.25f}, {4, 0}, {0, 3}};
  const std::vector<double> target = {0};
  for (int64_t i = 0; i < 4; ++i) mistakes.add({i, logits[static_cast<size_t>(i)], target, striped(3, 5, 7)});
  std::vector<int64_t> asked;
  mistakes.write(log, "test", 1, [&](const Tensor& clip, int64_t output) {
    CHECK(clip.shape() == Shape{1, 3, 5, 7, 3});
    asked.push_back(output);
    if (asked.size() == 2) throw Error("nothing to look at");
    return Explanation{Tensor::full({3, 2, 2}, 0.5), "a test"};
  });
  const auto found = nlohmann::ordered_json::parse(read_text(folder / kMistakesFile));
  CHECK(found.at("clips") == 4);
  CHECK(found.at("wrong") == 2);
  REQUIRE(found.at("items").size() == 3);
  CHECK(found.at("items")[0].at("clip") == "wrong, sure");
  CHECK(found.at("items")[1].at("clip") == "wrong, unsure");
  CHECK(found.at("items")[2].at("clip") == "right, unsure");
  CHECK(found.at("items")[2].at("right") == true);
  CHECK(found.at("items")[0].at("truth")[0].at("name") == "a");
  CHECK(found.at("items")[0].at("prediction")[0].at("name") == "b");
  CHECK(found.at("items")[0].at("prediction")[0].at("value").get<double>() == doctest::Approx(1 / (1 + std::exp(-3))));
  if (!video_available()) return;
  CHECK(asked == std::vector<int64_t>{1, 1, 0});
  CHECK(found.at("items")[0].at("method") == "a test");
  CHECK_FALSE(found.at("items")[1].contains("heat"));
  CHECK(std::filesystem::exists(folder / "pictures/mistake-03-heat.png"));
}

TEST_CASE("mistakes: of numbers those farthest off in deviations, of labels those of the largest loss") {
  const TemporaryFolder folder;
  const std::vector<float> low = {0.0f, 0.0f}, high = {2.0f, -2.0f};
  const auto worst = [&](const ModelFile& model,
                         const std::vector<std::pair<std::vector<float>, std::vector<double>>>& samples) {
    RunLog log(folder.path());
    log.start(facts_of(model));
    log_steps(log, model, 1, 1, 0);
    const Dataset dataset = clips_called({"0", "1", "2"}, model);
    Mistakes mistakes(model, dataset, 2);
    for (size_t i = 0; i < samples.size(); ++i)
      mistakes.add({static_cast<int64_t>(i), samples[i].first, samples[i].second, striped(2, 3, 4)});
    mistakes.write(log, "val", 1);
    return nlohmann::ordered_json::parse(read_text(folder / kMistakesFile));
  };
  // Mean 0.5 and deviations 2 and 8: outputs of 0 are 0.5.
  ModelFile numbers = described(Head::regression, {"near", "far"});
  numbers.targets.deviation[1] = 8;
  const auto of_numbers = worst(numbers, {{low, {0.5, 5.5}}, {low, {3.5, 0.5}}, {low, {0.75, 0.5}}});
  CHECK(of_numbers.at("items")[0].at("clip") == "1");  // 1.5 deviations
  CHECK(of_numbers.at("items")[1].at("clip") == "0");
  CHECK(of_numbers.at("points").size() == 2);
  CHECK(of_numbers.at("points")[0] == nlohmann::ordered_json::parse("[[0.5,0.5],[3.5,0.5],[0.75,0.5]]"));
  const auto of_labels =
      worst(described(Head::multilabel, {"x", "y"}), {{high, {1, 0}}, {high, {0, 1}}, {high, {1, 1}}});
  CHECK(of_labels.at("items")[0].at("clip") == "1");
  CHECK(of_labels.at("items")[1].at("clip") == "2");
  CHECK(of_labels.at("wrong") == 2);
  CHECK(of_labels.at("items")[1].at("truth").size() == 2);
  CHECK(of_labels.at("items")[1].at("prediction").size() == 1);
}
