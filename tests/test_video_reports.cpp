// What the programs say of the twenty-five kinds of bad inputs (tests/bad_inputs.h).
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/bad_inputs.h"
#include "tests/program_run.h"

using namespace engine;
using namespace engine::fixtures;
using program_run::engine_data;
using program_run::Outcome;

namespace {

const BadInputs& inputs() {
  static const BadInputs made;
  return made;
}

// A list of all rows, each on its line.
std::string list_of_all() {
  std::string lines;
  for (const BadInput& row : inputs().rows()) lines += "\"" + row.name + "\" 0\n";
  write_file(inputs().path("list.txt"), lines);
  return inputs().path("list.txt");
}

size_t times_in(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("check: the class of every bad input, its line in the list, and what is odd") {
  if (!have_ffmpeg()) return;
  alarm(120);
  const TemporaryFolder scratch;
  const std::string list = list_of_all();
  const Outcome outcome = engine_data(scratch, {"check", list, "--deep", "--json", "--frames", "4", "--size", "16"});
  REQUIRE_MESSAGE(outcome.code == exit_code::kData, outcome.err);
  const auto report = nlohmann::json::parse(outcome.out);
  std::map<std::string, std::string> found, why;
  for (const auto& each : report.at("problems")) {
    std::string& kinds = found[each.at("where")];
    kinds += (kinds.empty() ? "" : ", ") + each.at("kind").get<std::string>();
    why[each.at("where")] += each.at("why").get<std::string>();
  }
  size_t line = 0;
  for (const BadInput& row : inputs().rows()) {
    const std::string where = concat(list, ":", ++line, ": ", row.name);
    CHECK_MESSAGE(found[where] == row.kind, where, ": ", found[where], ": ", why[where]);
    if (!row.error.empty()) CHECK(why[where] == row.error);
  }
  CHECK(found.size() == inputs().rows().size());
  const auto said = [&](const std::string& name) {
    const auto row = std::ranges::find(inputs().rows(), name, &BadInput::name);
    return why[concat(list, ":", row - inputs().rows().begin() + 1, ": ", name)];
  };
  MESSAGE(said("cut.mp4"), " | ", said("hole.mp4"), " | ", said("no_first_key.mp4"), " | ", said("flips.mp4"), " | ",
          said("late_key.ts"));
  CHECK(said("cut.mp4") == "only 36 of 60 frames are there");
  CHECK(said("hole.mp4").starts_with("around 1."));
  CHECK(said("no_first_key.mp4")
            .starts_with("starts without a key frame: the first 0.48 s cannot be decodedaround 0.0 s: "));
  CHECK(said("late_key.ts").starts_with("starts without a key frame: the first "));
  const auto& oddities = report.at("oddities");
  CHECK(oddities.at("of variable frame rate (frames are taken by number)") == (inputs().has_packed() ? 3 : 2));
  CHECK(oddities.at("rotated or mirrored by metadata (shown upright)") == 4);
  CHECK(oddities.at("interlaced (used as they are)") == 1);
  CHECK(oddities.at("with pixels that are not square (taken as square)") == 1);
  CHECK(oddities.at("with transparency (ignored)") == 4);
  CHECK(oddities.at("in a pixel format that is made RGB first (slower)") == 1);
  CHECK(oddities.at("with pictures of several sizes (scaled to the same)") == 1);
  CHECK(oddities.at("without usable time stamps (slow to open)") == (inputs().has_packed() ? 3 : 2));
  const auto& first = report.at("first_oddities");
  CHECK(first.at("in a pixel format that is made RGB first (slower)") == "palette.mkv (pal8)");
  CHECK(first.at("of variable frame rate (frames are taken by number)") == "varied.mp4 (12.5 to 25 a second)");
  const auto& colours = report.at("counts").at("colour");
  CHECK(colours.at("bt601 limited") == 2);  // VP8 is
  CHECK(colours.at("bt709 limited") == 1);
  CHECK(colours.at("bt709 full") == 1);

  const Outcome text = engine_data(scratch, {"check", list, "--frames", "4", "--size", "16"});
  CHECK(text.code == exit_code::kData);
  CHECK(text.err.empty());
  CHECK(contains(text.out, "missing     " + list + ":1: gone.mp4: no such file; put it there, or take its line out"));
  CHECK(contains(text.out, "note        1 video in a pixel format that is made RGB first (slower); the first: "));
  alarm(0);
}

TEST_CASE("engine_train goes on without the clips that are bad, and says which and why") {
  if (!have_ffmpeg()) return;
  alarm(120);
  const TemporaryFolder folder;
  fs::create_directories(folder / "set");
  for (int i = 0; i < 4; ++i) make_video(folder / ("set/good" + std::to_string(i) + ".mp4"), 4 + i, kX264, {32, 32});
  std::string train, val;
  for (int i = 0; i < 400; ++i) train += concat("good", i % 3, ".mp4#t=0,", 1 + i, " ", i % 2, "\n");
  const std::vector<const char*> bad = {"page.mp4", "no_index.mp4", "tone.m4a", "huge.mp4"};
  for (const char* name : bad) train += concat(inputs().path(name), " ", 1, "\n");
  for (int i = 0; i < 2; ++i) val += concat("good3.mp4#t=0,", 1 + i, " ", i, "\n");
  write_file(folder / "set/train.txt", train);
  write_file(folder / "set/val.txt", val);
  const Outcome outcome = program_run::run(folder, "engine_train",
                                           {folder / "set", "--epochs", "2", "--frames", "1", "--size", "16", "--batch",
                                            "64", "--progress", "none", "--out", folder / "run"});
  INFO(outcome.err);
  CHECK(outcome.code == exit_code::kOk);
  CHECK(fs::exists(folder / "run/best.safetensors"));
  for (const char* name : bad)
    CHECK(times_in(outcome.err, inputs().path(name) + ": " + inputs().named(name).error) ==
          2);  // when first met, and at the end
  CHECK(times_in(outcome.err, " was replaced by another of its class: ") == bad.size());
  CHECK(contains(outcome.err, "4 of 404 clips could not be read and had others in their places, 8 times in all:\n"));

  // One more is over the limit of 1 %.
  write_file(folder / "set/train.txt", train + inputs().path("empty.mp4") + " 0\n");
  const Outcome refused =
      program_run::run(folder, "engine_train",
                       {folder / "set", "--epochs", "1", "--frames", "1", "--size", "16", "--out", folder / "other"});
  CHECK(refused.code == exit_code::kData);
  CHECK(contains(refused.err, "5 clips cannot be decoded so far, more than 1% of 405; the first: "));
  alarm(0);
}
