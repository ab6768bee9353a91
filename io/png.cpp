#include "io/png.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <string_view>

#include "io/text.h"

namespace engine {
namespace {

using Bytes = std::span<const uint8_t>;

struct Damaged {};

// Bits of a stream, the lowest of each byte first (RFC 1951, 3.1.1).
class Bits {
 public:
  explicit Bits(Bytes bytes) : bytes_(bytes) {}
  uint32_t take(int count) {
    for (; held_ < count; held_ += 8) hold_ |= uint64_t{next_byte()} << held_;
    const auto value = static_cast<uint32_t>(hold_ & ((uint64_t{1} << count) - 1));
    hold_ >>= count;
    held_ -= count;
    return value;
  }
  void to_byte() { take(held_ % 8); }

 private:
  uint8_t next_byte() {
    if (at_ == bytes_.size()) throw Damaged{};
    return bytes_[at_++];
  }

  Bytes bytes_;
  size_t at_ = 0;
  uint64_t hold_ = 0;
  int held_ = 0;
};

constexpr int kLongestCode = 15;

// A canonical Huffman code (RFC 1951, 3.2.2).
class Code {
 public:
  explicit Code(std::span<const uint8_t> lengths) : symbols_(lengths.size()) {
    for (const uint8_t length : lengths) ++counts_[length];
    counts_[0] = 0;
    std::array<size_t, kLongestCode + 2> begins{};
    for (size_t length = 1; length <= kLongestCode; ++length) begins[length + 1] = begins[length] + counts_[length];
    for (size_t symbol = 0; symbol < lengths.size(); ++symbol)
      if (lengths[symbol] > 0) symbols_[begins[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
  }
  uint32_t read(Bits& bits) const {
    uint32_t code = 0, first = 0, begin = 0;  // of the codes of this length
    for (size_t length = 1; length <= kLongestCode; ++length) {
      code |= bits.take(1);
      if (code < first + counts_[length]) return code >= first ? symbols_[begin + code - first] : throw Damaged{};
      begin += counts_[length];
      first = (first + counts_[length]) << 1;
      code <<= 1;
    }
    throw Damaged{};
  }

 private:
  std::array<uint32_t, kLongestCode + 1> counts_{};  // of codes of each length
  std::vector<uint16_t> symbols_;                    // by code
};

// RFC 1951, 3.2.7: the two codes of a block.
std::pair<Code, Code> dynamic_codes(Bits& bits) {
  constexpr std::array<uint8_t, 19> kOrder = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const size_t literals = bits.take(5) + 257, distances = bits.take(5) + 1, given = bits.take(4) + 4;
  std::array<uint8_t, 19> of_lengths{};
  for (size_t i = 0; i < given; ++i) of_lengths[kOrder[i]] = static_cast<uint8_t>(bits.take(3));
  const Code code(of_lengths);
  std::vector<uint8_t> lengths;
  while (lengths.size() < literals + distances) {
    const uint32_t symbol = code.read(bits);
    if (symbol == 16 && lengths.empty()) throw Damaged{};
    const uint8_t value = symbol < 16 ? static_cast<uint8_t>(symbol) : symbol == 16 ? lengths.back() : uint8_t{0};
    const uint32_t times = symbol < 16    ? 1
                           : symbol == 16 ? 3 + bits.take(2)
                           : symbol == 17 ? 3 + bits.take(3)
                                          : 11 + bits.take(7);
    lengths.insert(lengths.end(), times, value);
  }
  if (lengths.size() != literals + distances) throw Damaged{};
  return {Code(std::span(lengths).first(literals)), Code(std::span(lengths).subspan(literals))};
}

std::pair<Code, Code> fixed_codes() {
  std::array<uint8_t, 288> literals;
  for (size_t i = 0; i < literals.size(); ++i) literals[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  std::array<uint8_t, 30> distances;
  distances.fill(5);
  return {Code(literals), Code(distances)};
}

void copy_block(Bits& bits, const std::pair<Code, Code>& codes, size_t most, std::vector<uint8_t>& out) {
  constexpr std::array<uint16_t, 29> kLengths = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  constexpr std::array<uint16_t, 30> kDistances = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                                   33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                                   1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  for (;;) {
    const uint32_t symbol = codes.first.read(bits);
    if (symbol == 256) return;
    if (symbol < 256) {
      out.push_back(static_cast<uint8_t>(symbol));
    } else {
      const size_t row = symbol - 257;
      if (row >= kLengths.size()) throw Damaged{};
      const size_t length = kLengths[row] + (row < 8 || row == 28 ? 0 : bits.take(static_cast<int>(row / 4 - 1)));
      const size_t column = codes.second.read(bits);
      if (column >= kDistances.size()) throw Damaged{};
      const size_t distance = kDistances[column] + (column < 4 ? 0 : bits.take(static_cast<int>(column / 2 - 1)));
      if (distance > out.size() || out.size() + length > most) throw Damaged{};
      for (size_t i = 0; i < length; ++i) out.push_back(out[out.size() - distance]);
    }
    if (out.size() > most) throw Damaged{};
  }
}

// Exactly `size` bytes from a zlib stream (RFC 1950).
std::vector<uint8_t> inflate(Bytes stream, size_t size) {
  Bits bits(stream);
  const uint32_t method = bits.take(8), flags = bits.take(8);
  if ((method & 15) != 8 || (method * 256 + flags) % 31 != 0 || (flags & 32)) throw Damaged{};
  std::vector<uint8_t> out;
  out.reserve(size);
  for (bool last = false; !last;) {
    last = bits.take(1);
    switch (bits.take(2)) {
      case 0: {
        bits.to_byte();
        const uint32_t count = bits.take(16), inverse = bits.take(16);
        if ((count ^ inverse) != 0xffff || out.size() + count > size) throw Damaged{};
        for (uint32_t i = 0; i < count; ++i) out.push_back(static_cast<uint8_t>(bits.take(8)));
        break;
      }
      case 1:
        copy_block(bits, fixed_codes(), size, out);
        break;
      case 2:
        copy_block(bits, dynamic_codes(bits), size, out);
        break;
      default:
        throw Damaged{};
    }
  }
  bits.to_byte();
  uint32_t a = 1, b = 0, stated = 0;  // Adler-32
  for (const uint8_t byte : out) a = (a + byte) % 65521, b = (b + a) % 65521;
  for (int i = 0; i < 4; ++i) stated = stated << 8 | bits.take(8);
  if (out.size() != size || stated != (b << 16 | a)) throw Damaged{};
  return out;
}

// Undoes the filter of one row (ISO/IEC 15948, clause 9); `step` bytes lie between those of one sample and the next.
void unfilter(uint8_t filter, std::span<uint8_t> row, std::span<const uint8_t> above, size_t step) {
  for (size_t i = 0; i < row.size(); ++i) {
    const int left = i < step ? 0 : row[i - step], up = above[i], corner = i < step ? 0 : above[i - step];
    const int from_left = std::abs(up - corner), from_up = std::abs(left - corner);
    const int from_corner = std::abs(left + up - 2 * corner);
    const int paeth = from_left <= from_up && from_left <= from_corner ? left : from_up <= from_corner ? up : corner;
    const std::array<int, 5> predicted = {0, left, up, (left + up) / 2, paeth};
    if (filter >= predicted.size()) throw Damaged{};
    row[i] = static_cast<uint8_t>(row[i] + predicted[filter]);
  }
}

uint32_t number_at(std::string_view bytes, size_t at) {
  if (at + 4 > bytes.size()) throw Damaged{};
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

struct Chunks {
  std::string_view header, palette;
  std::string data;
};

Chunks chunks_of(std::string_view bytes) {
  Chunks chunks;
  for (size_t at = 8;;) {
    const size_t size = number_at(bytes, at);
    const std::string_view kind = bytes.substr(at + 4, 4);
    if (size + 12 > bytes.size() - at) throw Damaged{};
    const std::string_view content = bytes.substr(at + 8, size);
    if (kind == "IHDR") chunks.header = content;
    if (kind == "PLTE") chunks.palette = content;
    if (kind == "IDAT") chunks.data += content;
    if (kind == "IEND") return chunks;
    at += size + 12;
  }
}

PngPicture decode(std::string_view bytes, int64_t max_pixels) {
  enum Colour { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgb_alpha = 6 };
  const Chunks chunks = chunks_of(bytes);
  const uint32_t width = number_at(chunks.header, 0), height = number_at(chunks.header, 4);
  if (chunks.header.size() != 13 || width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
    throw Damaged{};
  if (int64_t{width} * height > max_pixels)
    throw Error(concat(width, "x", height, " exceeds the limit of ", max_pixels, " pixels a picture"));
  if (chunks.header[12] != 0) throw Error("interlaced PNG, which needs a build with FFmpeg");
  const auto depth = static_cast<size_t>(chunks.header[8]);
  const int colour = chunks.header[9];
  const size_t samples = colour == rgb ? 3 : colour == rgb_alpha ? 4 : colour == grey_alpha ? 2 : 1;
  const bool small = depth == 1 || depth == 2 || depth == 4;
  const bool known =
      colour == grey || colour == rgb || colour == palette || colour == grey_alpha || colour == rgb_alpha;
  const bool fits = depth == 8 || (depth == 16 && colour != palette) || (small && samples == 1);
  if (!known || !fits || chunks.header[10] != 0 || chunks.header[11] != 0) throw Damaged{};

  const size_t row_bytes = (width * samples * depth + 7) / 8, step = std::max<size_t>(samples * depth / 8, 1);
  const Bytes stream(reinterpret_cast<const uint8_t*>(chunks.data.data()), chunks.data.size());
  std::vector<uint8_t> rows = inflate(stream, (row_bytes + 1) * height);
  PngPicture picture{{static_cast<int>(width), static_cast<int>(height)}, {}};
  picture.rgb.resize(picture.size.bytes());
  std::vector<uint8_t> above(row_bytes);
  uint8_t* to = picture.rgb.data();
  for (size_t y = 0; y < height; ++y) {
    const std::span<uint8_t> row = std::span(rows).subspan(y * (row_bytes + 1) + 1, row_bytes);
    unfilter(rows[y * (row_bytes + 1)], row, above, step);
    std::ranges::copy(row, above.begin());
    const auto sample = [&](size_t number) -> size_t {
      if (!small) return row[number * depth / 8];
      const size_t bit = number * depth;
      return row[bit / 8] >> (8 - depth - bit % 8) & ((1u << depth) - 1);
    };
    for (size_t x = 0; x < width; ++x)
      for (size_t c = 0; c < 3; ++c) {
        const size_t value = sample(x * samples + (samples >= 3 ? c : 0));
        if (colour == palette && value * 3 + c >= chunks.palette.size()) throw Damaged{};
        *to++ = static_cast<uint8_t>(colour == palette ? chunks.palette[value * 3 + c]
                                     : small           ? value * 255 / ((size_t{1} << depth) - 1)
                                                       : value);
      }
  }
  return picture;
}

}  // namespace

PngPicture decode_png(const std::string& bytes, const std::string& path, int64_t max_pixels) {
  std::string why;
  try {
    if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return decode(bytes, max_pixels);
    why = concat("no PNG (starts with \"", escaped(bytes, 16), "\")");
  } catch (const Damaged&) {
    why = "the image is damaged";
  } catch (const Error& error) {
    why = error.what();
  }
  throw Error(concat(escaped(path), ": ", why), exit_code::kData);
}

}  // namespace engine
