#include "train/profile_videos.h"

#include "io/atomic_file.h"
#include "train/output.h"
#include "train/roofline.h"

namespace engine {

int profile_videos(Evaluator& evaluator, VideoFiles& files, int64_t steps, bool json, const std::string& trace) {
  const Device device = evaluator.classifier().device();
  const Preprocessing& preprocessing = evaluator.classifier().description().preprocessing;
  ProfileWindow window(device, steps);
  for (bool any = true; any && !window.done();) {
    any = false;
    files.for_each([&](const std::string& file, const VideoIndex* index) {
      if (window.done()) return;
      evaluator(waiting_for_clips([&] { return clip_of(preprocessing, file, index); }));
      window.step();
      any = true;
    });
  }
  const Roofline found = roofline(window.result(), measure_ceilings(device, evaluator.classifier().compute()));
  print_out(json ? to_json(found).dump() + "\n" : to_text(found));
  if (!trace.empty()) write_file_atomically(trace, chrome_trace(window.result()));
  return files.code();
}

}  // namespace engine
