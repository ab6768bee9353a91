#include "io/av.h"
#include "io/source_error.h"
#include "io/text.h"

namespace engine::av {

void Watch::check(const std::string& path) const {
  if (stop_.stop_requested()) throw Error("reading stopped on request", exit_code::kStopped);
  if (ended())
    throw SourceError(SourceFault::slow, concat(escaped(path), ": no progress for ", limit_.count(),
                                                " s; the file or its storage is too slow"));
}

}  // namespace engine::av
