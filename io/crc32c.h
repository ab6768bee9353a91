// CRC-32C (Castagnoli polynomial; RFC 3720, section 12.1): the checksum of checkpoints and event files.
#pragma once

#include <cstdint>
#include <string_view>

namespace engine {

// The checksum of `bytes`, or of everything that `previous` is the checksum of followed by `bytes`.
uint32_t crc32c(std::string_view bytes, uint32_t previous = 0);

// The same number from a table: for processors without the instruction that crc32c() uses, and its oracle.
uint32_t crc32c_portable(std::string_view bytes, uint32_t previous = 0);

}  // namespace engine
