// Flat figures and patterns as signed distance functions, for drawing synthetic video.
#pragma once

namespace engine {

// Every figure fits the unit disc and nearly fills it. Those from `arrow` on have no rotational symmetry, so each of
// their angles looks different.
enum class FigureKind {
  disc,
  ring,
  square,
  triangle,
  star,
  cross,
  arrow,
  bolt,
  boot,
  crescent,
  flag,
  heart,
  house,
  kite
};

// Distance from (x, y) to the outline, negative inside; exact for polygons, a bound near the outline for the others.
float distance_to(FigureKind figure, float x, float y);

// Two inks; all but `halves` (one on each side of the x axis) repeat. Bars stand, blinds lie, slopes rise at 45
// degrees.
enum class Pattern { bars, blinds, bricks, checks, crosses, diamonds, discs, rings, slopes, waves, halves };

// Distance to the border between the inks, good near it; negative in the first ink. `period` is in the units of x and
// y; each pattern repeats after it, after a fixed multiple of it, or both.
float distance_to(Pattern pattern, float x, float y, float period);

}  // namespace engine
