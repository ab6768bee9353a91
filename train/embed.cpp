#include "train/embed.h"

#include <nlohmann/json.hpp>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "io/text.h"
#include "train/npy.h"
#include "train/output.h"
#include "train/predict_options.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_predict embed best.safetensors videos -o vectors.npy > names.txt
  engine_predict embed best.safetensors list.txt -o vectors.safetensors)";

using nlohmann::json;

std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string encode(const EmbedOptions& options, const std::vector<std::string>& names, const Tensor& features,
                   const std::string& model) {
  if (options.out.ends_with(".npy")) return encode_npy(features);
  if (options.out.ends_with(".safetensors"))
    return encode_safetensors({{{"files", dumped(names)}, {"model", model}}, {{"features", features}}});
  std::string lines;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const Tensor vector = features.slice(row, row + 1);
    lines += dumped(nlohmann::ordered_json{{"file", names[i]}, {"features", vector.values<float>()}}) + "\n";
  }
  return lines;
}

}  // namespace

Tensor embedding(Classifier& classifier, const Tensor& clip) {
  const NoGrad no_grad;
  return cast(classifier.features(clip.to(classifier.device())).to(kCpu), DType::f32);
}

int embed_files(const EmbedOptions& options) {
  if (!options.out.ends_with(".npy") && !options.out.ends_with(".safetensors") && !options.out.ends_with(".jsonl"))
    throw Error(concat("--out ", escaped(options.out), ": the vectors go into a .npy, .safetensors or .jsonl file"),
                exit_code::kUsage);
  Classifier classifier = open_model(options.model);
  VideoFiles files(options.paths);
  std::vector<std::string> names;
  std::vector<Tensor> rows;
  files.for_each([&](const std::string& file, const VideoIndex* index) {
    rows.push_back(embedding(classifier, clip_of(classifier.description().preprocessing, file, index)));
    names.push_back(file);
  });
  if (rows.empty()) return files.code();
  write_file_atomically(options.out, encode(options, names, concat(rows, 0), classifier.description().model));
  std::string lines;
  for (const std::string& name : names) lines += name + "\n";
  print_out(lines);
  return files.code();
}

Subcommand declare_embed(CLI::App& program) {
  CLI::App* command = program.add_subcommand("embed", "Writes the vector that the head sees of every video");
  command->footer(kExamples);
  const auto options = std::make_shared<EmbedOptions>();
  declare_model(*command, options->model);
  declare_videos(*command, options->paths);
  command->add_option("-o,--out", options->out, "Where to: FILE.npy, .safetensors or .jsonl")
      ->type_name("FILE")
      ->required();
  return {command, [options] { return embed_files(*options); }};
}

}  // namespace engine
