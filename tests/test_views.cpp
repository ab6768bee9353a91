// Several views of every video in testing: in the loader, in the figures, in the programs; and what becomes of short
// videos there.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "io/decoded_clip.h"
#include "io/trim.h"
#include "program_run.h"
#include "tests/loader_fixtures.h"
#include "train/data_options.h"
#include "train/evaluate.h"
#include "train/head.h"
#include "train/predict.h"
#include "train/short_videos.h"

using namespace engine;
using fixtures::contains;
using fixtures::error_of;
using program_run::Outcome;
using program_run::run;

namespace {

namespace fs = std::filesystem;

constexpr FrameSize kPicture{23, 16};

// Clips of noise, of 9, 10, 11, ... frames unless `lengths` says otherwise, in two classes.
Dataset decoded_clips(const TemporaryFolder& folder, const std::vector<int64_t>& lengths) {
  Dataset dataset;
  dataset.classes = {"a", "b"};
  dataset.source = folder.path();
  Random random(14);
  for (size_t i = 0; i < lengths.size(); ++i) {
    const Tensor frames = Tensor::empty({lengths[i], kPicture.height, kPicture.width, 3}, DType::u8);
    for (uint8_t& value : frames.values<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
    const std::string name = concat(i, ".frames"), path = folder / (i % 2 ? "b/" : "a/") + name;
    fs::create_directories(fs::path(path).parent_path());
    write_decoded_clip(path, frames);
    dataset.samples.push_back({path, static_cast<int64_t>(i % 2), name});
  }
  return dataset;
}

ModelFile description(Head head, std::vector<std::string> outputs) {
  ModelFile file;
  file.model = "sora-cnn";
  file.head = head;
  file.classes = std::move(outputs);
  if (head == Head::regression) file.targets = {{0.5, -2}, {1.5, 0.25}};
  file.preprocessing.frames = 3;
  file.preprocessing.height = file.preprocessing.width = 12;
  file.preprocessing.sampling = "dense";
  file.seed = 4;
  return file;
}

fixtures::Epoch all_of(Loader& loader) {
  fixtures::Epoch epoch;
  loader.start_epoch(0);
  for (Batch batch; loader.next(batch);) fixtures::append(epoch, batch);
  return epoch;
}

// What view `view` of a sample must be, read by hand.
std::vector<uint8_t> view_of_sample(const Sample& sample, const ClipOptions& options, int view) {
  const auto source = open_clip(sample);
  const ClipPlan plan = plan_clip(clip_source(*source, options, sample.path), options, nullptr, view);
  std::vector<uint8_t> rgb(plan.frames.size() * plan.view.size.bytes());
  read_clip(*source, plan, rgb);
  return rgb;
}

}  // namespace

TEST_CASE("views: the loader gives all of a sample, one after another, with any number of workers") {
  const TemporaryFolder folder;
  const Dataset dataset = decoded_clips(folder, {9, 10, 3, 12, 13});
  const Preprocessing p = description(Head::classification, dataset.classes).preprocessing;
  for (const auto& [clips, crops] : {std::pair{2, TestCrops::three}, {1, TestCrops::ten}, {3, TestCrops::centre}}) {
    fixtures::Epoch expected;
    LoaderOptions options = evaluation_loader(p, 0, clips, crops);
    options.batch = 4;  // batches end inside a sample
    const int views = clips * count_of(crops);
    for (int64_t i = 0; i < 5; ++i)
      for (int view = 0; view < views; ++view) {
        const auto rgb = view_of_sample(dataset.samples[static_cast<size_t>(i)], options.clip, view);
        expected.bytes.insert(expected.bytes.end(), rgb.begin(), rgb.end());
        expected.items.push_back(i);
        expected.labels.push_back(i % 2);
      }
    for (const int workers : {0, 3}) {
      options.workers = workers;
      Loader loader(dataset, options);
      CHECK(loader.size() == (5 * views + 3) / 4);
      CHECK(all_of(loader) == expected);
      CHECK(loader.stats().clips == 5 * views);
    }
  }
}

TEST_CASE("views: training has one, and a bad sample is bad in each of its views") {
  const TemporaryFolder folder;
  Dataset dataset = decoded_clips(folder, {9, 10, 11, 12, 13});
  const Preprocessing p = description(Head::classification, dataset.classes).preprocessing;
  LoaderOptions options = evaluation_loader(p, 0, 2, TestCrops::three);
  fixtures::write_file(dataset.samples[1].path = folder / "bad.frames", "not a clip");
  for (const int workers : {0, 3}) {
    options.workers = workers;
    Loader loader(dataset, options);
    const fixtures::Epoch given = all_of(loader);
    CHECK(given.items.size() == 4 * 6);
    CHECK(std::ranges::count(given.items, 1) == 0);
    REQUIRE(loader.stats().bad.size() == 6);
    for (const auto& bad : loader.stats().bad) CHECK(bad.item == 1);
  }
  options.training = true;
  options.on_bad = BadClip::replace;
  Loader training(dataset, options);
  CHECK(all_of(training).items.size() == 5);
  options.training = false;  // the same view of another clip
  Loader replacing(dataset, options);
  const fixtures::Epoch given = all_of(replacing);
  REQUIRE(given.items.size() == 5 * 6);
  const size_t bytes = given.bytes.size() / 30;
  for (size_t view = 0; view < 6; ++view) {
    const int64_t other = given.items[6 + view];
    CHECK((other == 0 || other == 2 || other == 3 || other == 4));
    CHECK(other % 2 == 1);
    const auto rgb = view_of_sample(dataset.samples[static_cast<size_t>(other)], options.clip, static_cast<int>(view));
    CHECK(std::ranges::equal(rgb, std::span(given.bytes).subspan((6 + view) * bytes, bytes)));
  }
}

TEST_CASE("views: their mean is that of probabilities, or of numbers") {
  const std::vector<std::vector<float>> views = {{1.5f, -0.25f, 0.75f}, {-2, 3, 0.125f}, {90, -40, 0.5f}};
  for (const Head head : {Head::classification, Head::multilabel, Head::regression}) {
    ModelFile model;
    model.head = head;
    model.targets = {{0.5, -2, 1}, {1.5, 0.25, 1}};
    std::vector<double> mean(3);
    for (const auto& view : views) {
      const std::vector<double> each = predictions(model, view);
      for (size_t k = 0; k < 3; ++k) mean[k] += each[k] / 3;
    }
    const std::vector<double> got = predictions(model, mean_outputs(head, views));
    for (size_t k = 0; k < 3; ++k) CHECK(got[k] == doctest::Approx(mean[k]).epsilon(1e-6));
    CHECK(mean_outputs(head, {views[1]}) == views[1]);
  }
  // Where a probability is too small for a number, the loss is still one.
  const std::vector<float> sure = mean_outputs(Head::classification, {{2000, 0}, {1800, 0}});
  CHECK(sure[0] == doctest::Approx(0));
  CHECK(sure[1] == doctest::Approx(-1800 - std::log(2)));
  CHECK(mean_outputs(Head::multilabel, {{-2000}, {-1800}})[0] == doctest::Approx(-1800 - std::log(2)));
}

TEST_CASE("views: videos and single views are judged, each view for itself") {
  const TemporaryFolder folder;
  const Dataset dataset = decoded_clips(folder, {9, 10, 11, 12, 13, 14, 15});
  const ModelFile model = description(Head::classification, dataset.classes);
  Classifier classifier(model);
  Evaluator evaluator(classifier);
  LoaderOptions options = evaluation_loader(model.preprocessing, 2, 2, TestCrops::three);
  double view_loss = 0, video_loss = 0;
  int view_right = 0, video_right = 0;
  for (int64_t i = 0; i < 7; ++i) {
    const auto label = static_cast<size_t>(i % 2);
    std::vector<double> mean(2);
    for (int view = 0; view < 6; ++view) {
      const auto rgb = view_of_sample(dataset.samples[static_cast<size_t>(i)], options.clip, view);
      const Tensor clip = Tensor::empty({1, 3, 12, 12, 3}, DType::u8);
      std::ranges::copy(rgb, clip.values<uint8_t>().begin());
      const std::vector<double> p = predictions(model, evaluator(clip).values<float>());
      view_loss -= std::log(p[label]) / 42;
      view_right += p[label] > p[1 - label];
      for (size_t k = 0; k < 2; ++k) mean[k] += p[k] / 6;
    }
    video_loss -= std::log(mean[label]) / 7;
    video_right += mean[label] > mean[1 - label];
  }
  Loader loader(dataset, options);
  const ViewsEvaluation both = evaluate_views(classifier, loader);
  CHECK(both.videos.samples == 7);
  CHECK(both.views.samples == 42);
  CHECK(both.views.loss == doctest::Approx(view_loss).epsilon(1e-6));
  CHECK(both.videos.loss == doctest::Approx(video_loss).epsilon(1e-6));
  CHECK(both.videos.loss != doctest::Approx(both.views.loss).epsilon(1e-9));
  CHECK(both.views.score() == doctest::Approx(view_right / 42.0));
  CHECK(both.videos.score() == doctest::Approx(video_right / 7.0));
  // A single view: the same numbers to the bit, both ways.
  Loader single(dataset, evaluation_loader(model.preprocessing, 2));
  const ViewsEvaluation one = evaluate_views(classifier, single);
  CHECK(one.videos.loss == one.views.loss);
  CHECK(one.videos.score() == one.views.score());
  CHECK(one.videos.confusion == one.views.confusion);
}

TEST_CASE("short videos: counted, left out or refused before training") {
  const TemporaryFolder folder;
  Splits splits;
  splits.train = decoded_clips(folder, {9, 2, 4, 12});
  splits.val = splits.train;
  splits.val.samples = {splits.train.samples[1], splits.train.samples[3]};
  ClipOptions options;
  options.frames = 5;
  CHECK(settle_short_videos(splits, options, nullptr).empty());  // that would take opening them
  options.short_videos = ShortVideo::error;
  const auto [code, line] = error_of([&] { settle_short_videos(splits, options, nullptr); });
  CHECK(code == exit_code::kData);
  CHECK(contains(line, "3 of 6 clips are shorter than 5 frames, the first is 1.frames"));
  options.short_videos = ShortVideo::skip;
  CHECK(contains(settle_short_videos(splits, options, nullptr), "short   3 of 6 clips"));
  CHECK(splits.train.samples.size() == 2);
  CHECK(splits.train.samples[0].name == "0.frames");
  CHECK(splits.val.samples.size() == 1);
  CHECK(settle_short_videos(splits, options, nullptr).empty());
  options.frames = 13;
  CHECK(error_of([&] { settle_short_videos(splits, options, nullptr); }).first == exit_code::kData);
}

TEST_CASE("short videos: with an index they are counted without opening anything, by time too, and parts of videos") {
  if (!video_available() || !fixtures::have_ffmpeg()) return;
  const TemporaryFolder folder;
  Splits splits;
  std::vector<std::string> paths;
  for (const int frames : {20, 30}) {
    paths.push_back(folder / concat(frames, ".mp4"));
    fixtures::make_video(paths.back(), frames, fixtures::kX264);
    splits.train.samples.push_back({paths.back(), 0, concat(frames, ".mp4")});
  }
  const auto index = update_index("", folder.path(), paths).index;
  for (const std::string& path : paths) fs::remove(path);
  ClipOptions options;
  options.sampling = Sampling::dense;
  options.stride = 2;  // 31 frames
  CHECK(contains(settle_short_videos(splits, options, index.get()), "2 of 2 clips are shorter than 31 frames"));
  options.frames = 11;  // 21
  CHECK(contains(settle_short_videos(splits, options, index.get()),
                 "1 of 2 clips are shorter than 21 frames, the first "
                 "is 20.mp4: their last frame is repeated"));
  options.fps = 20;  // 1 s
  CHECK(contains(settle_short_videos(splits, options, index.get()), "1 of 2 clips are shorter than 1 s"));
  options.fps = 30;
  CHECK(settle_short_videos(splits, options, index.get()).empty());
  fixtures::make_video(paths[1], 30, fixtures::kX264);
  splits.train.samples.push_back({paths[1], 0, "part", 0, {}, 0.2, 0.6});
  options.short_videos = ShortVideo::skip;
  CHECK(contains(settle_short_videos(splits, options, nullptr), "1 of 3 clips"));
  CHECK(splits.train.samples.size() == 2);
}

TEST_CASE("programs: several views, windows and short videos") {
  const TemporaryFolder folder;
  program_run::make_videos(folder / "videos", 2, 1);  // of 4 frames
  const std::vector<std::string> base = {folder / "videos", "--epochs", "1", "--frames", "2", "--progress", "none"};
  const auto train = [&](const std::string& out, std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    more.insert(more.end(), {"--out", folder / out});
    return run(folder, "engine_train", more);
  };
  const Outcome trained = train("run", {"--test-clips", "2", "--test-crops", "3"});
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(contains(trained.out, "\nTest accuracy: "));
  CHECK(contains(trained.out, "\nSingle views: 60, loss "));
  CHECK(contains(trained.err, "on 10 clips, 6 views of each: 2 clips x 3 crops"));
  CHECK_FALSE(contains(trained.err, "short "));
  const std::string model = folder / "run/best.safetensors";
  const auto predict = [&](std::vector<std::string> words) { return run(folder, "engine_predict", words); };
  const auto eval = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", model, folder / "videos", "--json"});
    return predict(more).out;
  };
  const auto plain = nlohmann::json::parse(eval({})),
             many = nlohmann::json::parse(eval({"--clips", "2", "--crops", "3"}));
  CHECK_FALSE(plain.contains("views"));
  CHECK(plain.at("clips") == 10);
  CHECK(eval({"--clips", "1", "--crops", "1"}) == eval({}));
  CHECK(many.at("clips") == 10);
  CHECK(many.at("views").at("count") == 60);
  CHECK(many.at("views").at("crops") == 3);
  CHECK(many.at("views").at("clips") == 2);
  CHECK(contains(trained.out, "Test accuracy: " + std::to_string(many.at("accuracy").get<double>()).substr(0, 5)));
  const Outcome told = predict({"eval", model, folder / "videos", "--clips", "3"});
  CHECK(contains(told.out, "test videos: 10, 3 views of each: 3 clips x 1 crop\nSingle views: 30, loss "));
  CHECK(predict({"eval", model, folder / "videos", "--crops", "4"}).code == exit_code::kUsage);

  const std::string video = find_clips(folder / "videos/test/bars")[0];
  const Outcome windows = predict({"classify", model, video, "--window", "1", "--json"});
  std::istringstream lines(windows.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto object = nlohmann::json::parse(line);
    CHECK(object.at("first_frame") == count);
    CHECK(object.at("last_frame") == count + 1);
    if (video_available()) CHECK(object.at("end").get<double>() == doctest::Approx((count + 1) / 12.0));
    CHECK(object.contains("class"));
  }
  CHECK(count == 3);
  const Outcome table = predict({"classify", model, video, "--window", "2"});
  CHECK(std::ranges::count(table.out, '\n') == 3);
  CHECK(contains(table.out, "  0-1  "));
  if (video_available()) CHECK(contains(table.out, "  0.17-0.25  "));

  // Through the index that training made, but for a video that was changed since.
  fs::copy_file(find_clips(folder / "videos/test/discs")[0], video, fs::copy_options::overwrite_existing);
  if (video_available()) CHECK(present_index(folder / "videos") != nullptr);
  CHECK(present_index(folder / "videos/test") == nullptr);
  const Outcome changed = predict({"classify", model, folder / "videos"});
  CHECK(changed.err.empty());
  CHECK(changed.code == 0);
  CHECK(std::ranges::count(changed.out, '\n') == 31);

  const auto check_code = [&](const Outcome& outcome, int code, const std::string& words) {
    CAPTURE(outcome.err);
    CHECK(outcome.code == code);
    CHECK(contains(outcome.err, words));
  };
  check_code(train("error", {"--frames", "6", "--short", "error"}), exit_code::kData,
             "30 of 30 clips are shorter than 6 frames");
  check_code(train("skip", {"--frames", "6", "--short", "skip"}), exit_code::kData, "they are left out");
  check_code(train("pad", {"--frames", "6", "--short", "pad"}), 0,
             video_available() ? "short   30 of 30 clips" : "tested epoch");
  check_code(predict({"eval", folder / "pad/best.safetensors", folder / "videos"}), 0, "");
  check_code(train("fps", {"--fps", "5", "--dry-run"}), 0, "--fps is for --sampling dense");
  if (video_available())
    check_code(train("dense", {"--fps", "6", "--sampling", "dense", "--sar", "apply"}), 0, "tested epoch");
  else
    check_code(train("dense", {"--fps", "6", "--sampling", "dense"}), exit_code::kData, "only videos have times");
}
