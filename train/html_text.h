// Text and numbers in an HTML page that is also well-formed XML.
#pragma once

#include <string>
#include <string_view>

namespace engine {

// For text and attribute values: & < > " ' as entities, bytes that are not UTF-8 and control characters as U+FFFD.
std::string html_escaped(std::string_view text);
// data:image/png;base64,...
std::string png_uri(std::string_view png);
// "12,697,264".
std::string grouped(int64_t number);
// As "0.123" where `percent` is false, else "12.3 %"; a dash for what is not finite.
std::string fraction_text(double fraction, bool percent = true);
// Four digits: "1234", "12.34", "0.001234", "1.2e-05"; a dash for what is not finite.
std::string quantity_text(double value);
// "42 s", "3 min 05 s", "1 h 02 min"; a dash for what is not finite or negative.
std::string duration_text(double seconds);

}  // namespace engine
