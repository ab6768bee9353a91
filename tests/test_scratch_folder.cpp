#include <doctest/doctest.h>
#include <stdlib.h>

#include <fstream>
#include <optional>

#include "io/scratch_folder.h"
#include "tests/temporary_folder.h"

namespace engine {
namespace {

// TMPDIR for as long as it is alive.
class TemporaryPlace {
 public:
  explicit TemporaryPlace(const std::string& place) {
    if (const char* was = std::getenv("TMPDIR")) before_ = was;
    setenv("TMPDIR", place.c_str(), 1);
  }
  ~TemporaryPlace() { before_ ? setenv("TMPDIR", before_->c_str(), 1) : unsetenv("TMPDIR"); }

 private:
  std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("scratch folder: new, where TMPDIR says, and gone with what is in it") {
  const TemporaryFolder outer;
  const TemporaryPlace place(outer.path());
  {
    const ScratchFolder a, b;
    CHECK(a.path() != b.path());
    CHECK(a.path().parent_path() == outer.path());
    std::ofstream(a / "file") << "x";
    CHECK(outer.names().size() == 2);
  }
  CHECK(outer.names().empty());
}

TEST_CASE("scratch folder: a place that is not there is told") {
  const TemporaryFolder outer;
  const TemporaryPlace place(outer / "nowhere");
  try {
    const ScratchFolder folder;
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kStorage);
    CHECK(error.what() ==
          std::string("no folder for temporary files can be made; set TMPDIR to a place that can be written to"));
  }
}

}  // namespace engine
