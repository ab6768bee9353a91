// io/safetensors: files that are malformed or damaged are refused by name.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "engine/random.h"
#include "io/safetensors.h"
#include "tests/safetensors_files.h"
#include "tests/temporary_folder.h"

using namespace engine;
using namespace engine::fixtures;
using namespace std::string_literals;

namespace {

// One tensor 'fc.w' with these fields.
std::string tensor_with(const std::string& fields, size_t data_bytes = 32) {
  return file_with("{\"fc.w\":{" + fields + "}}", data_bytes);
}

struct Outcome {
  int code = exit_code::kOk;
  std::string message;  // what follows "checkpoint 'path': "
  TensorFile file;
};

Outcome read(const std::string& path) {
  Outcome outcome;
  try {
    outcome.file = read_safetensors(path);
  } catch (const Error& error) {
    const std::string prefix = "checkpoint '" + path + "': ";
    const std::string message = error.what();
    CHECK(message.starts_with(prefix));
    outcome.code = error.code();
    outcome.message = message.substr(std::min(message.size(), prefix.size()));
  }
  return outcome;
}

// As other programs write it: without checksums.
std::string foreign_file() {
  return file_with(R"({"__metadata__":{"step":"12"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                   R"("b":{"dtype":"U8","shape":[5],"data_offsets":[24,29]},)"
                   R"("c":{"dtype":"BF16","shape":[],"data_offsets":[29,31]}})",
                   31);
}

struct Malformed {
  int row;  // of the list of malformed files this table follows
  std::string bytes;
  std::string message;
};

std::vector<Malformed> malformed_containers() {
  const std::string good = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
  return {
      {1, "", "empty file"},
      {2, "{}{}{", "only 5 bytes, header length needs 8"},
      {3, length_of(0), "header length 0 is too small"},
      {3, length_of(1) + "{", "header length 1 is too small"},
      {4, length_of(uint64_t{1} << 32) + good, "header of 4294967296 bytes exceeds the limit of 100000000"},
      {4, length_of(0xFFFFFF000000003C) + good, "header of 18446742974197923900 bytes exceeds the limit of 100000000"},
      {5, length_of(~uint64_t{0}) + good, "header of 18446744073709551615 bytes exceeds the limit of 100000000"},
      {6, length_of(1000) + std::string(212, '{'), "header says 1000 bytes, file has 212; truncated?"},
      {7, "PK\3\4\0\0\x08\x08"s + "archive/data.pkl", "looks like a PyTorch pickle, not safetensors; convert it first"},
      {7, "\x80\2\x8a\nl\xfc\x9c\x46\xf9"s, "looks like a PyTorch pickle, not safetensors; convert it first"},
      {8, "PK\3\4\x14\0\0\0"s + std::string(22, '\0') + "w.npy", "looks like npz, not safetensors; convert it first"},
      {8, "GGUF\3\0\0\0"s + good, "looks like GGUF, not safetensors; convert it first"},
      {8, "\x89HDF\r\n\x1a\n" + good, "looks like HDF5, not safetensors; convert it first"},
      {8, "\x1f\x8b\x08\0\0\0\0\0\0"s, "looks like gzip, not safetensors; convert it first"},
      {9, file_with("{\"aaaaaaaaaaaaaaa\xff\":{}}", 0), "header is not UTF-8 at byte 17"},
      {9, file_with("\xff\xff", 0), "header is not UTF-8 at byte 0"},
      {10, file_with(" " + good, 4), "header does not start with '{'"},
      {10, file_with("[[[[", 0), "header does not start with '{'"},
      {11, file_with("{ ", 0), "header JSON: unexpected end at byte 2"},
      {11, file_with(good.substr(0, 30), 4), "header JSON: unexpected end at byte 30"},
      {11, file_with("{\"a\":{\"dtype\":U8}}", 0), "header JSON: unexpected character at byte 14"},
      {12, file_with(good + "x", 4), "header JSON: extra bytes after the object"},
      {12, file_with(good + "\n", 4), "header JSON: extra bytes after the object"},
      {12, file_with(good + good, 4), "header JSON: extra bytes after the object"},
      {13, tensor_with("\"shape\":" + std::string(100000, '[')), "header JSON nested deeper than 3"},
      {33, file_with(R"({"__metadata__":{"step":12}})", 0), "metadata 'step' is not a string"},
      {33, file_with(R"({"__metadata__":{"step":{}}})", 0), "metadata 'step' is not a string"},
      {33, file_with(R"({"__metadata__":null})", 0), "metadata is not an object"},
      {33, file_with(R"({"__metadata__":{"s":"1","s":"2"}})", 0), "metadata 's' appears twice"},
      {33, file_with(R"({"__metadata__":{},"__metadata__":{}})", 0), "tensor '__metadata__' appears twice"},
  };
}

std::vector<Malformed> malformed_tensors() {
  const std::string type = R"("dtype":"F32",)", shape = R"("shape":[2,4],)", offsets = R"("data_offsets":[0,32])";
  const auto with_shape = [&](const std::string& sizes) {
    return tensor_with(type + "\"shape\":" + sizes + "," + offsets);
  };
  const auto with_offsets = [&](const std::string& pair) {
    return tensor_with(type + shape + "\"data_offsets\":" + pair);
  };
  const std::string whole = "tensor 'fc.w': dimension is not a whole number";
  const std::string big = "99999999999999999999";
  return {
      {14, file_with(R"({"a\u0000b":{}})", 0), "tensor name has a control character (escaped: a\\u0000b)"},
      {14, file_with(R"({"a\u001b[2J":{}})", 0), "tensor name has a control character (escaped: a\\u001b[2J)"},
      {15, file_with("{\"fc.w\":{" + type + shape + offsets + "},\"fc.w\":{", 32), "tensor 'fc.w' appears twice"},
      {16, tensor_with(type + shape + shape + offsets), "tensor 'fc.w': 'shape' given twice"},
      {17, tensor_with(shape + offsets), "tensor 'fc.w': no 'dtype'"},
      {17, tensor_with(type + offsets), "tensor 'fc.w': no 'shape'"},
      {17, tensor_with(R"("dtype":"F32","shape":[2,4])"), "tensor 'fc.w': no 'data_offsets'"},
      {18, tensor_with(type + shape + offsets + ",\"stride\":1"), "tensor 'fc.w': unknown field 'stride'"},
      {19, tensor_with(R"("dtype":"F31",)" + shape + offsets), "tensor 'fc.w': dtype 'F31' not supported"},
      {19, tensor_with(R"("dtype":"I32",)" + shape + offsets), "tensor 'fc.w': dtype 'I32' not supported"},
      {19, tensor_with("\"dtype\":7," + shape + offsets), "tensor 'fc.w': 'dtype' is not a string"},
      {19, file_with(R"({"fc.w":[]})", 0), "tensor 'fc.w' is not an object"},
      {20, with_shape("[-1]"), "tensor 'fc.w': dimension -1"},
      {21, with_shape("[2.5]"), whole},
      {21, with_shape("[8e0]"), whole},
      {21, with_shape("[\"8\"]"), whole},
      {21, with_shape("[true]"), whole},
      {21, with_shape("[null]"), whole},
      {21, with_shape("8"), "tensor 'fc.w': 'shape' is not a list"},
      {22, with_shape("[" + big + "]"), "number too large at byte 32"},
      {22, with_shape("[-" + big + "]"), "number too large at byte 32"},
      {22, with_shape("[1" + std::string(400, '0') + "]"), "number too large at byte 32"},
      {23, with_shape("[1,1,1,1,1,2,4]"), "tensor 'fc.w': rank 7 exceeds 6"},
      {24, with_shape("[4294967296,4294967296]"), "tensor 'fc.w': shape [4294967296,4294967296] overflows"},
      {24, with_shape("[2,18446744073709551614]"), "tensor 'fc.w': shape [2,18446744073709551614] overflows"},
      {24, with_shape("[2,9223372036854775807]"), "tensor 'fc.w': shape [2,9223372036854775807] overflows"},
      {24, with_shape("[0,4294967296,4294967296]"), "tensor 'fc.w': shape [0,4294967296,4294967296] overflows"},
      {25, with_shape("[4611686018427387904]"), "tensor 'fc.w': shape [4611686018427387904] overflows"},
      {26, with_offsets("[0]"), "tensor 'fc.w': data_offsets needs 2 numbers"},
      {26, with_offsets("[0,32,32]"), "tensor 'fc.w': data_offsets needs 2 numbers"},
      {26, with_offsets("[0,-32]"), "tensor 'fc.w': offset -32"},
      {26, with_offsets("[0,32.0]"), "tensor 'fc.w': offset is not a whole number"},
      {26, with_offsets("32"), "tensor 'fc.w': 'data_offsets' is not a list"},
      {27, with_offsets("[24,8]"), "tensor 'fc.w': offsets [24,8] run backwards"},
      {28, with_offsets("[0,24]"), "tensor 'fc.w': 24 bytes for shape [2,4] F32 (needs 32)"},
      {28, tensor_with(type + R"("shape":[2,2],"data_offsets":[0,4])", 4),
       "tensor 'fc.w': 4 bytes for shape [2,2] F32 (needs 16)"},
      {29, tensor_with(R"("dtype":"U8","shape":[4096],"data_offsets":[0,4096])", 2048),
       "tensor 'fc.w': ends at 4096, data has 2048"},
      {29, tensor_with(type + shape + offsets, 30), "tensor 'fc.w': ends at 32, data has 30"},
      {32, tensor_with(type + shape + offsets, 72), "40 bytes after the last tensor"},
      {34, file_with("{\"" + std::string(1025, 'n') + "\":{}}", 0), "tensor name longer than 1024"},
  };
}

// "name": U8 of the bytes [begin, end).
std::string bytes_entry(const std::string& name, int begin, int end) {
  return concat('"', name, R"(":{"dtype":"U8","shape":[)", end - begin, R"(],"data_offsets":[)", begin, ",", end, "]}");
}

// A header of these entries, in this order.
std::string layout_with(const std::vector<std::string>& entries, size_t data_bytes) {
  std::string header;
  for (const std::string& entry : entries) header.append(header.empty() ? "{" : ",").append(entry);
  return file_with(header.append("}"), data_bytes);
}

std::vector<Malformed> malformed_layouts() {
  const std::string first = bytes_entry("a", 0, 24);
  std::vector<std::string> ten;
  for (int i = 0; i < 10; ++i) ten.push_back(bytes_entry(concat("t", i), 0, 16));
  std::string many = "{";
  for (int i = 0; i <= 1'000'000; ++i)
    many.append(i ? ",\"" : "\"")
        .append(std::to_string(i))
        .append(R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  return {
      {30, layout_with({first, bytes_entry("b", 16, 32)}, 32), "tensors 'a' and 'b' overlap at byte 16"},
      {30, layout_with({first, bytes_entry("b", 8, 8)}, 24), "tensors 'a' and 'b' overlap at byte 8"},
      {30, layout_with(ten, 16), "tensors 't0' and 't1' overlap at byte 0"},
      {31, layout_with({bytes_entry("b", 32, 40), first}, 40), "hole of 8 bytes before 'b'"},
      {31, layout_with({bytes_entry("b", 8, 16)}, 16), "hole of 8 bytes before 'b'"},
      {32, file_with("{}", 40), "40 bytes after the last tensor"},
      {34, file_with(many + "}", 0), "too many tensors (more than 1000000)"},
  };
}

// The bytes of sample() with one thing replaced by another of the same length.
std::string replaced(const std::string& what, const std::string& by) {
  std::string bytes = encode_safetensors(sample());
  const size_t at = bytes.find(what);
  REQUIRE(at != std::string::npos);
  return bytes.replace(at, what.size(), by);
}

// The eight digits that follow `key` in the bytes of sample().
std::string checksum_after(const std::string& key) {
  const std::string bytes = encode_safetensors(sample());
  return bytes.substr(bytes.find(key) + key.size(), 8);
}

void check_refused(const std::vector<Malformed>& table) {
  const TemporaryFolder folder;
  for (const Malformed& malformed : table) {
    CAPTURE(malformed.row);
    put(folder / "f", malformed.bytes);
    const Outcome outcome = read(folder / "f");
    CHECK(outcome.code == exit_code::kCheckpoint);
    CHECK(outcome.message == malformed.message);
  }
}

}  // namespace

TEST_CASE("safetensors: malformed containers are refused by name") { check_refused(malformed_containers()); }
TEST_CASE("safetensors: malformed tensors are refused by name") { check_refused(malformed_tensors()); }
TEST_CASE("safetensors: malformed layouts are refused by name") { check_refused(malformed_layouts()); }

TEST_CASE("safetensors: damage that only a checksum shows is refused by name") {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& bytes) {
    put(folder / "f", bytes);
    const Outcome outcome = read(folder / "f");
    CHECK(outcome.code == exit_code::kCheckpoint);
    return outcome.message;
  };
  const std::string weight = "\0\0\xc0\x3f"s;  // 1.5f, the first of fc.w
  CHECK(message(replaced(weight, "\0\0\xc0\x3e"s)).starts_with("tensor 'fc.w' damaged (crc32c "));
  CHECK(message(replaced("fc.w", "fc.b")).starts_with("header damaged (crc32c "));
  CHECK(message(replaced("\"crc32c\"", "\"crc33c\"")).starts_with("header damaged (crc32c "));
  CHECK(message(replaced("crc32c_header", "crc32c_reader")) == "metadata has no 'crc32c_header'");
  const std::string checksum = checksum_after("\"crc32c_header\":\"");
  CHECK(message(replaced(checksum, "0x" + checksum.substr(2))) ==
        "checksum '0x" + checksum.substr(2) + "' is not eight hexadecimal digits");
}

TEST_CASE("safetensors: what is not a regular file is refused, what is not there is missing") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  std::filesystem::create_symlink(folder / "nothing", folder / "link");
  for (const std::string& path : {folder / "", folder / "pipe", folder / "link", "/dev/null"s}) {
    const Outcome outcome = read(path);
    CHECK(outcome.code == exit_code::kCheckpoint);
    CHECK(outcome.message.starts_with("not a regular file"));
  }
  CHECK(read(folder / "nothing").code == exit_code::kNoInput);
  CHECK(read(folder / "nothing").message == "cannot be read: No such file or directory");
  CHECK_THROWS_WITH_AS(read_safetensors("no\nfile", "weights"),
                       "weights 'no\\u000afile': cannot be read: No such file or directory", Error);
}

TEST_CASE("safetensors: every flipped bit of a file with checksums is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "f";
  const std::string original = encode_safetensors(sample());
  for (size_t i = 0; i < original.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = original;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      put(path, bytes);
      CAPTURE(i);
      CAPTURE(bit);
      REQUIRE(read(path).code == exit_code::kCheckpoint);
    }
}

namespace {

// Replaces a number in the header by one that hurts, and sets the header's length right again.
void edit_number(std::string& bytes, Random& random) {
  static const std::vector<std::string> kNumbers = {"0",
                                                    "1",
                                                    "-1",
                                                    "7",
                                                    "2147483648",
                                                    "4294967296",
                                                    "8.",
                                                    "4611686018427387904",
                                                    "9223372036854775807",
                                                    "18446744073709551615",
                                                    "18446744073709551616",
                                                    "1e9",
                                                    "-0",
                                                    "00",
                                                    "1000000000000"};
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), std::min<size_t>(8, bytes.size()));
  if (bytes.size() < 8 || length > bytes.size() - 8) return;
  std::string header = bytes.substr(8, length);
  const size_t start = header.empty() ? 0 : random.below(header.size());
  const size_t begin = header.find_first_of("0123456789", start);
  if (begin == std::string::npos) return;
  const size_t end = std::min(header.find_first_not_of("0123456789", begin), header.size());
  header.replace(begin, end - begin, kNumbers[random.below(kNumbers.size())]);
  bytes = length_of(header.size()) + header + bytes.substr(8 + length);
}

void mutate(std::string& bytes, Random& random) {
  if (bytes.empty()) return;
  const size_t at = random.below(bytes.size());
  const size_t count = random.below(std::min<size_t>(bytes.size() - at, 40) + 1);
  switch (random.below(6)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(random.bits());
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
      bytes.erase(at, count);
      break;
    case 4:
      bytes.insert(random.below(bytes.size() + 1), bytes.substr(at, count));
      break;
    default:
      edit_number(bytes, random);
  }
}

// What a mutated file gives: an error of the right kind, or tensors that the file had room for.
Outcome read_mutated(const std::string& path, const std::string& original, Random& random) {
  std::string bytes = original;
  for (uint64_t left = 1 + random.below(3); left > 0; --left) mutate(bytes, random);
  put(path, bytes);
  Outcome outcome = read(path);
  size_t held = 0;
  for (const auto& [name, tensor] : outcome.file.tensors) held += tensor.bytes();
  REQUIRE(held <= bytes.size());
  REQUIRE((outcome.code == exit_code::kOk || outcome.code == exit_code::kCheckpoint));
  return outcome;
}

}  // namespace

TEST_CASE("safetensors: mutations of a file with checksums are refused or change nothing") {
  const TemporaryFolder folder;
  const TensorFile file = sample();
  const std::string original = encode_safetensors(file);
  Random random(2);
  for (int i = 0; i < 10000; ++i) {
    const Outcome outcome = read_mutated(folder / "f", original, random);
    // Two edits can take away both names under which checksums are kept; then nothing says that there were any.
    if (outcome.file.metadata.size() > file.metadata.size()) continue;
    REQUIRE((outcome.code == exit_code::kCheckpoint || equal(outcome.file, file)));
  }
}

TEST_CASE("safetensors: mutations of a file without checksums are refused or give a file that can be written") {
  const TemporaryFolder folder;
  Random random(3);
  int read_well = 0;
  for (int i = 0; i < 10000; ++i) {
    Outcome outcome = read_mutated(folder / "f", foreign_file(), random);
    if (outcome.code != exit_code::kOk) continue;
    ++read_well;
    put(folder / "g", encode_safetensors(outcome.file));
    const TensorFile again = read_safetensors(folder / "g");
    REQUIRE(again.metadata == outcome.file.metadata);
    REQUIRE(encode_safetensors(again) == encode_safetensors(outcome.file));
  }
  // Both ways are taken often: flips of the data pass, most of the header's do not.
  CHECK(read_well > 300);
  CHECK(read_well < 5000);
}
