// The tests' main: every allocation of the CPU is poisoned with NaN and guarded, and the run fails if a guard was
// damaged.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kernels/cpu/context.h"

int main(int argc, char** argv) {
  engine::cpu_context().set_checking(true);
  doctest::Context context(argc, argv);
  const int result = context.run();
  if (context.shouldExit()) return result;
  const int64_t violations = engine::cpu_context().guard_violations();
  if (violations > 0) std::printf("%lld allocations were written out of bounds\n", static_cast<long long>(violations));
  return violations > 0 ? 1 : result;
}
