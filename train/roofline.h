// Where the time of a profile went, layer by layer and op by op, against what the machine can do at most.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "train/ceilings.h"
#include "train/step_profile.h"

namespace engine {

// What a layer's op did in a step: means over the steps, seconds on the device.
struct RooflineRow {
  std::string layer, op;  // layer: its path in the network; "" outside of it
  double calls = 0;       // of both passes
  double forward = 0, backward = 0;
  double host = 0;  // on the host, to queue it
  double flop = 0, bytes = 0;
  double floor = 0;  // the least that it can take: for each pass, the largest of the three below
  // By the products' ceiling, by the copy's, and by what calls cost.
  double by_products = 0, by_memory = 0, by_calls = 0;

  double seconds() const { return forward + backward; }
  double of_ceiling() const { return seconds() > 0 ? floor / seconds() : 0; }
  // "products", "memory" or "calls": the largest of the three.
  const char* bound() const;
};

// All of it is of a mean step.
struct Roofline {
  std::string device;
  Ceilings ceilings;
  int64_t steps = 0;
  double step = 0, unprofiled = 0;  // seconds, with the profile and before it (0: not known)
  double waiting = 0;               // for clips
  double between = 0;               // between ops: nothing of the above
  std::vector<RooflineRow> rows;    // by time, longest first; without waiting
  double ops = 0;                   // calls
  double host = 0;                  // seconds on the host in ops
};

Roofline roofline(const StepProfile& profile, const Ceilings& ceilings);

// At most three sentences, the largest gain first: what takes how much time that it need not take.
std::vector<std::string> worth_fixing(const Roofline& roofline);

// The table as text; at most so many rows, and what the others are together.
std::string to_text(const Roofline& roofline, size_t most_rows = 30);
nlohmann::ordered_json to_json(const Roofline& roofline);

inline constexpr const char* kTraceFile = "trace.json";  // in a run's folder
// A trace in Chrome's format, for Perfetto (ui.perfetto.dev) and chrome://tracing.
std::string chrome_trace(const StepProfile& profile);

}  // namespace engine
