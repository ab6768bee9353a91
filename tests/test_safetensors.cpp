#include <doctest/doctest.h>

#include "engine/random.h"
#include "io/crc32c.h"
#include "io/text.h"
#include "tests/safetensors_files.h"
#include "tests/temporary_folder.h"

using namespace engine;
using namespace engine::fixtures;
using namespace std::string_literals;

TEST_CASE("crc32c: known answers of RFC 3720 B.4, by table and by instruction") {
  std::string ascending(32, '\0');
  for (size_t i = 0; i < ascending.size(); ++i) ascending[i] = static_cast<char>(i);
  const std::string descending(ascending.rbegin(), ascending.rend());
  const std::vector<std::pair<std::string, uint32_t>> cases = {{"", 0},
                                                               {"123456789", 0xe3069283},
                                                               {std::string(32, '\0'), 0x8a9136aa},
                                                               {std::string(32, '\xff'), 0x62a8ab43},
                                                               {ascending, 0x46dd794e},
                                                               {descending, 0x113fdb5c}};
  for (const auto& [bytes, expected] : cases) {
    CHECK(crc32c(bytes) == expected);
    CHECK(crc32c_portable(bytes) == expected);
  }
}

TEST_CASE("crc32c: both ways agree at every length and offset, whole or in parts") {
  Random random(1);
  std::string bytes(200, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.bits());
  for (size_t begin = 0; begin < 9; ++begin)
    for (size_t size = 0; size + begin <= 100; ++size) {
      const std::string_view part = std::string_view(bytes).substr(begin, size);
      const uint32_t expected = crc32c_portable(part);
      REQUIRE(crc32c(part) == expected);
      REQUIRE(crc32c(part.substr(size / 3), crc32c(part.substr(0, size / 3))) == expected);
    }
}

TEST_CASE("text: where UTF-8 ends, and what a message shows instead") {
  for (const char* good : {"", "abc", "\u00e9\u4e2d\U0001f600", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"})
    CHECK(find_invalid_utf8(good) == std::string::npos);
  const std::vector<std::string> bad = {
      "ab\xff", "ab\xc0\x80", "ab\xc3", "ab\xe0\x80\x80", "ab\xed\xa0\x80", "ab\xf0\x80\x80\x80", "ab\xf4\x90\x80\x80",
      "ab\x80", "ab\xe4\xb8"};
  for (const std::string& text : bad) CHECK(find_invalid_utf8(text) == 2);
  CHECK(escaped("a\0b\x1b[2J\x7f\xc2\x9b|\xff|\u00e9\\\""s) == "a\\u0000b\\u001b[2J\\u007f\\u009b|\\xff|\u00e9\\\"");
  CHECK(escaped("abcdef", 3) == "abc...");
}

TEST_CASE("safetensors: the format's golden files") {
  const TemporaryFolder folder;
  const std::string path = folder / "golden";

  const std::string empty = length_of(8) + "{}      ";
  CHECK(encode_safetensors({}) == empty);
  put(path, empty);
  CHECK(equal(read_safetensors(path), {}));

  const std::string metadata = length_of(40) + "{\"__metadata__\":{\"framework\":\"pt\"}}     "s.substr(0, 40);
  CHECK(encode_safetensors({{{"framework", "pt"}}, {}}) == metadata);
  put(path, metadata);
  CHECK(equal(read_safetensors(path), {{{"framework", "pt"}}, {}}));

  // The crate's own two are of type I32, which we do not have; F32 has the same length.
  const std::string scalar = R"({"test":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  REQUIRE(scalar.size() == 0x38);
  put(path, file_with(scalar, 4));
  CHECK(read_safetensors(path).tensors[0].tensor.shape() == Shape{});
  const std::string matrix = R"({"test":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  REQUIRE(matrix.size() == 0x3c);
  put(path, file_with(matrix, 16));
  CHECK(read_safetensors(path).tensors[0].tensor.shape() == Shape{2, 2});
}

TEST_CASE("safetensors: a file of the reference writer, in its order") {
  const TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__":{"framework":"np"},"c":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
      R"("d":{"dtype":"F64","shape":[],"data_offsets":[16,24]},)"
      R"("b":{"dtype":"F32","shape":[2,2],"data_offsets":[24,40]},)"
      R"("e":{"dtype":"F32","shape":[0,3],"data_offsets":[40,40]},)"
      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[40,41]}} )";
  const std::string data =
      "\xff\xff\xff\xff\xff\xff\xff\xff\5\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0?\0\0\x80?\0\0\0@\0\0@@\0\0\x80@\7"s;
  REQUIRE(length_of(header.size()) == "8\1\0\0\0\0\0\0"s);
  put(folder / "np", length_of(header.size()) + header + data);

  const TensorFile expected{{{"framework", "np"}},
                            {{"c", Tensor::from<int64_t>({-1, 5})},
                             {"d", Tensor::full({}, 0.5, DType::f64)},
                             {"b", Tensor::from<float>({1, 2, 3, 4}).reshape({2, 2})},
                             {"e", Tensor::empty({0, 3})},
                             {"a", Tensor::full({1}, 7, DType::u8)}}};
  CHECK(equal(read_safetensors(folder / "np"), expected));
  // Ours differs by the checksums alone: the data, which the order of the tensors decides, are the same bytes.
  CHECK(encode_safetensors(expected).ends_with(data));
}

TEST_CASE("safetensors: every type comes back bit for bit, in any order given, with the same bytes") {
  const TemporaryFolder folder;
  const TensorFile file = sample();
  write_safetensors(folder / "a", file);
  CHECK(equal(read_safetensors(folder / "a"), file));

  TensorFile shuffled = file;
  std::ranges::reverse(shuffled.tensors);
  const std::string bytes = encode_safetensors(shuffled);
  CHECK(bytes == encode_safetensors(file));
  CHECK(bytes == encode_safetensors(read_safetensors(folder / "a")));
  CHECK(bytes[8] == '{');
  CHECK((static_cast<unsigned char>(bytes[0]) + 256 * static_cast<unsigned char>(bytes[1])) % 8 == 0);
  CHECK(describe(Shape{2, 4}, DType::f32) == "[2,4] F32");
}

TEST_CASE("safetensors: the writer refuses what the reader refuses") {
  const Tensor one = Tensor::zeros({1});
  const std::vector<std::pair<TensorFile, std::string>> cases = {
      {{{}, {{"a", one}, {"a", one}}}, "safetensors: tensor 'a' appears twice"},
      {{{}, {{"a\nb", one}}}, "safetensors: tensor name has a control character (escaped: a\\u000ab)"},
      {{{}, {{std::string(1025, 'n'), one}}}, "safetensors: tensor name longer than 1024"},
      {{{}, {{"__metadata__", one}}}, "safetensors: tensor '__metadata__' appears twice"},
      {{{}, {{"a\xff", one}}}, "safetensors: the text 'a\\xff' is not UTF-8"},
      {{{{"k", "\xc0"}}, {}}, "safetensors: the text '\\xc0' is not UTF-8"},
      {{{{"crc32c", "00000000"}}, {}},
       "safetensors: metadata 'crc32c' and 'crc32c_header' are written by the writer itself"},
      {{{}, {{"a", {}}}}, "tensor: used before it was given a value (it is undefined)"},
  };
  for (const auto& [file, message] : cases) CHECK_THROWS_WITH_AS(encode_safetensors(file), message.c_str(), Error);
}
