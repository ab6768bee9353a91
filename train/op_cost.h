// What the passes of ops compute and move at least: every operand is read once and every result is written once,
// whatever a kernel keeps beside them (statistics, masks, gates).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace engine {

// In bytes; 0 for what is not there.
using Sizes = std::span<const int64_t>;

// Of a backward pass, from what the op's forward pass computes (OpPass::flop): as much for each gradient of the two
// factors of a product that is wanted, and twice as much for attention, whose two products have four.
double backward_flop(std::string_view op, double forward_flop, Sizes gradients);

double forward_bytes(Sizes inputs, Sizes outputs);
// `arrived`: gradients of the outputs; `gradients`: of the inputs; `inputs`: of the forward pass, of which those are
// read that the derivative depends on. A gradient that is handed on as it arrived is not moved.
double backward_bytes(std::string_view op, Sizes inputs, Sizes arrived, Sizes gradients);

}  // namespace engine
