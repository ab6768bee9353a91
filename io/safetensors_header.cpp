#include "io/safetensors_header.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>
#include <unordered_set>

#include "io/crc32c.h"
#include "io/safetensors.h"
#include "io/text.h"

namespace engine::safetensors {
namespace {

using nlohmann::json;

constexpr size_t kShown = 80;  // bytes of a text from the file in a message

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
  throw Error(where + ": " + why, exit_code::kCheckpoint);
}

// What the header says of one tensor. Shape and offsets are independent claims.
struct Claim {
  enum Field { kDType = 1, kShape = 2, kOffsets = 4 };
  std::string name;
  int given = 0;  // fields, added up
  DType dtype = DType::f32;
  std::array<uint64_t, Shape::kMaxRank> sizes{};
  size_t rank = 0;
  std::array<uint64_t, 2> offsets{};
  size_t offset_count = 0;
};

// The bytes of a tensor; -1 when they cannot be counted in 63 bits. Sizes of 0 count as 1 here, so that no product of
// some of the sizes (a stride) overflows either.
int64_t claimed_bytes(const Claim& claim) {
  int64_t most = size_of(claim.dtype);
  bool empty = false;
  for (size_t i = 0; i < claim.rank; ++i) {
    if (claim.sizes[i] > std::numeric_limits<int64_t>::max()) return -1;
    const auto size = static_cast<int64_t>(claim.sizes[i]);
    empty |= size == 0;
    if (__builtin_mul_overflow(most, std::max<int64_t>(size, 1), &most)) return -1;
  }
  return empty ? 0 : most;
}

// Receives the parts of the JSON text one by one, so that nothing is stored that is not wanted and nothing is nested
// deeper than the format.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  HeaderReader(std::string_view text, uint64_t data_bytes, const std::string& where)
      : text_(text), data_bytes_(data_bytes), where_(where) {}

  Header take() { return std::move(header_); }

  bool start_object(size_t) override {
    if (place_ == Place::start) return enter(Place::root);
    if (place_ == Place::root) return enter(key_ == kMetadataKey ? Place::metadata : Place::tensor);
    return misplaced(true);
  }

  bool end_object() override {
    if (place_ == Place::root) return enter(Place::end);
    if (place_ == Place::tensor) add_entry();
    return enter(Place::root);
  }

  bool start_array(size_t) override {
    if (place_ == Place::tensor && key_ == "shape") return enter(Place::shape);
    if (place_ == Place::tensor && key_ == "data_offsets") return enter(Place::offsets);
    return misplaced(true);
  }

  bool end_array() override { return enter(Place::tensor); }

  bool key(std::string& name) override {
    key_ = name;
    if (place_ == Place::root) return start_entry();
    if (place_ == Place::tensor) return start_field();
    if (header_.metadata.contains(key_)) bad(concat("metadata '", shown(key_), "' appears twice"));
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[key_] = std::move(value);
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") return misplaced();
    const auto* type = std::ranges::find(kTypes, std::string_view(value), &TypeName::name);
    if (type == kTypes.end()) bad_tensor(concat("dtype '", shown(value), "' not supported"));
    claim_.dtype = type->dtype;
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (place_ == Place::shape) {
      if (claim_.rank < claim_.sizes.size()) claim_.sizes[claim_.rank] = value;
      ++claim_.rank;
      return true;
    }
    if (place_ != Place::offsets) return misplaced();
    if (claim_.offset_count < claim_.offsets.size()) claim_.offsets[claim_.offset_count] = value;
    ++claim_.offset_count;
    return true;
  }

  bool number_integer(int64_t value) override {
    if (place_ == Place::shape) bad_tensor(concat("dimension ", value));
    if (place_ == Place::offsets) bad_tensor(concat("offset ", value));
    return misplaced();
  }

  // Also what does not fit into 64 bits; its digits, which appear once in any honest header, show where it is.
  bool number_float(double, const std::string& digits) override {
    if (digits.find_first_not_of("-0123456789") == std::string::npos)
      bad(concat("number too large at byte ", text_.find(digits)));
    return misplaced();
  }

  bool null() override { return misplaced(); }
  bool boolean(bool) override { return misplaced(); }
  bool binary(json::binary_t&) override { return misplaced(); }

  bool parse_error(size_t position, const std::string& token, const json::exception& error) override {
    constexpr int kNumberOutOfRange = 406;
    if (place_ == Place::end) bad("header JSON: extra bytes after the object");
    if (error.id == kNumberOutOfRange) bad(concat("number too large at byte ", position - token.size()));
    if (position > text_.size()) bad(concat("header JSON: unexpected end at byte ", text_.size()));
    bad(concat("header JSON: unexpected character at byte ", position - 1));
  }

 private:
  enum class Place { start, root, metadata, tensor, shape, offsets, end };

  [[noreturn]] void bad(const std::string& why) const { refuse(where_, why); }
  [[noreturn]] void bad_tensor(const std::string& why) const { bad(concat("tensor '", claim_.name, "': ", why)); }
  static std::string shown(std::string_view text) { return escaped(text, kShown); }

  bool enter(Place place) {
    place_ = place;
    return true;
  }

  // A value of a type that has no business here.
  bool misplaced(bool container = false) const {
    switch (place_) {
      case Place::metadata:
        bad(concat("metadata '", shown(key_), "' is not a string"));
      case Place::tensor:
        bad_tensor(concat("'", key_, "' is not ", key_ == "dtype" ? "a string" : "a list"));
      case Place::shape:
      case Place::offsets:
        if (container) bad("header JSON nested deeper than 3");
        bad_tensor(concat(place_ == Place::shape ? "dimension" : "offset", " is not a whole number"));
      default:
        bad(key_ == kMetadataKey ? "metadata is not an object" : concat("tensor '", claim_.name, "' is not an object"));
    }
  }

  bool start_entry() {
    if (key_.size() > kMaxName) bad(concat("tensor name longer than ", kMaxName));
    if (const std::string safe = escaped(key_); safe != key_)
      bad(concat("tensor name has a control character (escaped: ", safe, ")"));
    if (!names_.insert(key_).second) bad(concat("tensor '", key_, "' appears twice"));
    claim_ = {};
    claim_.name = key_;
    return true;
  }

  bool start_field() {
    const int field = key_ == "dtype"          ? Claim::kDType
                      : key_ == "shape"        ? Claim::kShape
                      : key_ == "data_offsets" ? Claim::kOffsets
                                               : 0;
    if (field == 0) bad_tensor(concat("unknown field '", shown(key_), "'"));
    if (claim_.given & field) bad_tensor(concat("'", key_, "' given twice"));
    claim_.given |= field;
    return true;
  }

  // A tensor's claims are complete: they must agree with each other and with the size of the data.
  void add_entry() {
    if (header_.entries.size() == kMaxTensors) bad(concat("too many tensors (more than ", kMaxTensors, ")"));
    if (!(claim_.given & Claim::kDType)) bad_tensor("no 'dtype'");
    if (!(claim_.given & Claim::kShape)) bad_tensor("no 'shape'");
    if (!(claim_.given & Claim::kOffsets)) bad_tensor("no 'data_offsets'");
    if (claim_.rank > claim_.sizes.size()) bad_tensor(concat("rank ", claim_.rank, " exceeds ", Shape::kMaxRank));
    if (claim_.offset_count != 2) bad_tensor("data_offsets needs 2 numbers");
    const auto [begin, end] = claim_.offsets;
    if (end < begin) bad_tensor(concat("offsets [", begin, ",", end, "] run backwards"));
    const int64_t bytes = claimed_bytes(claim_);
    const std::span sizes(claim_.sizes.data(), claim_.rank);
    if (bytes < 0) bad_tensor(concat("shape ", sizes_text(sizes), " overflows"));
    const Shape shape(sizes.begin(), sizes.end());
    if (end - begin != static_cast<uint64_t>(bytes))
      bad_tensor(concat(end - begin, " bytes for shape ", describe(shape, claim_.dtype), " (needs ", bytes, ")"));
    if (end > data_bytes_) bad_tensor(concat("ends at ", end, ", data has ", data_bytes_));
    header_.entries.push_back({claim_.name, claim_.dtype, shape, begin, end});
  }

  std::string_view text_;
  uint64_t data_bytes_;
  const std::string& where_;
  Place place_ = Place::start;
  std::string key_;
  Claim claim_;
  std::unordered_set<std::string> names_;
  Header header_;
};

// Puts the entries into the order of the data, of which every byte must belong to exactly one.
void check_coverage(std::vector<Entry>& entries, uint64_t data_bytes, const std::string& where) {
  std::ranges::sort(entries, {}, [](const Entry& entry) { return std::tie(entry.begin, entry.end, entry.name); });
  uint64_t end = 0;
  const std::string* previous = nullptr;
  for (const Entry& entry : entries) {
    if (entry.begin < end)
      refuse(where, concat("tensors '", *previous, "' and '", entry.name, "' overlap at byte ", entry.begin));
    if (entry.begin > end) refuse(where, concat("hole of ", entry.begin - end, " bytes before '", entry.name, "'"));
    end = entry.end;
    previous = &entry.name;
  }
  if (end < data_bytes) refuse(where, concat(data_bytes - end, " bytes after the last tensor"));
}

uint32_t parse_checksum(std::string_view digits, const std::string& where) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != kZeroChecksum.size() || error != std::errc() || checksum_text(value) != digits)
    refuse(where, concat("checksum '", escaped(digits, kShown), "' is not eight hexadecimal digits"));
  return value;
}

void check_header_checksum(const Header& header, std::string_view text, const std::string& where) {
  const auto found = header.metadata.find(std::string(kHeaderChecksum));
  if (found == header.metadata.end()) refuse(where, concat("metadata has no '", kHeaderChecksum, "'"));
  const uint32_t expected = parse_checksum(found->second, where);
  const size_t at = find_header_checksum(text);
  if (at == std::string_view::npos)
    refuse(where, concat("header was written by another program, which should have dropped metadata '",
                         kTensorChecksums, "' and '", kHeaderChecksum, "'"));
  const uint32_t actual = header_checksum(text, at);
  if (actual != expected)
    refuse(where, concat("header damaged (crc32c ", checksum_text(actual), " expected ", found->second, ")"));
}

// A file has both kinds of checksum or none.
void take_checksums(Header& header, std::string_view text, const std::string& where) {
  const auto list = header.metadata.find(std::string(kTensorChecksums));
  if (list == header.metadata.end() && !header.metadata.contains(std::string(kHeaderChecksum))) return;
  check_header_checksum(header, text, where);
  if (list == header.metadata.end()) refuse(where, concat("metadata has no '", kTensorChecksums, "'"));
  const std::string_view values = list->second;
  constexpr size_t kStep = kZeroChecksum.size() + 1;
  if ((values.size() + 1) != header.entries.size() * kStep)
    refuse(where, concat("metadata '", kTensorChecksums, "' does not have one checksum for each of ",
                         header.entries.size(), " tensors"));
  for (size_t i = 0; i < header.entries.size(); ++i)
    header.checksums.push_back(parse_checksum(values.substr(i * kStep, kZeroChecksum.size()), where));
  header.metadata.erase(list);
  header.metadata.erase(std::string(kHeaderChecksum));
}

}  // namespace

Header parse_header(std::string_view text, uint64_t data_bytes, const std::string& where) {
  if (const size_t at = find_invalid_utf8(text); at != std::string_view::npos)
    refuse(where, concat("header is not UTF-8 at byte ", at));
  if (!text.starts_with('{')) refuse(where, "header does not start with '{'");
  HeaderReader reader(text, data_bytes, where);
  json::sax_parse(text, &reader);
  if (text[text.find_last_not_of(' ')] != '}') refuse(where, "header JSON: extra bytes after the object");
  Header header = reader.take();
  take_checksums(header, text, where);
  check_coverage(header.entries, data_bytes, where);
  return header;
}

std::string checksum_text(uint32_t checksum) {
  std::string digits(kZeroChecksum);
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, checksum >>= 4)
    *digit = "0123456789abcdef"[checksum & 15];
  return digits;
}

uint32_t header_checksum(std::string_view text, size_t at) {
  const uint32_t start = crc32c(kZeroChecksum, crc32c(text.substr(0, at)));
  return crc32c(text.substr(at + kZeroChecksum.size()), start);
}

// Quotes inside a JSON string are escaped, so that only the key itself can look like this. It is never the first key:
// kTensorChecksums comes before it.
size_t find_header_checksum(std::string_view text) {
  const std::string key = concat(",\"", kHeaderChecksum, "\":\"");
  const size_t at = text.find(key);
  return at == std::string_view::npos ? at : at + key.size();
}

}  // namespace engine::safetensors
