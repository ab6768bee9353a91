#include "train/html_report.h"

#include <fmt/format.h>

#include "io/atomic_file.h"
#include "train/html_sections.h"
#include "train/html_style.h"
#include "train/html_text.h"

namespace engine {
namespace {

struct Section {
  const char *id, *title;
  std::string body;
};

std::string page(const RunRecord& run) {
  const ReportView view = view_of(run);
  const std::vector<Section> sections = {
      {"curves", "Training", curves_section(view)},
      {"outputs",
       view.head == Head::classification ? "Classes"
       : view.head == Head::regression   ? "Targets"
                                         : "Labels",
       confusion_section(view)},
      {"mistakes", view.head == Head::regression ? "Largest errors" : "Worst mistakes", mistakes_section(view)},
      {"clips", "What it learned from", training_clips_section(view)},
      {"profile", "Where the time goes", profile_section(view)},
      {"model", "Model card", model_section(view)},
      {"settings", "Settings", settings_section(view)},
      {"environment", "Environment", environment_section(view)},
      {"notes", "Warnings", notes_section(view)},
  };
  std::string links, body;
  for (const Section& each : sections) {
    if (each.body.empty()) continue;
    links += fmt::format("<a href=\"#{}\">{}</a>", each.id, each.title);
    body += fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", each.id, each.title, each.body);
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>{} \u00b7 engine</title>\n"
      "<style>{}</style></head>\n<body><main>\n{}<nav>{}</nav>\n{}"
      "<footer>Made by engine {} from the files of this run alone; <code>engine_predict report</code> makes it "
      "again.</footer>"
      "\n</main></body></html>\n",
      html_escaped(run.name), kReportStyle, header_section(view), links, body,
      html_escaped(text_in(run.environment, "engine")));
}

}  // namespace

std::string html_report(const std::string& folder) { return page(read_run(folder)); }

std::string write_report(const std::string& folder) {
  const RunRecord run = read_run(folder);
  const std::string path = folder + "/" + kReportFile, csv = confusion_csv(view_of(run));
  if (!csv.empty()) write_file_atomically(folder + "/confusion.csv", csv);
  write_file_atomically(path, page(run));
  return path;
}

}  // namespace engine
