// io/png: pictures as FFmpeg decodes them, and no harm from damaged ones; training on images and decoded clips, which
// takes no FFmpeg.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/random.h"
#include "io/decoded_clip.h"
#include "io/png.h"
#include "tests/program_run.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr FrameSize kOdd{37, 21};
constexpr int64_t kMostPixels = 10000;

std::string big_endian(size_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

// A PNG file of one block that is not compressed. Checksums of chunks are zero: decoders pass over them.
std::string stored_png(const std::string& rgb, FrameSize size) {
  const auto chunk = [](const std::string& kind, const std::string& content) {
    return big_endian(content.size()) + kind + content + std::string(4, '\0');
  };
  std::string rows;
  const auto width = static_cast<size_t>(size.width) * 3;
  for (size_t at = 0; at < rgb.size(); at += width) rows += '\0' + rgb.substr(at, width);
  uint32_t a = 1, b = 0;
  for (const char byte : rows) a = (a + static_cast<uint8_t>(byte)) % 65521, b = (b + a) % 65521;
  const auto low = static_cast<char>(rows.size()), high = static_cast<char>(rows.size() >> 8);
  const std::string block = {'\x78', '\x01', '\x01', low, high, static_cast<char>(~low), static_cast<char>(~high)};
  const std::string sides = big_endian(static_cast<size_t>(size.width)) + big_endian(static_cast<size_t>(size.height));
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", sides + std::string("\x08\x02\0\0\0", 5)) +
         chunk("IDAT", block + rows + big_endian(b << 16 | a)) + chunk("IEND", "");
}

// As the ffmpeg program writes it.
std::string encoded_png(const TemporaryFolder& folder, const std::string& format) {
  ffmpeg("-f rawvideo -pix_fmt rgb24 -s 37x21 -i - -frames:v 1 -c:v png -pred mixed -pix_fmt " + format +
             " -f image2 '" + (folder / "a.png") + "'",
         picture(5, kOdd));
  return read_file(folder / "a.png");
}

}  // namespace

TEST_CASE("PNG pictures of every kind are those that FFmpeg decodes") {
  const std::string rgb = picture(3, kOdd);
  const PngPicture stored = decode_png(stored_png(rgb, kOdd), "a.png", kMostPixels);
  CHECK(stored.size == kOdd);
  CHECK(std::string(stored.rgb.begin(), stored.rgb.end()) == rgb);
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  for (const char* format : {"rgb24", "rgba", "gray", "ya8", "pal8", "monob", "rgb48be", "gray16be", "rgba64be"}) {
    CAPTURE(format);
    const PngPicture decoded = decode_png(encoded_png(folder, format), "a.png", kMostPixels);
    ffmpeg("-i '" + (folder / "a.png") + "' -sws_flags accurate_rnd+full_chroma_int -f rawvideo -pix_fmt rgb24 '" +
           (folder / "raw") + "'");
    const std::string expected = read_file(folder / "raw");
    REQUIRE(decoded.rgb.size() == expected.size());
    const int most = std::string(format).ends_with("be") ? 1 : 0;  // of 16 bits swscale does not cut but round
    int difference = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      difference = std::max(difference, std::abs(decoded.rgb[i] - static_cast<uint8_t>(expected[i])));
    CHECK(difference <= most);
  }
}

TEST_CASE("PNG pictures that are damaged, too large or none are refused") {
  const std::string sound = stored_png(picture(3, kOdd), kOdd);
  const auto refused = [&](const std::string& bytes, int64_t most = kMostPixels) {
    return error_of([&] { decode_png(bytes, "a.png", most); });
  };
  const auto told = [](const char* why) { return std::pair<int, std::string>(exit_code::kData, why); };
  CHECK(refused("GIF89a") == told("a.png: no PNG (starts with \"GIF89a\")"));
  CHECK(refused(sound, 776) == told("a.png: 37x21 exceeds the limit of 776 pixels a picture"));
  for (size_t length = 8; length < sound.size() - 12; length += 29)
    CHECK(refused(sound.substr(0, length)) == told("a.png: the image is damaged"));
  std::vector<std::string> files = {sound};
  const TemporaryFolder folder;
  if (have_ffmpeg())
    for (const char* format : {"rgb24", "pal8", "monob"}) files.push_back(encoded_png(folder, format));
  int taken = 0;
  for (uint32_t trial = 0; trial < 2000; ++trial) {
    Random random(4, 0, trial);
    std::string damaged = files[random.below(files.size())];
    for (uint64_t i = 0; i <= random.below(3); ++i)
      damaged[8 + random.below(damaged.size() - 8)] = static_cast<char>(random.bits());
    const int code = refused(damaged).first;
    CHECK((code == -1 || code == exit_code::kData));
    taken += code == -1;
  }
  CHECK(taken < 1000);
}

TEST_CASE("folders of PNG images and decoded clips train and are evaluated") {
  const TemporaryFolder folder;
  for (const char* part : {"train", "val"})
    for (int clip = 0; clip < 8; ++clip) {
      const std::string name = concat("set/", part, clip % 2 ? "/bright/" : "/dark/", clip);
      std::string pixels;
      Random random(6, part[0], static_cast<uint32_t>(clip));
      for (size_t i = 0; i < FrameSize{16, 16}.bytes() * 3; ++i)
        pixels += static_cast<char>(random.below(90) + (clip % 2 ? 150 : 10));
      if (clip < 4) {
        fs::create_directories(folder / name);
        for (int t = 0; t < 3; ++t)
          write_file(concat(folder / name, "/", t, ".png"),
                     stored_png(pixels.substr(static_cast<size_t>(t) * 768, 768), {16, 16}));
      } else {
        const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(pixels.data()), pixels.size());
        write_decoded_clip(folder / (name + ".frames"), Tensor::from(bytes, {3, 16, 16, 3}));
      }
    }
  const auto run = [&](const char* program, const std::vector<std::string>& arguments) {
    return program_run::run(folder, program, arguments);
  };
  const auto trained = run("engine_train", {folder / "set", "--epochs", "8", "--frames", "2", "--batch", "4", "--lr",
                                            "0.01", "--progress", "none", "--out", folder / "run"});
  INFO(trained.err);
  REQUIRE(trained.code == exit_code::kOk);
  CHECK_FALSE(contains(trained.err, "warning"));
  const std::string model = folder / "run/best.safetensors";
  const auto eval = run("engine_predict", {"eval", model, folder / "set", "--split", "val", "--json"});
  INFO(eval.err);
  REQUIRE(eval.code == exit_code::kOk);
  CHECK(nlohmann::json::parse(eval.out).at("clips") == 8);
  CHECK(nlohmann::json::parse(eval.out).at("accuracy") == 1.0);
  CHECK(run("engine_predict", {"classify", model, folder / "set/val/dark/0"}).code == exit_code::kOk);
  const auto check = run("engine_data", {"check", folder / "set", "--frames", "3"});
  CHECK(check.code == exit_code::kOk);
  CHECK(contains(check.out, "16 can be read"));
  if (video_available()) return;
  write_file(folder / "a.mp4", "x");
  const auto refused = run("engine_predict", {"classify", model, folder / "a.mp4"});
  CHECK(refused.code == exit_code::kNoDevice);
  CHECK(contains(refused.err, "a.mp4: this build has no FFmpeg, only decoded clips (.frames) and PNG images work; "));
}
