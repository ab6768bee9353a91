// What no single frame tells apart is learnt by the networks that see time.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "temporary_folder.h"
#include "train/data_make.h"
#include "train/data_options.h"
#include "train/evaluate.h"
#include "train/trainer.h"

using namespace engine;

namespace {

// Decoded clips of four motions.
Splits few_motions(const std::string& folder) {
  DataMakeOptions options{.out = folder, .kind = SyntheticKind::motion, .width = 16, .height = 16, .frames = 6};
  options.train = 200;
  options.test = 1;
  options.decoded = true;
  make_data(options, [](int, int) { return true; });
  for (const char* part : {"train", "test"})
    for (const std::string_view name : synthetic_classes(SyntheticKind::motion))
      if (name != "left" && name != "right" && name != "grow" && name != "shrink")
        std::filesystem::remove_all(std::filesystem::path(folder) / part / name);
  return open_splits(folder, {.val_fraction = 0.2});
}

}  // namespace

TEST_CASE("sora-serial and sora-fusion: the loss falls in one short epoch of motion clips") {
  const TemporaryFolder folder;
  const Splits splits = few_motions(folder / "motions");
  REQUIRE(splits.train.classes.size() == 4);
  for (const std::string name : {"sora-serial", "sora-fusion"}) {
    ModelFile file;
    file.model = name;
    file.model_options["size"] = "tiny";
    file.classes = splits.train.classes;
    file.preprocessing.frames = 6;
    file.preprocessing.height = file.preprocessing.width = 16;
    Classifier classifier(file);
    TrainerOptions options;
    options.schedule = {.peak = 2e-3, .warmup_steps = 8, .total_steps = 160};
    Trainer trainer(classifier, options);
    LoaderOptions loading;
    loading.clip = clip_options(file.preprocessing);
    loading.workers = 0;
    loading.batch = 4;
    Loader training(splits.train, loading), calm(splits.val, evaluation_loader(file.preprocessing, 0));
    const FitResult fitted = fit(trainer, training, &calm, {.epochs = 1});
    const double guessing = std::log(4.0), after = fitted.epochs.back().validation.loss;
    MESSAGE(name, ": validation loss ", after, "; of guessing ", guessing);
    CHECK(after < 0.97 * guessing);
  }
}
