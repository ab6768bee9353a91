// Which part of a data set each clip goes to.
#pragma once

#include <span>
#include <vector>

#include "io/dataset.h"

namespace engine {

// The group that a name tells, for names such as UCF101's v_Diving_g01_c03: "Diving_g01"; else empty.
std::string group_in_name(const std::string& path);

// The part of every sample: a number below fractions.size(). Clips of one group (Sample::group) share a part; a clip
// without a group is one by itself. Part p gets about fractions[p] of the clips of every class, or label, as near as
// the groups allow. Groups are taken from the largest to the smallest, equal ones in an order drawn by `seed`, and each
// goes where the squared distance to the wanted counts, relative to those of each class, becomes least. The fractions
// must be positive or 0 and add up to 1.
std::vector<size_t> stratify(const Dataset& dataset, std::span<const double> fractions, uint64_t seed);

}  // namespace engine
