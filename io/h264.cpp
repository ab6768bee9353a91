#include "io/h264.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "io/nal_units.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace engine::av {

namespace {

using Bytes = std::span<const uint8_t>;

// Up to this build x264 coded 4:4:4 in a way of its own. Decoders go by its name, which only the first packet carries.
constexpr int kLastOldBuild = 150;
constexpr int kHigh444Predictive = 244;  // profile_idc, ITU-T H.264, A.2

bool is_from_old_x264(Bytes packet) {
  constexpr std::string_view kName = "x264 - core ";
  const std::string_view data(reinterpret_cast<const char*>(packet.data()), packet.size());
  const size_t at = data.find(kName);
  int build = 0;
  return at != data.npos &&
         std::from_chars(data.data() + at + kName.size(), data.data() + data.size(), build).ec == std::errc() &&
         build <= kLastOldBuild;
}

// The two unsigned Exp-Golomb numbers that a slice starts with (ITU-T H.264, 7.3.3) are first_mb_in_slice and
// slice_type.
std::optional<uint32_t> slice_type(Bytes slice) {
  size_t bit = 8;  // behind the unit's header
  const auto take = [&] { return bit / 8 < slice.size() ? slice[bit / 8] >> (7 - bit % 8) & 1 : 1; };
  uint32_t value = 0;
  for (int number = 0; number < 2; ++number) {
    int zeros = 0;
    for (; !take(); ++bit)
      if (++zeros > 24) return std::nullopt;
    value = 0;
    for (int i = 0; i <= zeros; ++i, ++bit) value = value << 1 | static_cast<uint32_t>(take());
    --value;
  }
  return value;
}

}  // namespace

H264Entries::H264Entries(const AVCodecParameters& parameters) : is_444_(parameters.profile == kHigh444Predictive) {
  constexpr uint8_t kConfigurationVersion = 1;  // of an avcC record, ISO/IEC 14496-15
  if (parameters.extradata_size > 4 && parameters.extradata[0] == kConfigurationVersion)
    length_bytes_ = (parameters.extradata[4] & 3) + 1;
}

bool H264Entries::is_entry(Bytes packet, bool first) {
  if (first) {
    only_first_ = is_444_ && is_from_old_x264(packet);
    return true;
  }
  if (only_first_) return false;
  constexpr int kSlice = 1, kPartition = 2, kInstantRefresh = 5;
  for (Bytes unit = next_unit(packet, length_bytes_); !packet.empty() || !unit.empty();
       unit = next_unit(packet, length_bytes_)) {
    const int type = unit.empty() ? 0 : unit[0] & 31;
    if (type == kInstantRefresh) return true;
    if (type == kSlice || type == kPartition) {
      constexpr uint32_t kIntra = 2;  // and 7, where all slices of the picture are
      const auto slice = slice_type(unit);
      return slice && *slice % 5 == kIntra;
    }
  }
  return false;
}

}  // namespace engine::av
