#include "train/html_text.h"

#include <fmt/format.h>

#include <cmath>

#include "io/text.h"

namespace engine {
namespace {

constexpr const char* kDash = "\u2013";

}  // namespace

std::string html_escaped(std::string_view text) {
  constexpr const char* kUnknown = "\uFFFD";
  std::string result;
  while (!text.empty()) {
    const size_t valid = std::min(find_invalid_utf8(text), text.size());
    for (const char each : text.substr(0, valid)) {
      switch (each) {
        case '&':
          result += "&amp;";
          break;
        case '<':
          result += "&lt;";
          break;
        case '>':
          result += "&gt;";
          break;
        case '"':
          result += "&quot;";
          break;
        case '\'':
          result += "&#39;";
          break;
        case '\n':
        case '\t':
          result += each;
          break;
        default:
          if (static_cast<unsigned char>(each) < 0x20 || each == 0x7f)
            result += kUnknown;
          else
            result += each;
      }
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    result += kUnknown;
    text.remove_prefix(1);
  }
  return result;
}

std::string png_uri(std::string_view png) {
  constexpr const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text = "data:image/png;base64,";
  for (size_t i = 0; i < png.size(); i += 3) {
    const auto byte = [&](size_t at) { return at < png.size() ? static_cast<unsigned char>(png[at]) : 0U; };
    const unsigned bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (size_t k = 0; k < 4; ++k) text += i + k > png.size() ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
  }
  return text;
}

std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t place = std::ssize(text) - 3; place > (number < 0 ? 1 : 0); place -= 3)
    text.insert(static_cast<size_t>(place), 1, ',');
  return text;
}

std::string fraction_text(double fraction, bool percent) {
  if (!std::isfinite(fraction)) return kDash;
  return percent ? fmt::format("{:.1f} %", 100 * fraction) : fmt::format("{:.3f}", fraction);
}

std::string quantity_text(double value) { return std::isfinite(value) ? fmt::format("{:.4g}", value) : kDash; }

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return kDash;
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace engine
