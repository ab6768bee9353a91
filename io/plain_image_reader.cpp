// Images in a build without FFmpeg: PNG by libpng, JPEG by libjpeg-turbo.
#include <png.h>
#include <turbojpeg.h>

#include <memory>
#include <vector>

#include "io/image_reader.h"
#include "io/picture.h"
#include "io/source_error.h"
#include "io/text.h"

namespace engine {
namespace {

struct Pixels {
  FrameSize size;
  int channels = 3;  // of which the first three are R, G, B
  std::vector<uint8_t> values;
};

[[noreturn]] void refuse_damaged(const std::string& path, const char* why) {
  throw SourceError(SourceFault::damaged, concat(escaped(path), ": the image is damaged (", why, ")"));
}

Pixels make_room(const std::string& path, int64_t width, int64_t height, int channels, int64_t max_pixels) {
  if (width * height > max_pixels)
    throw SourceError(SourceFault::too_large, concat(escaped(path), ": ", width, "x", height, " exceeds the limit of ",
                                                     max_pixels, " pixels a picture"));
  const FrameSize size{static_cast<int>(width), static_cast<int>(height)};
  return {size, channels, std::vector<uint8_t>(static_cast<size_t>(width * height * channels))};
}

Pixels decode_png(const std::string& bytes, const std::string& path, int64_t max_pixels) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, decltype(&png_image_free)> freed(&image, png_image_free);
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) refuse_damaged(path, image.message);
  // Transparency is read, and left out when the picture is seen: to ask for RGB would blend it with a background.
  image.format = PNG_FORMAT_RGBA;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  Pixels pixels = make_room(path, image.width, image.height, 4, max_pixels);
  if (!png_image_finish_read(&image, nullptr, pixels.values.data(), 0, nullptr)) refuse_damaged(path, image.message);
  return pixels;
}

Pixels decode_jpeg(const std::string& bytes, const std::string& path, int64_t max_pixels) {
  const std::unique_ptr<void, decltype(&tjDestroy)> decoder(tjInitDecompress(), tjDestroy);
  if (!decoder) throw Error("image: out of memory; use fewer --workers", exit_code::kMemory);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &subsampling, &colours) != 0)
    refuse_damaged(path, tjGetErrorStr2(decoder.get()));
  Pixels pixels = make_room(path, width, height, 3, max_pixels);
  if (tjDecompress2(decoder.get(), data, bytes.size(), pixels.values.data(), width, 0, height, TJPF_RGB,
                    TJFLAG_ACCURATEDCT) != 0)
    refuse_damaged(path, tjGetErrorStr2(decoder.get()));
  return pixels;
}

}  // namespace

struct ImageReader::Impl {
  SourceOptions options;
  Pixels pixels;
  PictureViewer viewer;
};

ImageReader::ImageReader(const SourceOptions& options) : impl_(std::make_unique<Impl>()) { impl_->options = options; }
ImageReader::~ImageReader() = default;

FrameSize ImageReader::decode(const std::string& bytes, const std::string& path) {
  const int64_t max_pixels = impl_->options.max_pixels;
  if (bytes.starts_with("\x89PNG")) {
    impl_->pixels = decode_png(bytes, path, max_pixels);
  } else if (bytes.starts_with("\xff\xd8\xff")) {
    impl_->pixels = decode_jpeg(bytes, path, max_pixels);
  } else {
    throw Error(concat(escaped(path), ": neither PNG nor JPEG (starts with \"", escaped(bytes, 16), "\")"),
                exit_code::kData);
  }
  return impl_->pixels.size;
}

void ImageReader::write(const FrameView& view, uint8_t* rgb) {
  const auto& [size, channels, values] = impl_->pixels;
  const int64_t stride = int64_t{channels} * size.width;
  StoredPicture picture = packed_rgb(values.data(), size, stride);
  for (auto& samples : picture.samples) samples.step = channels;
  impl_->viewer.see(picture, view, rgb);
}

void ImageReader::write(FrameSize size, uint8_t* rgb) { write(whole_view(size), rgb); }

}  // namespace engine
