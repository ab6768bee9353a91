#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "train/report.h"

using namespace engine;

namespace {

EpochReport third_epoch() {
  ClassMetrics metrics(2);
  for (int i = 0; i < 3; ++i) metrics.add(std::array<float, 2>{0, 0}, 0);
  metrics.add(std::array<float, 2>{0, 0}, 1);
  return {.epoch = 3, .train_loss = 0.41249, .seconds = 12.34, .clips_per_second = 50, .validation = metrics.result()};
}

EpochReport without_validation() {
  return {.epoch = 1, .train_loss = std::numeric_limits<double>::quiet_NaN(), .validation = ClassMetrics(2).result()};
}

}  // namespace

TEST_CASE("report: the line of an epoch") {
  CHECK(epoch_line(third_epoch(), 5) ==
        "Epoch 3/5 train loss 0.412 val loss 0.693 Accuracy: 0.750 mean class recall 0.500 time 12.3 s");
  CHECK(epoch_line(without_validation(), 1) ==
        "Epoch 1/1 train loss - val loss - Accuracy: - mean class recall - time 0.0 s");
}

TEST_CASE("report: the same as JSON and CSV, where no number is null or empty") {
  LoaderStats loading;
  loading.wait_seconds = 1.25, loading.blocked_seconds = 0.5, loading.stages = {0.125, 2.5, 3.5, 4.5};
  const auto object = nlohmann::json::parse(epoch_json(third_epoch(), loading));
  CHECK(object.at("loader").dump() ==
        R"({"blocked_seconds":0.5,"converting_seconds":4.5,"decoding_seconds":3.5,"opening_seconds":0.125,)"
        R"("reading_seconds":2.5,"wait_seconds":1.25})");
  CHECK(object.at("kind") == "epoch");
  CHECK(object.at("train_loss") == 0.41249);
  CHECK(object.at("accuracy") == 0.75);
  CHECK(nlohmann::json::parse(epoch_json(without_validation(), {})).at("val_loss").is_null());
  CHECK(metrics_csv({third_epoch(), without_validation()}) ==
        "epoch,train_loss,val_loss,accuracy,mean_class_recall,seconds,clips_per_second\n"
        "3,0.41249,0.693147,0.75,0.5,12.340,50.00\n"
        "1,,,,,0.000,0.00\n");
}

TEST_CASE("report: the test's line and object") {
  const Evaluation metrics = third_epoch().validation;
  CHECK(test_line(metrics) == "Test accuracy: 0.750 (mean class recall 0.500)");
  const auto object = nlohmann::json::parse(metrics_json("test", metrics, {"a", "b\xff"}));
  CHECK(object.at("clips") == 4);
  CHECK(object.at("confusion") == nlohmann::json::parse("[[3,0],[1,0]]"));
  CHECK(object.at("classes").at(0).at("recall") == 1.0);
  CHECK(object.at("classes").at(1).at("precision").is_null());
}

TEST_CASE("report: what the loader takes") {
  constexpr int64_t kMiB = 1 << 20;
  LoaderMemory memory{.batches = 5, .batch_bytes = 14 * kMiB - 1, .workers = 2, .worker_bytes = 20 * kMiB};
  CHECK(to_text(memory) ==
        "loader  2 workers, 4 batches ahead, at most 110 MiB (batches 5 x 14 MiB, decoders 2 x 20 MiB)");
  memory.batches = 2, memory.workers = 1;
  CHECK(to_text(memory) == "loader  1 worker, 1 batch ahead, at most 48 MiB (batches 2 x 14 MiB, decoders 1 x 20 MiB)");
  memory.batches = 3, memory.batch_bytes = 120000, memory.worker_bytes = 9 * kMiB - 1;
  CHECK(to_text(memory) ==
        "loader  1 worker, 2 batches ahead, at most 9.4 MiB (batches 3 x 0.2 MiB, decoders 1 x 9.0 MiB)");
  memory = {.batches = 1, .batch_bytes = 14 * kMiB, .workers = 0, .worker_bytes = 20 * kMiB};
  CHECK(to_text(memory) == "loader  no workers, at most 34 MiB (batches 1 x 14 MiB, decoders 1 x 20 MiB)");
}

TEST_CASE("report: much waiting is told with what took the time, and advice against that") {
  LoaderStats stats;
  stats.wait_seconds = 3.1;
  stats.stages = {0.5, 0.3, 7.2, 2.0};
  CHECK(waiting_warning(stats, 10, 2, 8) ==
        "warning: 31 % of the epoch went into waiting for clips (decoding 72 %, converting 20 %, opening 5 %, reading "
        "3 %): more --workers (2 now, 8 cores); `engine_data check DATA` tells what re-encoding would give\n");
  CHECK(waiting_warning(stats, 10, 8, 8) ==
        "warning: 31 % of the epoch went into waiting for clips (decoding 72 %, converting 20 %, opening 5 %, reading "
        "3 %): `engine_data check DATA` tells what re-encoding would give\n");
  CHECK(waiting_warning(stats, 15.51, 2, 8).empty());
  const auto with_largest = [&](Stage stage) {
    stats.stages[static_cast<size_t>(stage)] = 9;
    return waiting_warning(stats, 10, 8, 8);
  };
  CHECK(with_largest(Stage::convert).find("): videos of fewer pixels") != std::string::npos);
  stats.stages[3] = 0;
  CHECK(with_largest(Stage::open).find("): `engine_data shard DATA`") != std::string::npos);
  stats.stages[0] = 0;
  CHECK(with_largest(Stage::read).find("): more --workers (8 now, 8 cores); a faster disk") != std::string::npos);
  stats.stages = {};
  CHECK(waiting_warning(stats, 10, 2, 8).starts_with("warning: 31 % "));
}

TEST_CASE("report: replaced clips are told by name, once, and at the end; those left out by their number") {
  Dataset dataset;
  dataset.samples = {{"/x/a.mp4", 0, "a.mp4", 0}, {"/x/b.mp4", 0, "b.mp4", 0}};
  LoaderStats stats;
  ReplacedClips replaced;
  CHECK(replaced.tell(stats, dataset).empty());
  CHECK(replaced.summary(dataset).empty());
  CHECK(left_out_clips(stats, dataset).empty());
  stats.bad.push_back({1, "cut off"});
  CHECK(replaced.tell(stats, dataset) == "warning: clip b.mp4 was replaced by another of its class: cut off\n");
  CHECK(replaced.tell(stats, dataset).empty());
  CHECK(replaced.summary(dataset) ==
        "1 of 2 clips could not be read and had others in their places, 2 times in all:\n  b.mp4: cut off\n");
  stats.bad.push_back({0, "empty"});
  stats.clips = 5;
  CHECK(left_out_clips(stats, dataset) ==
        "warning: 2 of 7 clips could not be read and are left out of the figures; the first: b.mp4: cut off\n");
  CHECK(replaced.tell(stats, dataset) == "warning: clip a.mp4 was replaced by another of its class: empty\n");
  CHECK(replaced.summary(dataset) ==
        "2 of 2 clips could not be read and had others in their places, 4 times in all:\n  a.mp4: empty\n  b.mp4: cut "
        "off\n");
  dataset.samples.assign(25, {"/x/c.mp4", 0, "c.mp4", 0});
  stats.bad.clear();
  for (int64_t item = 2; item < 25; ++item) stats.bad.push_back({item, "empty"});
  replaced.tell(stats, dataset);
  CHECK(replaced.summary(dataset).ends_with("  c.mp4: empty\n  and 5 more\n"));
}
