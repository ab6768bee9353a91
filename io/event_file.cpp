#include "io/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <concepts>
#include <limits>
#include <system_error>
#include <vector>

#include "engine/tensor.h"
#include "io/crc32c.h"
#include "io/text.h"

namespace engine {
namespace {

constexpr int kBuckets = 30;

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::bit_cast<std::array<char, sizeof(T)>>(value);
  return {bytes.begin(), bytes.end()};
}

// A message in the making: fields in the order in which they are added. Wire types: 0 varint, 1 eight bytes, 2 length
// and bytes, 5 four bytes (protobuf.dev/programming-guides/encoding).
class Message {
 public:
  // The same functions would take numbers and texts of any type; each field has one.
  template <std::same_as<double> T>
  Message& add(int field, T value) {
    return key(field, 1).raw(little_endian(value));
  }
  template <std::same_as<float> T>
  Message& add(int field, T value) {
    return key(field, 5).raw(little_endian(value));
  }
  template <std::same_as<int64_t> T>
  Message& add(int field, T value) {
    return key(field, 0).varint(static_cast<uint64_t>(value));
  }
  Message& add(int field, std::string_view bytes) { return key(field, 2).varint(bytes.size()).raw(bytes); }
  Message& add(int field, const Message& message) { return add(field, std::string_view(message.bytes_)); }
  Message& add(int field, std::span<const double> values) {
    return add(field, std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
  }
  std::string bytes() const { return bytes_; }

 private:
  Message& key(int field, unsigned wire_type) { return varint(static_cast<uint64_t>(field) << 3 | wire_type); }
  Message& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
    return *this;
  }
  Message& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }

  std::string bytes_;
};

std::string event_of(double wall_time, int64_t step, const Message& value) {
  return Message().add(1, wall_time).add(2, step).add(5, Message().add(1, value)).bytes();
}

Message named(std::string_view tag) { return Message().add(1, tag); }

uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8; }

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string host() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace

std::string scalar_event(double wall_time, int64_t step, std::string_view tag, double value) {
  return event_of(wall_time, step, named(tag).add(2, static_cast<float>(value)));
}

std::string histogram_event(double wall_time, int64_t step, std::string_view tag, std::span<const float> values) {
  double low = std::numeric_limits<double>::infinity(), high = -low, count = 0, sum = 0, squares = 0;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const double x = value;
    low = std::min(low, x);
    high = std::max(high, x);
    count += 1;
    sum += x;
    squares += x * x;
  }
  if (count == 0) low = high = 0;
  const double width = (high - low) / kBuckets;
  std::vector<double> limits(kBuckets), counts(kBuckets);
  for (int i = 0; i < kBuckets; ++i) limits[static_cast<size_t>(i)] = i + 1 < kBuckets ? low + (i + 1) * width : high;
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    const double place = width > 0 ? (static_cast<double>(value) - low) / width : 0;
    counts[static_cast<size_t>(std::min(place, kBuckets - 1.0))] += 1;
  }
  const Message histogram = Message()
                                .add(1, low)
                                .add(2, high)
                                .add(3, count)
                                .add(4, sum)
                                .add(5, squares)
                                .add(6, std::span<const double>(limits))
                                .add(7, std::span<const double>(counts));
  return event_of(wall_time, step, named(tag).add(5, histogram));
}

std::string image_event(double wall_time, int64_t step, std::string_view tag, FrameSize size, std::string_view png) {
  constexpr int64_t kRgb = 3;
  const Message image = Message().add(1, int64_t{size.height}).add(2, int64_t{size.width}).add(3, kRgb).add(4, png);
  return event_of(wall_time, step, named(tag).add(4, image));
}

std::string text_event(double wall_time, int64_t step, std::string_view tag, std::string_view text) {
  constexpr int64_t kString = 7;
  const Message shape = Message().add(2, Message().add(1, int64_t{1}));
  const Message tensor = Message().add(1, kString).add(2, shape).add(8, text);
  const Message plugin = Message().add(1, Message().add(1, std::string_view("text")));
  return event_of(wall_time, step, named(tag).add(8, tensor).add(9, plugin));
}

std::string first_event(double wall_time) {
  return Message().add(1, wall_time).add(3, std::string_view("brain.Event:2")).bytes();
}

std::string event_record(std::string_view event) {
  const std::string length = little_endian(uint64_t{event.size()});
  return concat(length, little_endian(masked_crc(length)), event, little_endian(masked_crc(event)));
}

EventFile::EventFile(const std::string& folder) {
  static std::atomic<int> made = 0;
  const double time = now();
  path_ =
      concat(folder, "/events.out.tfevents.", static_cast<int64_t>(time), ".", host(), ".", ::getpid(), ".", made++);
  if (!file_.open(retry([&] { return ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); })))
    throw Error(concat("cannot write '", escaped(path_), "': ", std::generic_category().message(errno)),
                exit_code::kStorage);
  append(first_event(time));
}

void EventFile::append(std::string_view event) {
  const std::string record = event_record(event);
  size_t done = 0;
  while (done < record.size()) {
    const ssize_t count = retry([&] { return ::write(file_.get(), record.data() + done, record.size() - done); });
    if (count <= 0) {
      const std::string reason = std::generic_category().message(errno);
      // Half a record would end the file for its readers, whatever comes behind it.
      if (::ftruncate(file_.get(), bytes_) == 0) ::lseek(file_.get(), bytes_, SEEK_SET);
      throw Error(concat("cannot write '", escaped(path_), "': ", reason), exit_code::kStorage);
    }
    done += static_cast<size_t>(count);
  }
  bytes_ += static_cast<int64_t>(done);
}

void EventFile::scalar(int64_t step, std::string_view tag, double value) {
  append(scalar_event(now(), step, tag, value));
}
void EventFile::histogram(int64_t step, std::string_view tag, std::span<const float> values) {
  append(histogram_event(now(), step, tag, values));
}
void EventFile::image(int64_t step, std::string_view tag, FrameSize size, std::string_view png) {
  append(image_event(now(), step, tag, size, png));
}
void EventFile::text(int64_t step, std::string_view tag, std::string_view text) {
  append(text_event(now(), step, tag, text));
}

}  // namespace engine
