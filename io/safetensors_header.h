// Internal to io/: the header of a safetensors file, between its reader and its writer.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace engine::safetensors {

inline constexpr uint64_t kLengthBytes = 8;  // of the number in front of the header
inline constexpr uint64_t kMinHeader = 2;
inline constexpr uint64_t kMaxHeader = 100'000'000;
inline constexpr size_t kMaxTensors = 1'000'000;
inline constexpr size_t kMaxName = 1024;  // bytes

inline constexpr std::string_view kMetadataKey = "__metadata__";
inline constexpr std::string_view kTensorChecksums = "crc32c";
inline constexpr std::string_view kHeaderChecksum = "crc32c_header";
inline constexpr std::string_view kZeroChecksum = "00000000";

// The format's names of our types, in the order in which tensors are written.
struct TypeName {
  DType dtype;
  std::string_view name;
};
inline constexpr std::array<TypeName, 5> kTypes = {
    {{DType::i64, "I64"}, {DType::f64, "F64"}, {DType::f32, "F32"}, {DType::bf16, "BF16"}, {DType::u8, "U8"}}};

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin, end;  // in the data
};

struct Header {
  std::map<std::string, std::string> metadata;  // without the checksums
  std::vector<Entry> entries;                   // in the order of the data, which they cover without hole or overlap
  std::vector<uint32_t> checksums;              // one per entry; empty where the file has none
};

// Checks everything there is to check before the data are touched. Throws Error (kCheckpoint); `where` begins the
// sentence.
Header parse_header(std::string_view text, uint64_t data_bytes, const std::string& where);

// "[2,4]"
template <class Sizes>
std::string sizes_text(const Sizes& sizes) {
  std::string text = "[";
  for (const auto size : sizes) text.append(text.size() > 1 ? "," : "").append(std::to_string(size));
  return text + "]";
}

// Eight hexadecimal digits.
std::string checksum_text(uint32_t checksum);

// The checksum of a header, computed as if the value of kHeaderChecksum in it were kZeroChecksum; `at` is where that
// value begins.
uint32_t header_checksum(std::string_view text, size_t at);
// Where the value of kHeaderChecksum begins; npos when the header has none.
size_t find_header_checksum(std::string_view text);

}  // namespace engine::safetensors
