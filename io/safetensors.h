// The safetensors format (github.com/huggingface/safetensors): named tensors and text, nothing that can run. Exchanges
// files with PyTorch, JAX and the rest.
//
//   8 bytes    n, little-endian
//   n bytes    JSON: {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...},
//   spaces the rest   the tensors' elements, little-endian, row-major, without holes
//
// Files written here carry two entries of metadata of their own, which reading checks and takes away again: `crc32c`,
// eight hexadecimal digits per tensor in the order of the data, with a space between; and `crc32c_header`, of the n
// bytes with these eight digits of its own as zeros. A program that changes such a file must drop both.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/arena.h"

namespace engine {

struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;
};

// The tensors are on the CPU, in the order of the data. Types: F64, F32, BF16, I64, U8. Shapes up to Shape::kMaxRank.
//
// Throws Error: kNoInput when the file is missing or cannot be read; kCheckpoint when it is malformed, damaged or not a
// regular file. Nothing in the file is believed: it is checked as a whole before memory for tensors is taken, and never
// takes more than a small multiple of its own size. Stricter than the reference reader: no unknown fields, no duplicate
// keys, no space before the header. `what` begins the sentence of an error: checkpoint 'path': ...
TensorFile read_safetensors(const std::string& path, const std::string& what = "checkpoint");

// The bytes of a file. They depend on nothing but the content: not on the order of `tensors`, which are written by type
// (I64, F64, F32, BF16, U8) and then by name, as the reference writer does. Tensors may be on any device. A file
// without tensors gets no checksums. Throws Error (kCheckpoint) for what the reader would refuse: names that appear
// twice, are too long, or have control characters; text that is not UTF-8; metadata named like our own two.
std::string encode_safetensors(const TensorFile& file);

// encode_safetensors(), then write_file_atomically() (io/atomic_file.h).
void write_safetensors(const std::string& path, const TensorFile& file);

// For messages: "[2,4] F32".
std::string describe(const Shape& shape, DType dtype);

}  // namespace engine
