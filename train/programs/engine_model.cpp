// engine_model: tells about models, and converts their weights.
#include <CLI/CLI.hpp>

#include "train/cli.h"
#include "train/model_card.h"
#include "train/options.h"
#include "train/output.h"
#include "train/weights.h"

namespace engine {
namespace {

int body(int argc, char** argv) {
  CLI::App app("Tells about models, and converts their weights.", "engine_model");
  app.footer(
      "Examples:\n"
      "  engine_model list                                            every model, with its parameters\n"
      "  engine_model inspect r3d_18 --outputs 400                    layers, parameters, computation, memory\n"
      "  engine_model inspect best.safetensors --json                 of a trained model\n"
      "  engine_model inspect my.toml --frames 8 --image-size 64      of a described one (docs/models.md)\n"
      "  engine_model convert torch.safetensors out.safetensors --model resnet18\n"
      "  engine_model convert best.safetensors torch.safetensors      for PyTorch's load_state_dict()");
  app.require_subcommand(1);

  bool json = false;
  CLI::App* list = app.add_subcommand("list", "Every model: its parameters at 10 outputs, and what it is");
  list->add_flag("--json", json, "One JSON object a line");

  InspectOptions inspect;
  std::string image_size;
  CLI::App* inspect_command = app.add_subcommand("inspect", "A model's layers, parameters, computation and memory");
  inspect_command->footer("Examples:\n  engine_model inspect sora-fusion --size tiny --frames 12 --image-size 64");
  inspect_command->add_option("MODEL", inspect.model, "A name, a checkpoint (.safetensors) or a description (.toml)")
      ->required();
  inspect_command->add_option("--size", inspect.size, "Of sora-serial and sora-fusion: tiny, small or base")
      ->check(CLI::IsMember({"tiny", "small", "base"}));
  inspect_command->add_option("--backbone", inspect.backbone, "What those see single frames with");
  const CLI::Range count(int64_t{1}, int64_t{4096});
  inspect_command->add_option("--frames", inspect.frames, "Of a clip (default: what the model is made for)")
      ->type_name("N")
      ->check(count);
  inspect_command->add_option("--image-size", image_size, "Pixels; one number: both sides")->type_name("WIDTHxHEIGHT");
  inspect_command->add_option("--channels", inspect.channels, "Of a frame (default 3)")->type_name("N")->check(count);
  inspect_command->add_option("--outputs", inspect.outputs, "Of the head (default 10)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  inspect_command->add_flag("--json", inspect.json, "One JSON object");

  ConvertOptions convert;
  CLI::App* convert_command = app.add_subcommand("convert", "Weights between this engine and PyTorch, exactly");
  convert_command->footer(
      "Examples:\n"
      "  engine_model convert torch.safetensors out.safetensors --model resnet18 --classes names.txt\n"
      "  engine_model convert best.safetensors torch.safetensors");
  convert_command->add_option("IN", convert.in, "A safetensors file")->required();
  convert_command->add_option("OUT", convert.out, "The file to write")->required();
  convert_command->add_option("--to", convert.to, "torch or engine (default: the other one than IN is)")
      ->check(CLI::IsMember({"torch", "engine"}));
  convert_command->add_option("--model", convert.model, "To engine: whose weights IN has; a name or a .toml");
  convert_command->add_option("--size", convert.size, "To engine: the size of sora-serial and sora-fusion");
  convert_command->add_option("--backbone", convert.backbone, "To engine: what those see single frames with");
  convert_command->add_option("--classes", convert.classes,
                              "To engine: a file with the names of the outputs, one a line (default: their numbers)");
  convert_command->add_flag("--force", convert.force, "Replace OUT where it is there already");

  if (!parse_command_line(app, argc, argv)) return exit_code::kOk;
  if (*list) {
    print_out(json ? models_json() : models_text());
  } else if (*inspect_command) {
    if (!image_size.empty()) {
      inspect.image_size = parse_frame_size(image_size);
      if (!inspect.image_size)
        throw Error(concat("--image-size must be one number, or WIDTHxHEIGHT such as 320x240, 8 to 4096, not '",
                           image_size, "'"),
                    exit_code::kUsage);
    }
    print_out(inspect_model(inspect));
  } else {
    print_out(convert_weights(convert));
  }
  return exit_code::kOk;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) { return engine::run_program("engine_model", argc, argv, engine::body); }
