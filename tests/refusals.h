// Tables of faults, each with the error that it must end in.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace engine::test {

struct Refusal {
  std::function<void()> fault;
  std::string message;  // a part of it, or all
  int code;
};

inline void check_refusals(const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    CAPTURE(refusal.message);
    try {
      refusal.fault();
      FAIL_CHECK("nothing was thrown");
    } catch (const Error& error) {
      const std::string message = error.what();
      CHECK(error.code() == refusal.code);
      CHECK_MESSAGE(message.find(refusal.message) != std::string::npos, message);
      CHECK(message.find('\n') == std::string::npos);
    }
  }
}

}  // namespace engine::test
