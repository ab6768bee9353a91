// Decoded pictures seen through a FrameView: against plain loops, against swscale, against PyTorch.
#include "io/picture.h"

#include <cmath>

#include "engine/random.h"
#include "io/decoder.h"
#include "io/safetensors.h"
#include "tests/video_fixtures.h"

namespace engine {
namespace {

using namespace fixtures;

// A plane of numbers that can be halved and looked at anywhere.
struct Numbers {
  int width, height;
  std::vector<int> at;

  int operator()(int x, int y) const {
    return at[static_cast<size_t>(std::clamp(y, 0, height - 1) * width + std::clamp(x, 0, width - 1))];
  }
  Numbers halved() const {
    Numbers half{(width + 1) / 2, (height + 1) / 2, {}};
    for (int y = 0; y < half.height; ++y)
      for (int x = 0; x < half.width; ++x) {
        const int sum = (*this)(2 * x, 2 * y) + (*this)(2 * x + 1, 2 * y) + (*this)(2 * x, 2 * y + 1) +
                        (*this)(2 * x + 1, 2 * y + 1);
        half.at.push_back(static_cast<int>(std::floor(sum / 4.0 + 0.5)));
      }
    return half;
  }
  // Between the centres of pixels.
  double between(double u, double v) const {
    const double left = std::floor(u - 0.5), top = std::floor(v - 0.5), right = u - 0.5 - left, down = v - 0.5 - top;
    const int x = static_cast<int>(left), y = static_cast<int>(top);
    return (1 - down) * ((1 - right) * (*this)(x, y) + right * (*this)(x + 1, y)) +
           down * ((1 - right) * (*this)(x, y + 1) + right * (*this)(x + 1, y + 1));
  }
};

Numbers random_numbers(int width, int height, uint64_t bound, Random& random) {
  Numbers made{width, height, {}};
  for (int i = 0; i < width * height; ++i) made.at.push_back(static_cast<int>(random.below(bound)));
  return made;
}

// The numbers as samples of one or two bytes with others between them.
std::vector<uint8_t> stored(const Numbers& numbers, bool wide, int64_t step, int64_t stride) {
  std::vector<uint8_t> bytes(static_cast<size_t>(stride * numbers.height), 0xA5);
  for (int y = 0; y < numbers.height; ++y)
    for (int x = 0; x < numbers.width; ++x) {
      uint8_t* const sample = &bytes[static_cast<size_t>(y * stride + x * step)];
      sample[0] = static_cast<uint8_t>(numbers(x, y));
      if (wide) sample[1] = static_cast<uint8_t>(numbers(x, y) >> 8);
    }
  return bytes;
}

struct Format {
  const char* name;
  bool wide;
  int step, shift_x, shift_y;
  double site_x, site_y;
};
constexpr Format kFormats[] = {
    {"yuv420, left", false, 1, 1, 1, 0, 0.5},         {"yuv420, corner", false, 1, 1, 1, 0, 0},
    {"yuv422, woven", false, 2, 1, 0, 0.5, 0},        {"yuv444 in 4 bytes", false, 4, 0, 0, 0, 0},
    {"yuv420 of 16 bits", true, 2, 1, 1, 0.5, 0.5},   {"yuv410", false, 1, 2, 2, 0, 1.5},
    {"yuv444 of 16 bits, woven", true, 6, 0, 0, 0, 0}};

// The whole picture, slanted, in `size`.
FrameView slanted(FrameSize size) {
  FrameView view = whole_view(size);
  view.affine[1] = 0.05 / size.height;
  view.affine[3] = -0.03 / size.width;
  view.colour = {0.9, 0.1, 0, 5, 0.05, 0.9, 0, 0, 0, 0, 1.1, -8};
  return view;
}

// The frames of a video through a view of the whole, and by swscale.
struct BothWays {
  std::vector<uint8_t> seen, scaled;
  double mean = 0, largest = 0;  // of the differences

  explicit BothWays(const std::string& path, const SourceOptions& options = {}) {
    const auto source = open_frames(path, options);
    const int64_t first[] = {0};
    seen.resize(source->size().bytes());
    scaled.resize(seen.size());
    source->view_frames(first, whole_view(source->size()), seen);
    source->read_frames(first, source->size(), scaled);
    for (size_t i = 0; i < seen.size(); ++i) {
      const double difference = std::abs(seen[i] - scaled[i]);
      mean += difference / static_cast<double>(seen.size());
      largest = std::max(largest, difference);
    }
  }
};

// A picture without edges, so that it does not matter how chroma is interpolated.
std::string smooth(FrameSize size) {
  std::string rgb;
  for (int y = 0; y < size.height; ++y)
    for (int x = 0; x < size.width; ++x) {
      const double u = static_cast<double>(x) / size.width, v = static_cast<double>(y) / size.height;
      for (const double value : {40 + 170 * u, 210 - 150 * v, 60 + 120 * u * v}) rgb += static_cast<char>(value);
    }
  return rgb;
}

// In so large a picture the gradient is slow: swscale takes chroma for centred, and in 4:2:0 half a row too low.
constexpr FrameSize kSlow{322, 242};
constexpr const char* kLossless = "-c:v libx264 -qp 1 -pix_fmt yuv420p ";
constexpr const char* kCentred = "-bsf:v h264_metadata=chroma_sample_loc_type=1 ";

void make_smooth(const std::string& path, FrameSize size, const std::string& encoding) {
  ffmpeg("-f rawvideo -pix_fmt rgb24 -r 25 -s " + std::to_string(size.width) + "x" + std::to_string(size.height) +
             " -i - " + encoding + " '" + path + "'",
         smooth(size));
}

}  // namespace

TEST_CASE("picture: planes of every kind, halved where they are shrunk, are what plain loops give") {
  Random random(3);
  for (const Format& format : kFormats)
    for (const FrameSize size : {FrameSize{33, 21}, FrameSize{17, 19}, FrameSize{9, 5}}) {
      INFO(format.name, " to ", size.width, "x", size.height);
      const int width = 37, height = 43;
      StoredPicture picture{.width = width, .height = height, .samples = {}};
      picture.wide = format.wide;
      picture.shift_x = format.shift_x, picture.shift_y = format.shift_y;
      picture.site_x = format.site_x, picture.site_y = format.site_y;
      picture.to_rgb = yuv_to_rgb(0.2126, 0.0722, false, format.wide ? 16 : 8);
      std::vector<Numbers> planes;
      std::vector<std::vector<uint8_t>> bytes;
      for (size_t k = 0; k < 3; ++k) {
        const int x = k ? (width + (1 << format.shift_x) - 1) >> format.shift_x : width;
        const int y = k ? (height + (1 << format.shift_y) - 1) >> format.shift_y : height;
        planes.push_back(random_numbers(x, y, format.wide ? 65536 : 256, random));
        const int64_t stride = x * format.step + static_cast<int64_t>(k);
        bytes.push_back(stored(planes[k], format.wide, format.step, stride));
        picture.samples[k] = {bytes[k].data(), stride, format.step};
      }
      const FrameView view = slanted(size);
      std::vector<uint8_t> rgb(size.bytes());
      PictureViewer().see(picture, view, rgb.data());

      // By how much the smaller of the two sides shrinks; the slant is small.
      const double shrinkage = std::min(double(width) / size.width, double(height) / size.height) * 0.98;
      const int halvings = shrinkage >= 4 ? 2 : shrinkage >= 2 ? 1 : 0;
      const bool both = format.shift_x > 0 && format.shift_y > 0;
      const int chroma_halvings = both ? std::max(0, halvings - 1) : halvings;
      for (int i = 0; i < halvings; ++i) planes[0] = planes[0].halved();
      for (int i = 0; i < chroma_halvings; ++i) planes[1] = planes[1].halved(), planes[2] = planes[2].halved();
      int wrong = 0;
      for (int i = 0; i < size.width * size.height; ++i) {
        const double q = i % size.width + 0.5, p = i / size.width + 0.5;
        const double u = (view.affine[0] * q + view.affine[1] * p + view.affine[2]) * width;
        const double v = (view.affine[3] * q + view.affine[4] * p + view.affine[5]) * height;
        // Sample 0 of chroma is centred `site` behind that of luma, and every 2^shift-th pixel has one.
        const double cu = (u - 0.5 - format.site_x) / (1 << format.shift_x) + 0.5;
        const double cv = (v - 0.5 - format.site_y) / (1 << format.shift_y) + 0.5;
        const double yuv[] = {planes[0].between(u / (1 << halvings), v / (1 << halvings)),
                              planes[1].between(cu / (1 << chroma_halvings), cv / (1 << chroma_halvings)),
                              planes[2].between(cu / (1 << chroma_halvings), cv / (1 << chroma_halvings))};
        double colours[3];
        for (size_t c = 0; c < 3; ++c)
          colours[c] = picture.to_rgb[4 * c] * yuv[0] + picture.to_rgb[4 * c + 1] * yuv[1] +
                       picture.to_rgb[4 * c + 2] * yuv[2] + picture.to_rgb[4 * c + 3];
        for (size_t c = 0; c < 3; ++c) {
          const double value = view.colour[4 * c] * colours[0] + view.colour[4 * c + 1] * colours[1] +
                               view.colour[4 * c + 2] * colours[2] + view.colour[4 * c + 3];
          const double got = rgb[static_cast<size_t>(3 * i) + c];
          wrong += !(std::abs(got - std::clamp(value, 0.0, 255.0)) <= 0.5 + 5e-3);
        }
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("picture: matrices turn the coded colours back") {
  const double standards[][2] = {{0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}, {0.30, 0.11}, {0.212, 0.087}};
  for (const auto& [kr, kb] : standards)
    for (const bool full : {false, true})
      for (const int bits : {8, 10, 16}) {
        const double unit = std::exp2(bits - 8), r = 31, g = 142, b = 233;
        const double y = kr * r + (1 - kr - kb) * g + kb * b, cb = (b - y) / (2 - 2 * kb), cr = (r - y) / (2 - 2 * kr);
        const double scale = full ? (std::exp2(bits) - 1) / 255 : unit;
        const double coded[] = {full ? y * scale : (16 + 219 * y / 255) * scale,
                                128 * unit + (full ? cb * scale : 224 * cb / 255 * scale),
                                128 * unit + (full ? cr * scale : 224 * cr / 255 * scale)};
        const ColourMatrix m = yuv_to_rgb(kr, kb, full, bits);
        const double expected[] = {r, g, b};
        for (size_t c = 0; c < 3; ++c)
          CHECK(std::abs(m[4 * c] * coded[0] + m[4 * c + 1] * coded[1] + m[4 * c + 2] * coded[2] + m[4 * c + 3] -
                         expected[c]) < 1e-9);
      }
}

TEST_CASE("picture: every pixel format shows what swscale makes of it") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::pair<std::string, std::string> files[] = {
      {"mkv", "-c:v ffv1 -pix_fmt yuv420p"},     {"mkv", "-c:v ffv1 -pix_fmt yuv422p"},
      {"mkv", "-c:v ffv1 -pix_fmt yuv444p"},     {"mkv", "-c:v ffv1 -pix_fmt yuv410p"},
      {"mkv", "-c:v ffv1 -pix_fmt yuv411p"},     {"mkv", "-c:v ffv1 -pix_fmt yuva420p"},
      {"mkv", "-c:v ffv1 -pix_fmt yuv420p10le"}, {"mkv", "-c:v ffv1 -pix_fmt yuv422p16le"},
      {"mkv", "-c:v ffv1 -pix_fmt gray"},        {"mkv", "-c:v ffv1 -pix_fmt gray10le"},
      {"mkv", "-c:v ffv1 -pix_fmt gbrp10le"},    {"mkv", "-c:v ffv1 -pix_fmt bgr0"},
      {"mkv", "-c:v rawvideo -pix_fmt nv12"},    {"mkv", "-c:v rawvideo -pix_fmt yuyv422"},
      {"avi", "-c:v rawvideo -pix_fmt bgra"},    {"avi", "-c:v mjpeg -q:v 1 -pix_fmt yuvj422p"}};
  const int64_t before = av::Converter::pictures_made_rgb();
  for (const auto& [container, encoding] : files) {
    INFO(encoding);
    const std::string path = folder / ("clip." + container);
    make_smooth(path, kSlow, "-y " + encoding);
    const BothWays both(path);
    CHECK(both.mean < 0.8);
    CHECK(both.largest <= 4);
  }
  CHECK(av::Converter::pictures_made_rgb() == before);
}

TEST_CASE("picture: what is no plain row of samples becomes RGB first, and is counted") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_smooth(folder / "clip.avi", {64, 48}, "-c:v rawvideo -pix_fmt rgb555le");
  const int64_t before = av::Converter::pictures_made_rgb();
  CHECK(BothWays(folder / "clip.avi").largest == 0);
  CHECK(av::Converter::pictures_made_rgb() == before + 1);
}

TEST_CASE("picture: chroma lies where the file says") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_smooth(folder / "left.mp4", {64, 48}, kLossless);
  make_smooth(folder / "centre.mp4", {64, 48}, std::string(kLossless) + kCentred);
  // swscale takes it for centred, but half a row too low.
  CHECK(BothWays(folder / "centre.mp4").mean < BothWays(folder / "left.mp4").mean - 0.3);
}

TEST_CASE("picture: colours follow the file's matrix and range, and the option where it states none") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  const std::string encoding = kLossless;
  for (const std::string matrix : {"bt709", "bt470bg", "fcc", "smpte240m", "bt2020nc"})
    for (const std::string range : {"tv", "pc"}) {
      INFO(matrix, " ", range);
      const std::string path = folder / (matrix + range + ".mp4");
      make_smooth(path, kSlow, encoding + "-colorspace " + matrix + " -color_range " + range);
      const BothWays both(path), otherwise(path, {.untagged = Untagged::bt709});
      CHECK(both.mean < 0.6);
      CHECK(both.largest <= 3);
      CHECK(otherwise.seen == both.seen);
    }
  make_smooth(folder / "small.mp4", kSlow, encoding);
  make_smooth(folder / "large.mp4", {64, 720}, encoding);
  const auto seen = [&](const char* name, Untagged untagged) {
    return BothWays(folder / name, {.untagged = untagged}).seen;
  };
  CHECK(BothWays(folder / "small.mp4").mean < 0.6);
  CHECK(seen("small.mp4", Untagged::bt601) != seen("small.mp4", Untagged::bt709));
  CHECK(seen("small.mp4", Untagged::automatic) == seen("small.mp4", Untagged::bt601));
  CHECK(seen("large.mp4", Untagged::automatic) == seen("large.mp4", Untagged::bt709));
}

TEST_CASE("picture: turned files are seen upright") {
  if (!have_ffmpeg()) return;
  const TemporaryFolder folder;
  make_smooth(folder / "plain.mp4", kSlow, kLossless);
  for (const std::string degrees : {"90", "180", "270"}) {
    INFO(degrees);
    const std::string path = folder / (degrees + ".mp4");
    ffmpeg("-i '" + (folder / "plain.mp4") + "' -c copy -metadata:s:v rotate=" + degrees + " '" + path + "'", "");
    CHECK(open_frames(path)->size() == (degrees == "180" ? kSlow : FrameSize{kSlow.height, kSlow.width}));
    const BothWays both(path);
    CHECK(both.mean < 0.6);
    CHECK(both.largest <= 3);
  }
}

TEST_CASE("picture: in two passes, it is what PyTorch's pipelines make of the same frames") {
  if (!have_ffmpeg()) return;
  std::map<std::string, Tensor> file;
  for (const auto& [name, tensor] : read_safetensors(ENGINE_SOURCE_DIR "/tests/parity/frames.safetensors", "").tensors)
    file.emplace(name, tensor);
  const TemporaryFolder folder;
  const auto yuv = file.at("yuv").values<uint8_t>();
  ffmpeg("-f rawvideo -pix_fmt yuv420p -r 25 -s 70x46 -i - -c:v ffv1 '" + (folder / "clip.mkv") + "'",
         std::string(yuv.begin(), yuv.end()));
  const auto source = open_frames(folder / "clip.mkv");
  const std::vector<int64_t> frames = {0, 1};
  const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
  for (int64_t number = 0; number < file.at("cuts").size(0); ++number) {
    INFO("cut ", number);
    const int64_t* cut = file.at("cuts").values<int64_t>().data() + 6 * number;
    const auto at = [cut](int i) { return static_cast<int>(cut[i]); };
    FrameView view = whole_view({at(4), at(5)});
    const double part[] = {at(0) / 70.0, at(1) / 46.0, at(2) / 70.0, at(3) / 46.0};
    view.affine = {part[2] / at(4), 0, part[0], 0, part[3] / at(5), part[1]};
    view.rgb_first = true;
    view.cut = {at(0), at(1), at(2), at(3)};
    std::vector<uint8_t> rgb(2 * view.size.bytes());
    source->view_frames(frames, view, rgb);
    const Tensor expected = file.at("clip" + std::to_string(number));
    REQUIRE(std::ssize(rgb) == expected.elements());
    double largest = 0;
    for (size_t i = 0; i < rgb.size(); ++i) {
      const double grey = (expected.values<float>()[i] * deviation[i % 3] + mean[i % 3]) * 255;
      largest = std::max(largest, std::abs(rgb[i] - grey));
    }
    CHECK(largest < 0.51);  // of the rounding
  }
}

}  // namespace engine
