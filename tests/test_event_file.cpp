#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include "engine/tensor.h"
#include "io/crc32c.h"
#include "io/event_file.h"
#include "tests/program_run.h"

using program_run::read_text;

namespace engine {
namespace {

std::string from_hex(std::string hex) {
  std::erase(hex, ' ');
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// The events of a file; fails where a length or a checksum is wrong or bytes are left over.
std::vector<std::string> events_of(const std::string& bytes) {
  std::vector<std::string> events;
  const auto masked = [](std::string_view text) {
    const uint32_t crc = crc32c_portable(text);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
  };
  const auto number = [&](size_t place) {
    uint32_t value = 0;
    REQUIRE(place + 4 <= bytes.size());
    std::memcpy(&value, bytes.data() + place, 4);
    return value;
  };
  for (size_t place = 0; place < bytes.size();) {
    uint64_t length = 0;
    REQUIRE(place + 16 <= bytes.size());
    std::memcpy(&length, bytes.data() + place, 8);
    REQUIRE(length <= bytes.size() - place - 16);
    CHECK(number(place + 8) == masked(bytes.substr(place, 8)));
    events.push_back(bytes.substr(place + 12, length));
    CHECK(number(place + 12 + length) == masked(events.back()));
    place += 16 + length;
  }
  return events;
}

}  // namespace

// The bytes were made by hand from the definitions and decoded with protoc and TensorBoard's own .proto files.
TEST_CASE("event file: the bytes of the first record, of a scalar, an image, a histogram and a text") {
  CHECK(event_record(first_event(1.0)) ==
        from_hex("1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a"));
  CHECK(event_record(scalar_event(2.0, 7, "loss", 0.5)) ==
        from_hex("1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f7373150000003fc33fc24a"));
  CHECK(scalar_event(2.0, 300, "a", -1.0) == from_hex("090000000000000040 10ac02 2a0a 0a08 0a0161 15000080bf"));
  CHECK(image_event(2.0, 7, "im", {.width = 200, .height = 3}, "PNG") ==
        from_hex("090000000000000040 1007 2a14 0a12 0a02696d 220c 0803 10c801 1803 2203504e47"));
  CHECK(text_event(2.0, 7, "t", "hi") ==
        from_hex("090000000000000040 1007 2a1d 0a1b 0a0174 420c 0807 1204 1202 0801 42026869 4a08 0a06 0a0474657874"));
}

TEST_CASE("event file: a histogram counts what is finite, each value in the bucket that it lies in") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values{-1.0f, 0.05f, kNan, 0.96f, 2.0f, kInfinity, 2.0f};
  const std::string event = histogram_event(1.0, 2, "h", values);
  // wall time 9, step 2, summary and value 3 + 3 bytes of key and length, tag 3, key and length 3; then doubles
  std::vector<double> numbers;
  size_t place = 9 + 2 + 3 + 3 + 3 + 3;
  const auto next = [&] {
    double value = 0;
    std::memcpy(&value, event.data() + place, 8);
    place += 8;
    return value;
  };
  for (int field = 1; field <= 5; ++field) {
    CHECK(event[place++] == static_cast<char>(field << 3 | 1));
    numbers.push_back(next());
  }
  CHECK(numbers[0] == -1);
  CHECK(numbers[1] == 2);
  CHECK(numbers[2] == 5);
  CHECK(numbers[3] == doctest::Approx(4.01));
  CHECK(numbers[4] == doctest::Approx(1 + 0.0025 + 0.9216 + 8));
  for (const int field : {6, 7}) {
    CHECK(event[place++] == static_cast<char>(field << 3 | 2));
    place += 2;  // 240, as a varint
    for (int i = 0; i < 30; ++i) {
      const double value = next();
      if (field == 6) CHECK(value == doctest::Approx(-1 + 0.1 * (i + 1)));
      if (field == 7) CHECK(value == (i == 0 || i == 10 || i == 19 ? 1 : i == 29 ? 2 : 0));
    }
  }
  CHECK(place == event.size());
  const std::vector<float> none{kNan}, same{3.0f, 3.0f};
  CHECK(histogram_event(1.0, 2, "h", none).size() == event.size());
  CHECK(histogram_event(1.0, 2, "h", same).size() == event.size());
}

TEST_CASE("event file: records are appended whole, to a file of its own name") {
  const TemporaryFolder folder;
  EventFile one(folder.path()), two(folder.path());
  CHECK(one.path() != two.path());
  CHECK(std::filesystem::path(one.path()).filename().string().starts_with("events.out.tfevents."));
  one.scalar(3, "loss", 0.25);
  one.text(3, "config", std::string(300, 'x'));
  one.histogram(4, "w", std::vector<float>{1, 2, 3});
  one.image(4, "picture", {.width = 2, .height = 1}, "not read here");
  const auto events = events_of(read_text(one.path()));
  REQUIRE(events.size() == 5);
  CHECK(events[0].ends_with("brain.Event:2"));
  CHECK(events[1].substr(9) == scalar_event(0, 3, "loss", 0.25).substr(9));
  CHECK(events_of(read_text(two.path())).size() == 1);
}

TEST_CASE("event file: what cannot be written is refused, and no part of it stays") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(EventFile(folder.path() + "/missing"), doctest::Contains("No such file or directory"), Error);
  EventFile file(folder.path());
  file.scalar(1, "loss", 1.5);
  const std::string before = read_text(file.path());
  struct rlimit old {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit low { .rlim_cur = before.size() + 20, .rlim_max = old.rlim_max };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
  std::string message;
  try {
    file.text(2, "long", std::string(500, 'x'));
  } catch (const Error& error) {
    message = error.what();
    CHECK(error.code() == exit_code::kStorage);
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(message.find("File too large") != std::string::npos);
  CHECK(read_text(file.path()) == before);
  file.scalar(3, "loss", 1.25);
  CHECK(events_of(read_text(file.path())).size() == 3);
}

}  // namespace engine
