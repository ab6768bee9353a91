// The report of a run: one page that people look at.
#pragma once

#include <string>

namespace engine {

inline constexpr const char* kReportFile = "report.html";

// RUN/report.html from what is in the run's folder alone (train/run_log.h, train/mistakes.h): figures, curves,
// confusion matrix, classes, the worst mistakes as filmstrips, the model, settings and environment. A single file
// without scripts that needs nothing else and no network, of less than 5 MB; also well-formed XML, but for its doctype.
// The same folder gives the same bytes. Throws Error: kNoInput when the folder has no metrics.jsonl, kData when that is
// of no run.
std::string html_report(const std::string& folder);

// Puts it there, and confusion.csv beside it where there is a confusion matrix. Returns its path. Throws also kStorage.
std::string write_report(const std::string& folder);

}  // namespace engine
