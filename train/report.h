// What a training run tells: lines for people, rows and objects for programs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "train/evaluate.h"
#include "train/trainer.h"

namespace engine {

// "Epoch 3/5 train loss 0.412 val loss 0.388 Accuracy: 0.941 mean class recall 0.940 time 12.3 s", with the figures of
// the head (train/metrics.h). Without validation clips those that need them are "-".
std::string epoch_line(const EpochReport& report, int64_t epochs);
// One JSON object: {"kind":"epoch","epoch":3,"train_loss":...}; what is not a number is null. `loading`: of the
// training clips, as {"loader":{"wait_seconds":...,"blocked_seconds":...,"opening":...}} with the seconds of all
// workers.
std::string epoch_json(const EpochReport& report, const LoaderStats& loading = {});
// "Test accuracy: 0.950 (mean class recall 0.948)".
std::string test_line(const Evaluation& evaluation);
// {"kind":<kind>,"clips":...,"loss":...,"accuracy":...,"mean_class_recall":...,"classes":[...],"confusion":[[...]]};
// other heads have their own figures, and "targets" or "labels" in place of "classes".
std::string metrics_json(const std::string& kind, const Evaluation& evaluation, const std::vector<std::string>& names);

// How videos were seen in a test.
struct Views {
  int64_t clips = 1;
  TestCrops crops = TestCrops::centre;
  int64_t count() const { return clips * count_of(crops); }
};
// "6 views of each: 2 clips x 3 crops".
std::string to_text(const Views& views);
// "Single views: 60, loss 0.4120, accuracy 0.850, mean class recall 0.848".
std::string single_views_line(const Evaluation& views);
// metrics_json() of the videos; of more than one view with "views": {"clips":2,"crops":3,"count":60,"loss":...} and the
// figures of single views.
std::string metrics_json(const std::string& kind, const ViewsEvaluation& evaluation, const Views& views,
                         const std::vector<std::string>& names);

// metrics.csv: a header and one row per epoch, with the figures of the head.
std::string metrics_csv(const std::vector<EpochReport>& epochs);
// Curves of training loss and validation accuracy; empty for fewer than two epochs.
std::string training_curves(const std::vector<EpochReport>& epochs, bool unicode);

// "loader  2 workers, 4 batches ahead, at most 110 MiB (batches 5 x 14 MiB, decoders 2 x 20 MiB)", numbers rounded up.
std::string to_text(const LoaderMemory& memory);
// Where more than a fifth of an epoch of `seconds` was waiting for clips: one line that says how much, what the workers
// did with their time, most of it first, and what helps against that. Else empty.
std::string waiting_warning(const LoaderStats& stats, double seconds, int64_t workers, int64_t cores);

// The clips of a run that could not be read and had their places taken by others of their class.
class ReplacedClips {
 public:
  // Those of an epoch: a line for each that was not told before.
  std::string tell(const LoaderStats& stats, const Dataset& dataset);
  // How many there were, and their names, the first 20; empty when there were none.
  std::string summary(const Dataset& dataset) const;

 private:
  std::map<int64_t, std::string> why_;  // by sample
  int64_t times_ = 0;
};
// One line that counts the clips that could not be read and are not in the figures, and names the first; empty when
// there are none.
std::string left_out_clips(const LoaderStats& stats, const Dataset& dataset);

}  // namespace engine
