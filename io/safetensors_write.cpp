#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "io/atomic_file.h"
#include "io/crc32c.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"
#include "io/text.h"

namespace engine {
namespace {

using namespace safetensors;

size_t order_of(DType dtype) {
  return static_cast<size_t>(std::ranges::find(kTypes, dtype, &TypeName::dtype) - kTypes.begin());
}

std::string_view bytes_of(const Tensor& tensor) { return {static_cast<const char*>(tensor.memory()), tensor.bytes()}; }

std::string quoted(const std::string& text) {
  if (find_invalid_utf8(text) != std::string_view::npos)
    throw Error(concat("safetensors: the text '", escaped(text), "' is not UTF-8"), exit_code::kCheckpoint);
  return nlohmann::json(text).dump();
}

std::string metadata_text(std::map<std::string, std::string> metadata, const std::vector<NamedTensor>& tensors) {
  if (metadata.contains(std::string(kTensorChecksums)) || metadata.contains(std::string(kHeaderChecksum)))
    throw Error(concat("safetensors: metadata '", kTensorChecksums, "' and '", kHeaderChecksum,
                       "' are written by the writer itself"),
                exit_code::kCheckpoint);
  if (!tensors.empty()) {
    std::string& checksums = metadata[std::string(kTensorChecksums)];
    for (const auto& [name, tensor] : tensors)
      checksums.append(checksums.empty() ? "" : " ").append(checksum_text(crc32c(bytes_of(tensor))));
    metadata[std::string(kHeaderChecksum)] = kZeroChecksum;
  }
  std::string text;
  for (const auto& [key, value] : metadata) text += concat(text.empty() ? "" : ",", quoted(key), ":", quoted(value));
  return text.empty() ? text : concat(quoted(std::string(kMetadataKey)), ":{", text, "}");
}

std::string header_text(const TensorFile& file, const std::vector<NamedTensor>& tensors) {
  std::string text = "{" + metadata_text(file.metadata, tensors);
  uint64_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t begin = end;
    end += tensor.bytes();
    text += concat(text.size() > 1 ? "," : "", quoted(name), ":{\"dtype\":\"", kTypes[order_of(tensor.dtype())].name,
                   "\",\"shape\":", sizes_text(tensor.shape()), ",\"data_offsets\":[", begin, ",", end, "]}");
  }
  text += "}";
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  if (const size_t at = find_header_checksum(text); at != std::string::npos)
    text.replace(at, kZeroChecksum.size(), checksum_text(header_checksum(text, at)));
  return text;
}

}  // namespace

std::string encode_safetensors(const TensorFile& file) {
  std::vector<NamedTensor> tensors;
  uint64_t data_bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    tensors.push_back({name, tensor.to(kCpu)});
    data_bytes += tensor.bytes();
  }
  std::ranges::sort(tensors, {},
                    [](const NamedTensor& named) { return std::tuple(order_of(named.tensor.dtype()), named.name); });

  const std::string header = header_text(file, tensors);
  if (header.size() > kMaxHeader)
    throw Error(concat("safetensors: header of ", header.size(), " bytes exceeds the limit of ", kMaxHeader),
                exit_code::kCheckpoint);
  // The writer makes nothing that the reader refuses.
  parse_header(header, data_bytes, "safetensors");

  const uint64_t length = header.size();
  std::string bytes(kLengthBytes, '\0');
  std::memcpy(bytes.data(), &length, kLengthBytes);
  bytes.reserve(kLengthBytes + length + data_bytes);
  bytes += header;
  for (const auto& [name, tensor] : tensors) bytes += bytes_of(tensor);
  return bytes;
}

void write_safetensors(const std::string& path, const TensorFile& file) {
  write_file_atomically(path, encode_safetensors(file));
}

std::string describe(const Shape& shape, DType dtype) {
  return concat(sizes_text(shape), " ", kTypes[order_of(dtype)].name);
}

}  // namespace engine
