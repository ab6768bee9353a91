#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "train/schedule.h"

using engine::learning_rate;
using engine::Schedule;
using engine::ScheduleKind;

TEST_CASE("schedule: the warm-up rises along a line to the peak") {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::step}) {
    const Schedule schedule{.kind = kind, .peak = 0.8, .warmup_steps = 4, .total_steps = 100, .drop_every = 10};
    CHECK(learning_rate(schedule, 0) == doctest::Approx(0.2));
    CHECK(learning_rate(schedule, 1) == doctest::Approx(0.4));
    CHECK(learning_rate(schedule, 3) == doctest::Approx(0.8));
    CHECK(learning_rate(schedule, 4) == doctest::Approx(0.8));
  }
}

TEST_CASE("schedule: constant stays, cosine falls from peak to floor and stays there") {
  const Schedule constant{.kind = ScheduleKind::constant, .peak = 0.5, .total_steps = 10};
  CHECK(learning_rate(constant, 1000) == 0.5);

  const Schedule cosine{
      .kind = ScheduleKind::cosine, .peak = 2.0, .floor = 0.25, .warmup_steps = 10, .total_steps = 30};
  CHECK(learning_rate(cosine, 10) == doctest::Approx(2.0));
  CHECK(learning_rate(cosine, 20) == doctest::Approx(2.0 * (0.25 + 0.75 * 0.5)));
  CHECK(learning_rate(cosine, 30) == doctest::Approx(0.5));
  CHECK(learning_rate(cosine, 31) == doctest::Approx(0.5));
  for (int64_t step = 10; step < 30; ++step) CHECK(learning_rate(cosine, step + 1) < learning_rate(cosine, step));
}

TEST_CASE("schedule: step multiplies at every drop, counted from the end of the warm-up") {
  const Schedule schedule{.kind = ScheduleKind::step,
                          .peak = 1.0,
                          .warmup_steps = 3,
                          .total_steps = 100,
                          .drop_every = 5,
                          .drop_factor = 0.1};
  CHECK(learning_rate(schedule, 7) == doctest::Approx(1.0));
  CHECK(learning_rate(schedule, 8) == doctest::Approx(0.1));
  CHECK(learning_rate(schedule, 12) == doctest::Approx(0.1));
  CHECK(learning_rate(schedule, 13) == doctest::Approx(0.01));
}

TEST_CASE("schedule: a warm-up as long as the run or longer leaves no division by zero") {
  const Schedule schedule{.kind = ScheduleKind::cosine, .peak = 1.0, .warmup_steps = 5, .total_steps = 5};
  CHECK(learning_rate(schedule, 4) == doctest::Approx(1.0));
  CHECK(learning_rate(schedule, 5) == doctest::Approx(1.0));
  CHECK(learning_rate(schedule, 6) == doctest::Approx(0.0));
}

TEST_CASE("schedule: multistep multiplies at its milestones, plateau does not move by itself") {
  const Schedule schedule{.kind = ScheduleKind::multistep, .peak = 2.0, .drop_factor = 0.3, .milestones = {4, 5, 11}};
  CHECK(learning_rate(schedule, 3) == doctest::Approx(2.0));
  CHECK(learning_rate(schedule, 4) == doctest::Approx(0.6));
  CHECK(learning_rate(schedule, 5) == doctest::Approx(0.18));
  CHECK(learning_rate(schedule, 10) == doctest::Approx(0.18));
  CHECK(learning_rate(schedule, 11) == doctest::Approx(0.054));
  const Schedule plateau{.kind = ScheduleKind::plateau, .peak = 0.7, .warmup_steps = 2, .total_steps = 4};
  CHECK(learning_rate(plateau, 0) == doctest::Approx(0.35));
  CHECK(learning_rate(plateau, 400) == 0.7);
}

TEST_CASE("schedule: a plateau's factor follows the losses") {
  Schedule schedule{.kind = ScheduleKind::plateau, .drop_factor = 0.5, .plateau_patience = 2};
  const auto factor = [&](const std::vector<double>& losses) { return engine::plateau_factor(schedule, losses); };
  CHECK(factor({}) == 1);
  CHECK(factor({3, 2, 1, 1.5, 1}) == 1);             // two that are not lower are borne
  CHECK(factor({3, 2, 1, 1.5, 1, 0.99995}) == 0.5);  // lower by too little
  CHECK(factor({3, 2, 1, 1.5, 1, 0.9}) == 1);
  CHECK(factor({1, 2, 2, 2, 2, 2}) == 0.5);
  CHECK(factor({1, 2, 2, 2, 2, 2, 2}) == 0.25);
  CHECK(factor({1, NAN, NAN, NAN}) == 0.5);
  schedule.plateau_patience = 0;
  CHECK(factor({1, 2, 0.5, 2, 2}) == 0.125);
  schedule.kind = ScheduleKind::constant;
  CHECK(factor({1, 2, 2, 2, 2, 2}) == 1);
}
