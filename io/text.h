// Text of strangers: is it UTF-8, and how to show it.
#pragma once

#include <string>
#include <string_view>

namespace engine {

// The position of the first byte that is not valid UTF-8 (RFC 3629); npos when all of it is.
size_t find_invalid_utf8(std::string_view text);

// For messages: control characters as \u001b and bytes that are not UTF-8 as \xff, so that a name from a file can
// neither forge a line of a log nor steer a terminal. Everything else stays. Cut, with "...", after `limit` bytes of
// input.
std::string escaped(std::string_view text, size_t limit = 4096);

}  // namespace engine
