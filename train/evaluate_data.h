// engine_predict eval: how good a model is on labelled videos.
#pragma once

#include "train/predict.h"

namespace engine {

struct EvaluateOptions {
  ModelChoice model;
  std::string data, split;  // split: train, val, test; empty: test, or val where there is no test part
  double val_fraction = 0.2;
  int split_number = 0;  // of data sets that come with several
  int64_t workers = 1;
  int64_t clips = 1;
  TestCrops crops = TestCrops::centre;
  bool json = false;
  std::string scores, confusion;  // files to write; empty: none
  std::string from_scores;        // a file that took the place of model and data; empty: none
};

// Prints the loss, the figures of the model's head (train/metrics.h), those of its classes, targets or labels, and, of
// classes, the worst ones and the confusion matrix on stdout; of more than one view of each video those of the views'
// means, and the figures of single views. From a file of scores the same to the digit. Writes the scores
// (train/scores.h) and the confusion matrix (train/confusion.h) where wanted. Throws Error: kCheckpoint when the names
// of the data are not those of the model; kUsage for options that do not go together; kStorage.
int evaluate_data(const EvaluateOptions& options);

Subcommand declare_eval(CLI::App& program);

}  // namespace engine
