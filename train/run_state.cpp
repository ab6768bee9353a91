#include "train/run_state.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/crc32c.h"
#include "io/text.h"

namespace engine {
namespace {

using nlohmann::json;

// JSON has no word for what is not finite.
json to_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double number_of(const json& value) {
  if (value.is_number()) return value.get<double>();
  const auto text = value.get<std::string>();
  if (text == "nan") return NAN;
  if (text == "inf") return INFINITY;
  if (text == "-inf") return -INFINITY;
  throw json::type_error::create(302, "not a number", &value);
}

int64_t count_of(const json& value) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0)
    throw json::type_error::create(302, "not a count", &value);
  return value.get<int64_t>();
}

json to_json(const EpochReport& report) {
  json figures = json::array();
  for (const Figure& figure : report.validation.figures) figures.push_back(to_json(figure.value));
  return {{"epoch", report.epoch},
          {"train_loss", to_json(report.train_loss)},
          {"seconds", to_json(report.seconds)},
          {"clips_per_second", to_json(report.clips_per_second)},
          {"best", report.best},
          {"clips", report.validation.samples},
          {"loss", to_json(report.validation.loss)},
          {"figures", figures}};
}

// `nothing`: an evaluation of the same head, for the names of its figures.
EpochReport report_of(const json& fields, const Evaluation& nothing) {
  EpochReport report{.epoch = count_of(fields.at("epoch")),
                     .train_loss = number_of(fields.at("train_loss")),
                     .seconds = number_of(fields.at("seconds")),
                     .clips_per_second = number_of(fields.at("clips_per_second")),
                     .validation = nothing,
                     .best = fields.at("best")};
  report.validation.samples = count_of(fields.at("clips"));
  report.validation.loss = number_of(fields.at("loss"));
  const json& figures = fields.at("figures");
  std::vector<Figure>& named = report.validation.figures;
  if (!figures.is_array() || figures.size() != named.size())
    throw json::type_error::create(302, "other figures", &figures);
  for (size_t i = 0; i < named.size(); ++i) named[i].value = number_of(figures[i]);
  return report;
}

json training_json(const RunState& state) {
  json epochs = json::array();
  for (const EpochReport& report : state.fit.epochs) epochs.push_back(to_json(report));
  return {{"steps", state.trainer.steps},
          {"skipped", state.trainer.skipped},
          {"skipped_in_a_row", state.trainer.skipped_in_a_row},
          {"schedule_steps", state.schedule_steps},
          {"batches", state.fit.batches},
          {"loss_sum", to_json(state.fit.loss_sum)},
          {"learned", state.fit.learned},
          {"seen", state.fit.seen},
          {"best_epoch", state.fit.best_epoch},
          {"epochs", epochs}};
}

void read_training(const json& fields, RunState& state) {
  state.trainer.steps = count_of(fields.at("steps"));
  state.trainer.skipped = count_of(fields.at("skipped"));
  state.trainer.skipped_in_a_row = count_of(fields.at("skipped_in_a_row"));
  state.schedule_steps = count_of(fields.at("schedule_steps"));
  state.fit.batches = count_of(fields.at("batches"));
  state.fit.loss_sum = number_of(fields.at("loss_sum"));
  state.fit.learned = count_of(fields.at("learned"));
  state.fit.seen = count_of(fields.at("seen"));
  state.fit.best_epoch = count_of(fields.at("best_epoch"));
  const Evaluation nothing = make_metrics(state.model)->result();
  for (const json& report : fields.at("epochs")) state.fit.epochs.push_back(report_of(report, nothing));
  const auto finished = std::ssize(state.fit.epochs);
  if (state.fit.best_epoch > finished || (finished > 0 && state.fit.best_epoch == 0))
    throw json::type_error::create(302, "no such best epoch", &fields);
}

int64_t non_finite_values(const Tensor& tensor) {
  if (tensor.dtype() != DType::f32) return 0;
  return std::ranges::count_if(tensor.values<float>(), [](float value) { return !std::isfinite(value); });
}

}  // namespace

TensorFile to_tensor_file(const RunState& state) {
  TensorFile file = to_tensor_file(state.model);
  file.tensors.insert(file.tensors.end(), state.trainer.moments.begin(), state.trainer.moments.end());
  file.metadata["training"] = training_json(state).dump();
  file.metadata["config"] = state.config;
  file.metadata["data"] = state.data;
  if (!state.plans.empty()) file.metadata["plans"] = state.plans;
  return file;
}

RunState to_run_state(const TensorFile& file, const std::string& where) {
  const auto refuse = [&](const std::string& why) { throw Error(concat(where, ": ", why), exit_code::kCheckpoint); };
  RunState state;
  state.model = to_model_file(file, where);
  for (const NamedTensor& each : file.tensors) {
    if (is_of_training(each)) state.trainer.moments.push_back(each);
    if (const int64_t count = non_finite_values(each.tensor); count > 0)
      refuse(concat("tensor '", each.name, "' has ", count, " non-finite values"));
  }
  for (const auto& [key, text] : {std::pair{"config", &state.config}, std::pair{"data", &state.data}}) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) refuse(concat("metadata has no '", key, "'; a model, but no run to go on with"));
    *text = found->second;
  }
  if (const auto plans = file.metadata.find("plans"); plans != file.metadata.end()) state.plans = plans->second;
  const auto training = file.metadata.find("training");
  if (training == file.metadata.end()) refuse("metadata has no 'training'; a model, but no run to go on with");
  try {
    read_training(json::parse(training->second), state);
  } catch (const json::exception&) {
    constexpr size_t kShown = 80;
    refuse(concat("metadata 'training' is '", escaped(training->second, kShown), "'"));
  }
  return state;
}

std::string fingerprint(const Splits& splits) {
  uint32_t crc = 0;
  for (const Dataset* part : {&splits.train, &splits.val}) {
    for (const Sample& sample : part->samples) {
      std::string line = concat(sample.name, '\0', sample.label, '\0', sample.begin, '\0', sample.end);
      for (const double target : sample.targets) line += concat('\0', target);
      crc = crc32c(line + '\n', crc);
    }
    crc = crc32c("\n", crc);
  }
  return concat(splits.train.samples.size(), " ", splits.val.samples.size(), " ", crc);
}

}  // namespace engine
