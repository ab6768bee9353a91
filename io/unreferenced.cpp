#include "io/unreferenced.h"

#include <algorithm>

#include "io/nal_units.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

namespace engine::av {
namespace {

constexpr int8_t kNeeded = -1;

// What one unit says of its packet: the sub-layer of an unreferenced picture, that it does not matter, or kNeeded.
constexpr int8_t kNoMatter = -2;

int8_t look_at_h264(std::span<const uint8_t> unit) {
  constexpr int kSlice = 1, kSupplement = 6, kDelimiter = 9, kFiller = 12;
  const int type = unit[0] & 31, reference = unit[0] >> 5 & 3;
  if (type == kSlice && reference == 0) return 0;
  return type == kSupplement || type == kDelimiter || type == kFiller ? kNoMatter : kNeeded;
}

int8_t look_at_hevc(std::span<const uint8_t> unit) {
  constexpr int kLastNamed = 9;  // RASL_R; unreferenced types are the even ones up to there
  constexpr int kDelimiter = 35, kFiller = 38, kSupplement = 39, kSupplementAfter = 40;
  if (unit.size() < 2) return kNeeded;
  const int type = unit[0] >> 1 & 63, layer = (unit[0] & 1) << 5 | unit[1] >> 3, temporal = (unit[1] & 7) - 1;
  if (layer > 0) return kNeeded;
  if (type <= kLastNamed && type % 2 == 0) return static_cast<int8_t>(std::max(temporal, 0));
  return type == kDelimiter || type == kFiller || type == kSupplement || type == kSupplementAfter ? kNoMatter : kNeeded;
}

int temporal_layer(std::span<const uint8_t> unit) { return unit.size() < 2 ? 0 : std::max((unit[1] & 7) - 1, 0); }

}  // namespace

UnreferencedPictures::UnreferencedPictures(const AVCodecParameters& parameters, std::string_view container) {
  if (!container.starts_with("mov") && !container.starts_with("matroska")) return;
  const uint8_t* const extradata = parameters.extradata;
  if (parameters.codec_id == AV_CODEC_ID_H264 && parameters.extradata_size > 4 && extradata[0] == 1) {
    codec_ = Codec::h264;  // an avcC record, ISO/IEC 14496-15
    length_bytes_ = (extradata[4] & 3) + 1;
  }
  if (parameters.codec_id == AV_CODEC_ID_HEVC && parameters.extradata_size > 22 && extradata[0] == 1) {
    codec_ = Codec::hevc;  // an hvcC record, as above
    length_bytes_ = (extradata[21] & 3) + 1;
  }
}

void UnreferencedPictures::add(std::span<const uint8_t> packet) {
  int8_t found = kNoMatter;
  while (codec_ != Codec::other && !packet.empty() && found != kNeeded) {
    const auto unit = next_unit(packet, length_bytes_);
    if (codec_ == Codec::hevc) highest_layer_ = std::max(highest_layer_, temporal_layer(unit));
    const int8_t said = unit.empty() ? kNeeded : codec_ == Codec::h264 ? look_at_h264(unit) : look_at_hevc(unit);
    if (said != kNoMatter) found = said == kNeeded || found == kNoMatter || found == said ? said : kNeeded;
  }
  layers_.push_back(found == kNoMatter ? kNeeded : found);
}

std::vector<bool> UnreferencedPictures::found() const {
  std::vector<bool> result;
  for (const int8_t layer : layers_) result.push_back(layer == highest_layer_);
  return result;
}

}  // namespace engine::av
