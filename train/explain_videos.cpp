#include "train/explain_videos.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/image_writer.h"
#include "io/text.h"
#include "train/explain.h"
#include "train/head.h"
#include "train/heat_strip.h"
#include "train/output.h"
#include "train/predict_options.h"

namespace engine {
namespace {

constexpr const char* kExamples = R"(Examples:
  engine_predict explain best.safetensors new.mp4 --out heat            which places speak for what is seen
  engine_predict explain best.safetensors videos --class dog --out heat
  engine_predict explain best.safetensors new.mp4 --method attention    of sora-serial and sora-fusion)";

std::optional<int64_t> named_output(const ExplainOptions& options, const Classifier& classifier) {
  if (options.output.empty()) return std::nullopt;
  const std::vector<std::string>& names = classifier.classes();
  const auto found = std::ranges::find(names, options.output);
  if (found != names.end()) return found - names.begin();
  throw Error(concat("--class ", escaped(options.output), ": the model knows no such ",
                     output_word(classifier.description().head), did_you_mean(options.output, names)),
              exit_code::kUsage);
}

// Letters, digits, points, - and _; whatever else is _.
std::string file_word(std::string text) {
  const auto is_plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.'; };
  std::ranges::replace_if(
      text, [&](char c) { return !is_plain(c); }, '_');
  return text;
}

}  // namespace

int explain_files(const ExplainOptions& options) {
  Classifier classifier = open_model(options.model);
  const ModelFile& model = classifier.description();
  const std::optional<int64_t> chosen = named_output(options, classifier);
  const bool by_attention = options.method == "attention";
  if (by_attention && !has_attention(classifier))
    throw Error(concat("--method attention is for sora-serial and sora-fusion, and ", options.model.path, " is ",
                       model.model, "; leave it out"),
                exit_code::kUsage);
  VideoFiles files(options.paths);
  make_folder(options.out);
  Evaluator evaluator(classifier);
  std::vector<std::string> taken;
  files.for_each([&](const std::string& file, const VideoIndex* index) {
    const Tensor clip = clip_of(model.preprocessing, file, index);
    const std::vector<double> values = predictions(model, evaluator(clip).values<float>());
    const auto best = model.head == Head::regression ? 0 : static_cast<int64_t>(top_classes(values, 1).front());
    const int64_t output = chosen.value_or(best);
    const Explanation explanation = by_attention ? attention_map(classifier, clip) : grad_cam(classifier, clip, output);

    const std::string& name = classifier.classes()[static_cast<size_t>(output)];
    const double value = values[static_cast<size_t>(output)];
    const std::string title =
        fmt::format("{}   {} {}   {}", escaped(file), escaped(name),
                    model.head == Head::regression ? fmt::format("{:.6g}", value) : fmt::format("{:.4f}", value),
                    explanation.method);
    const Tensor frames = clip.flatten(0, 1);
    const int64_t shown = model.preprocessing.frames, read = frames.size(0);  // of differences the later frames
    const RgbImage strip = heat_strip(title, frames.slice(read - shown, read), explanation.heat);
    const std::string path = file_beside(options.out, file, concat("-", file_word(name), ".png"), taken);
    write_image(path, strip.rgb, strip.size);
    print_out(path + "\n");
  });
  return files.code();
}

Subcommand declare_explain(CLI::App& program) {
  CLI::App* command = program.add_subcommand("explain", "Draws where in videos the model looks");
  command->footer(kExamples);
  const auto options = std::make_shared<ExplainOptions>();
  declare_model(*command, options->model);
  declare_videos(*command, options->paths);
  command
      ->add_option("--class", options->output,
                   "What to explain: a class, target or label (default: the most probable; the first target)")
      ->type_name("NAME");
  command
      ->add_option("--method", options->method,
                   "grad-cam (the default): what speaks for the class; attention: what the encoder sees")
      ->type_name("NAME")
      ->check(CLI::IsMember({"grad-cam", "attention"}));
  command->add_option("-o,--out", options->out, "Folder for the pictures (default: this one)")->type_name("FOLDER");
  return {command, [options] { return explain_files(*options); }};
}

}  // namespace engine
