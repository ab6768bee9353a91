// Internal to train/: the parts of the report. Each is empty where the run has nothing to show.
#pragma once

#include <string>
#include <vector>

#include "train/head.h"
#include "train/metrics.h"
#include "train/run_record.h"

namespace engine {

// What is shown, and in which terms.
struct ReportView {
  const RunRecord& run;
  Head head = Head::classification;
  std::vector<std::string> outputs;  // names of classes, targets or labels
  Evaluation terms;                  // no samples: the names of the figures of this head
  // Of the judged part: its figures of every output, under the names of the outputs.
  const RunRecord::Json& rows() const { return in(run.judged, output_word(head, true)); }
  const Figure& score() const { return terms.figures.front(); }
  RunRecord::Json best_epoch() const;  // the line of the last epoch that was the best; null where there is none
};
ReportView view_of(const RunRecord& run);

// A value of this figure as text.
std::string shown(const Figure& figure, double value);

std::string header_section(const ReportView& view);
std::string curves_section(const ReportView& view);
std::string confusion_section(const ReportView& view);  // and the table of classes, targets or labels
std::string mistakes_section(const ReportView& view);
std::string training_clips_section(const ReportView& view);
std::string profile_section(const ReportView& view);
std::string model_section(const ReportView& view);
std::string settings_section(const ReportView& view);
std::string environment_section(const ReportView& view);
std::string notes_section(const ReportView& view);

// confusion.csv: a header and a row per class, with the label in the first column (RFC 4180); empty without a matrix.
std::string confusion_csv(const ReportView& view);

}  // namespace engine
