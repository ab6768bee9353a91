// From the options of a program, or from a trained model, to those of io/.
#pragma once

#include "io/dataset.h"
#include "io/loader.h"
#include "train/classifier.h"
#include "train/options.h"

namespace engine {

Sampling sampling_named(const std::string& name);

SplitOptions split_options(const TrainOptions& options);
// The options must be resolved.
Preprocessing preprocessing(const TrainOptions& options);
// How videos are read, for a model and in its training.
SourceOptions source_options(const Preprocessing& preprocessing);
// How clips are read when a model is applied: nothing is drawn.
ClipOptions clip_options(const Preprocessing& preprocessing);
// In order, each clip once or, where it cannot be decoded, not at all; `clips` x `crops` views of each.
LoaderOptions evaluation_loader(const Preprocessing& preprocessing, int64_t workers, int64_t clips = 1,
                                TestCrops crops = TestCrops::centre);
// Throws Error (kUsage) for options that make no sense with options.head.
void check_head(const TrainOptions& options);
// Throws Error (kUsage) for settings of the training that contradict each other.
void check_recipe(const TrainOptions& options);
// The label of a mirrored clip in place of each label, by options.flip_swap; empty where that is. Throws Error (kUsage)
// when it does not name two of the classes, or without options.flip.
std::vector<int64_t> mirrored_labels(const TrainOptions& options, const std::vector<std::string>& classes);
// `classes` are those of the data. Throws as mirrored_labels().
LoaderOptions training_loader(const TrainOptions& options, const std::vector<std::string>& classes);

// Weights for the loss, (classes) f32. classification: every class counts the same: samples / (classes x samples of the
// class); classes without samples get 0; the mean over the samples is 1. multilabel: of the samples that have a label,
// so that they count as much as those that do not: samples without / samples with; 1 where either is 0.
// mirrored_labels(): half of the samples count as what they are when mirrored.
Tensor balanced_class_weights(const Dataset& dataset, const std::vector<int64_t>& mirrored_labels = {});

// The index that lies where that of `data` does, a folder, a list or a video in a folder; none where there is none that
// can be used.
std::shared_ptr<const VideoIndex> present_index(const std::string& data);
// Through `index`, but that one which is out of date, or says that the video cannot be used, is not believed.
std::unique_ptr<FrameSource> open_present(const std::string& path, const VideoIndex* index,
                                          const SourceOptions& options = {});

// The size of the pictures of the first clip that can be opened; 0 x 0 when none can.
FrameSize picture_size(const Dataset& dataset, const VideoIndex* index = nullptr);

}  // namespace engine
