// What a run writes down as it goes: metrics.jsonl, event files for TensorBoard, environment.json and command.txt.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "io/event_file.h"
#include "train/film_strip.h"
#include "train/report.h"
#include "train/trainer.h"

namespace engine {

struct Roofline;  // train/roofline.h

inline constexpr const char* kMetricsFile = "metrics.jsonl";
inline constexpr const char* kPictures = "pictures";  // a folder
inline constexpr const char* kTrainingClipsFile = "pictures/training.json";

// What the first line says of a run.
struct RunFacts {
  const ModelFile* model = nullptr;
  std::string data, split;               // where the clips are, and Splits::how
  int64_t train = 0, val = 0, test = 0;  // clips
  int64_t parameters = 0;
  int64_t epochs = 0, steps_per_epoch = 0, batch = 0;
  std::string device;  // and what it computes in
  int64_t threads = 0;
};

// metrics.jsonl holds one object a line, of these kinds:
//   start       the facts
//   step        epoch, step, loss, learning_rate, skipped: every step up to 1,000, every 10th up to 10,000, then every
//               100th
//   epoch       as epoch_json() (train/report.h) has it, with the last step
//   eval        metrics_json() of the validation clips, with epoch and step, of every epoch that was the best so far;
//               without `confusion` for more than 100 classes
//   checkpoint  step and file
//   warning     text
//   profile     to_json() of train/roofline.h
//   test        metrics_json() of the test clips, with the epoch of the model
//   end         state: done, stopped or failed, and why
// A number that is not finite is null, and the line has "nan": true. Every line has `t`, the seconds that the run has
// taken so far. Two runs with the same command have the same lines, but for what tells times: `t`, `time`, and names
// that end in `seconds` or `per_second`; and for checkpoints and warnings that come by the clock.
//
// The event files say the same to TensorBoard, with histograms of the parameters after every epoch, and pictures.
//
// What cannot be written never ends a run: it is told on stderr once, and what comes after is tried again.
class RunLog {
 public:
  // How far a run is that goes on, as the checkpoint says that it goes on from. Lines about what came after that are
  // taken out of metrics.jsonl, so that what follows makes the file that an undisturbed run has.
  struct Reached {
    int64_t steps = 0, epochs = 0;
  };
  // In a folder that is there. A new run takes away what an earlier one logged.
  explicit RunLog(std::string folder, const std::optional<Reached>& reached = {});
  ~RunLog();  // a run without a step leaves nothing
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  void start(const RunFacts& facts);
  void step(const StepReport& report);
  // `parameters`: their values, on any device.
  void epoch(const EpochReport& report, const LoaderStats& loading, int64_t step,
             const std::vector<NamedTensor>& parameters, const std::vector<std::string>& names);
  // Pictures of the first clips of a training batch, training-1.png, ..., and training.json: [{"label","picture"}].
  void clips(const Batch& batch, const Dataset& dataset);
  void checkpoint(int64_t step, const std::string& file);
  void warning(int64_t step, int64_t epoch, const std::string& text);
  void profile(const Roofline& roofline);
  void test(const ViewsEvaluation& evaluation, const Views& views, int64_t epoch, int64_t step,
            const std::vector<std::string>& names);
  // The last line, and the report.
  void end(const std::string& state, const std::string& why = "");
  // Makes report.html anew (train/html_report.h), unless that would take more than a twentieth of the time.
  void report();

  // A picture in the folder `pictures`, and in the event file under `tag`, where one is given.
  void picture(const std::string& file, const RgbImage& picture, int64_t step, const std::string& tag = "");
  // A file of the run's folder, whole.
  void file(const std::string& name, const std::string& text);

  const std::string& folder() const { return folder_; }

 private:
  void line(const std::string& text);
  void confusion_of(const std::string& part, const Evaluation& evaluation, const std::vector<std::string>& names,
                    int64_t step);
  double seconds() const;
  template <class Work>
  void try_to(const Work& work);

  std::string folder_;
  std::string kept_;   // lines of the run that goes on
  double before_ = 0;  // seconds that it had taken
  int64_t bytes_ = 0;  // of the lines that are whole
  int64_t steps_ = 0;
  int64_t checkpoint_ = 0;                    // the step of the last one that a line tells of
  double report_seconds_ = 0, reported_ = 0;  // what the last report took, and when it was done
  bool told_ = false;
  std::optional<EventFile> events_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace engine
