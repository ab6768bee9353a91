#include "train/failure.h"

#include <new>

#include "train/checkpoints.h"

namespace engine {

void throw_with_advice(const MemoryPlan& plan, int64_t accumulate, const std::string& folder,
                       RunCheckpoints& checkpoints) {
  const auto with_plan = [&](const std::string& message) {
    return concat(message, "; the run takes ", to_text(plan), "; ", largest_tensors(plan), "; ",
                  advice(plan, accumulate));
  };
  try {
    throw;
  } catch (const Error& error) {
    if (error.code() == exit_code::kMemory || error.code() == exit_code::kDeviceMemory)
      throw Error(with_plan(error.what()), error.code());
    if (error.code() != exit_code::kNotFinite) throw;
    checkpoints.finish();
    const auto saved = checkpoints_in(folder);
    throw Error(
        concat(error.what(), "; ",
               saved.empty() ? "there is no checkpoint yet"
                             : concat("the last good checkpoint is ", saved.front().lexically_normal().string())),
        error.code());
  } catch (const std::bad_alloc&) {
    throw Error(with_plan("out of memory"), exit_code::kMemory);
  }
}

}  // namespace engine
