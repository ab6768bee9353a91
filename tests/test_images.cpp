// Folders of images, in builds with and without FFmpeg; training on them and on decoded clips, which takes no FFmpeg.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/random.h"
#include "io/decoded_clip.h"
#include "io/frame_source.h"
#include "tests/program_run.h"
#include "tests/video_fixtures.h"

using namespace engine;
using namespace engine::fixtures;

namespace {

constexpr FrameSize kOdd{37, 21};

std::string big_endian(size_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

// Of ISO/IEC 15948, annex D.
uint32_t crc32(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  return ~crc;
}

// A PNG file of one block that is not compressed.
std::string stored_png(const std::string& rgb, FrameSize size) {
  const auto chunk = [](const std::string& kind, const std::string& content) {
    return big_endian(content.size()) + kind + content + big_endian(crc32(kind + content));
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

// Written by the ffmpeg program; `codec` and its flags.
std::string encoded(const TemporaryFolder& folder, const std::string& codec, const std::string& format) {
  const std::string file = folder / "encoded";
  ffmpeg("-f rawvideo -pix_fmt rgb24 -s 37x21 -i - -frames:v 1 -c:v " + codec + " -pix_fmt " + format + " -f image2 '" +
             file + "'",
         picture(5, kOdd));
  return read_file(file);
}

// What a folder that holds but this image reads as.
std::string read_image(const std::string& bytes, const char* name, const SourceOptions& options = {}) {
  const TemporaryFolder folder;
  write_file(folder / name, bytes);
  const auto source = open_frames(folder.path(), options);
  std::string rgb(source->size().bytes(), '\0');
  const int64_t first = 0;
  source->read_frames({&first, 1}, {}, {reinterpret_cast<uint8_t*>(rgb.data()), rgb.size()});
  return rgb;
}

int largest_difference(const std::string& a, const std::string& b) {
  REQUIRE(a.size() == b.size());
  int largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<uint8_t>(a[i]) - static_cast<uint8_t>(b[i])));
  return largest;
}

}  // namespace

TEST_CASE("images of every kind are those that the ffmpeg program decodes") {
  const std::string rgb = picture(3, kOdd);
  CHECK(read_image(stored_png(rgb, kOdd), "a.png") == rgb);
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const auto compare = [&](const std::string& codec, const std::string& format, const char* name, int most) {
    CAPTURE(format);
    const std::string bytes = encoded(folder, codec, format);
    write_file(folder / name, bytes);
    ffmpeg("-i '" + (folder / name) + "' -sws_flags accurate_rnd+full_chroma_int -f rawvideo -pix_fmt rgb24 '" +
           (folder / "raw") + "'");
    CHECK(largest_difference(read_image(bytes, name), read_file(folder / "raw")) <= most);
  };
  for (const char* format : {"rgb24", "rgba", "gray", "ya8", "pal8", "monob"})
    compare("png -pred mixed", format, "a.png", 0);
  // Of 16 bits some round and some cut.
  for (const char* format : {"rgb48be", "gray16be", "rgba64be"}) compare("png -pred mixed", format, "a.png", 1);
  // The standard leaves a decoder of JPEG 1 in its cosine transform (ITU-T T.83), which colours make 1 + 1.772 of.
  compare("mjpeg -q:v 2", "yuvj444p", "a.jpg", 3);
}

TEST_CASE("images that are damaged, too large or none are refused") {
  const std::string sound = stored_png(picture(3, kOdd), kOdd);
  const auto refused = [&](const std::string& bytes, const SourceOptions& options = {}) {
    return error_of([&] { read_image(bytes, "a.png", options); });
  };
  const auto [code, why] = refused("GIF89a");
  CHECK(code == exit_code::kData);
  CHECK(contains(why, "a.png: neither PNG nor JPEG (starts with \"GIF89a\")"));
  SourceOptions small;
  small.max_pixels = 776;
  CHECK(refused(sound, small).first == exit_code::kData);
  CHECK(contains(refused(sound, small).second, video_available()
                                                   ? "a.png: the image is damaged or larger than 776 pixels"
                                                   : "a.png: 37x21 exceeds the limit of 776 pixels a picture"));
  if (!video_available()) CHECK(contains(refused(sound.substr(0, 60)).second, "a.png: the image is damaged ("));
  for (size_t length = 8; length < sound.size() - 40; length += 29)
    CHECK(refused(sound.substr(0, length)).first == exit_code::kData);
  std::vector<std::string> files = {sound};
  const TemporaryFolder folder;
  if (have_ffmpeg()) {
    for (const char* format : {"rgb24", "pal8"}) files.push_back(encoded(folder, "png", format));
    files.push_back(encoded(folder, "mjpeg", "yuvj420p"));
  }
  for (uint32_t trial = 0; trial < 600; ++trial) {
    Random random(4, 0, trial);
    std::string damaged = files[random.below(files.size())];
    for (uint64_t i = 0; i <= random.below(3); ++i)
      damaged[8 + random.below(damaged.size() - 8)] = static_cast<char>(random.bits());
    SourceOptions options;
    options.max_pixels = 100000;
    const int result = refused(damaged, options).first;
    CHECK((result == -1 || result == exit_code::kData));
  }
}

TEST_CASE("folders of images and decoded clips train and are evaluated") {
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
  std::istringstream lines(trained.err);
  for (std::string line; std::getline(lines, line);)  // how long clips are waited for is up to the machine
    CHECK((!line.starts_with("warning") || contains(line, " of the epoch went into waiting for clips")));
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
  CHECK(contains(refused.err, "a.mp4: this build has no FFmpeg, only decoded clips (.frames) and images work; "));
}
