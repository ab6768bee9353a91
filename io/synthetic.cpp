#include "io/synthetic.h"

#include <algorithm>
#include <array>
#include <numbers>
#include <optional>

#include "io/canvas.h"

namespace engine {

namespace {

using namespace std::string_view_literals;

constexpr std::array kScenes{"bars"sv,     "blinds"sv, "bricks"sv, "checks"sv, "crosses"sv,
                             "diamonds"sv, "discs"sv,  "rings"sv,  "slopes"sv, "waves"sv};
constexpr std::array kMotions{"bounce"sv, "clockwise"sv, "counterclockwise"sv, "down"sv, "grow"sv,
                              "left"sv,   "right"sv,     "shrink"sv,           "up"sv,   "zigzag"sv};
enum Motion { bounce, clockwise, counterclockwise, down, grow, left, right, shrink, up, zigzag };

constexpr std::array kSpeeds{"speed"sv};
constexpr double kSlowest = 0.01, kFastest = 0.07;  // widths of the picture a frame

constexpr float kTurn = 2.0f * std::numbers::pi_v<float>;

// What is drawn at random, each with draws of its own; frames take kFrames, kFrames + 1, ...
enum Draws : uint32_t { kStart, kPath, kLook, kClutter, kFrames };

Random random_of(const SyntheticId& id, uint32_t draws) {
  const uint64_t stream = static_cast<uint64_t>(id.kind) << 56 | static_cast<uint64_t>(id.set) << 48 |
                          static_cast<uint64_t>(id.label) << 32 | id.number;
  return Random(id.seed, stream, draws);
}

float uniform(Random& random, double low, double high) { return static_cast<float>(random.uniform(low, high)); }

double wrapped(double x) { return x - std::floor(x); }

// Patches of patterns that drift, not an object that moves.
bool is_still(SyntheticKind kind) { return kind == SyntheticKind::scenes || kind == SyntheticKind::pairs; }

// Something drawn in every frame. `second` colours the other ink of a pattern, or the front half of a moving object.
struct Sprite {
  FigureKind figure = FigureKind::disc;
  std::optional<Pattern> pattern;
  float period = 1;  // of the pattern, px
  Color ink, second;
  Placement start;
  float dx = 0, dy = 0, spin = 0;  // per frame
};

void draw_sprite(Canvas& canvas, const Sprite& sprite, const Placement& place) {
  canvas.draw_shadow(sprite.figure, place);
  canvas.paint(place, [&](float u, float v) {
    const float inside = coverage(distance_to(sprite.figure, u, v) * place.radius);
    if (inside == 0 || !sprite.pattern) return Ink{sprite.ink, inside};
    const float border = distance_to(*sprite.pattern, u * place.radius, v * place.radius, sprite.period);
    return Ink{mix(sprite.second, sprite.ink, coverage(border)), inside};
  });
}

constexpr std::array kScenePatterns{Pattern::bars,    Pattern::blinds,   Pattern::bricks, Pattern::checks,
                                    Pattern::crosses, Pattern::diamonds, Pattern::discs,  Pattern::rings,
                                    Pattern::slopes,  Pattern::waves};

// A patch of the pattern, round or square, in colours of its own, drifting slowly. `scale`: of the pattern, px.
Sprite patch(Pattern pattern, float scale, Random& random, int width, int height) {
  const float side = static_cast<float>(std::min(width, height));
  Sprite sprite;
  sprite.pattern = pattern;
  sprite.period = scale * uniform(random, 0.14, 0.17);
  sprite.figure = random.chance(0.5) ? FigureKind::square : FigureKind::disc;
  sprite.ink = random_color(random, 0.06f, 0.3f);
  sprite.second = random_color(random, 0.6f, 0.94f);
  if (random.chance(0.5)) std::swap(sprite.ink, sprite.second);
  sprite.start = {uniform(random, 0, width), uniform(random, 0, height), side * uniform(random, 0.4, 0.55),
                  uniform(random, -0.25, 0.25)};
  sprite.dx = side * uniform(random, -0.008, 0.008);
  sprite.dy = side * uniform(random, -0.008, 0.008);
  sprite.spin = uniform(random, -0.005, 0.005);
  return sprite;
}

// Patches of the class's pattern.
std::vector<Sprite> patches(Pattern pattern, Random& random, int width, int height) {
  const float scale = static_cast<float>(std::min(width, height)) * uniform(random, 0.8, 1.2);
  const int squares = (std::max(width, height) + std::min(width, height) - 1) / std::min(width, height);
  std::vector<Sprite> sprites((3 + random.below(2)) * static_cast<uint64_t>(squares));
  for (Sprite& sprite : sprites) sprite = patch(pattern, scale, random, width, height);
  return sprites;
}

// Two round patches of each of two patterns, far enough from each other that none is hidden.
std::vector<Sprite> paired_patches(const SyntheticId& id, Random& random, int width, int height) {
  const auto [first, second] = synthetic_pair(id);
  const float side = static_cast<float>(std::min(width, height)), scale = side * uniform(random, 0.9, 1.1);
  const float x = uniform(random, 0, width), y = uniform(random, 0, height);
  std::vector<Sprite> sprites;
  for (const auto& [right, down] : {std::pair{0.0f, 0.0f}, {0.5f, 0.0f}, {0.0f, 0.5f}, {0.5f, 0.5f}}) {
    const auto label = static_cast<size_t>(right == down ? first : second);
    Sprite& sprite = sprites.emplace_back(patch(kScenePatterns[label], scale, random, width, height));
    sprite.figure = FigureKind::disc;
    sprite.start.x = x + static_cast<float>(width) * (right + uniform(random, 0, 0.04));
    sprite.start.y = y + static_cast<float>(height) * (down + uniform(random, 0, 0.04));
    sprite.start.radius = side * uniform(random, 0.25, 0.28);
  }
  return sprites;
}

constexpr std::array kMovers{FigureKind::arrow, FigureKind::bolt,  FigureKind::boot,  FigureKind::crescent,
                             FigureKind::flag,  FigureKind::heart, FigureKind::house, FigureKind::kite};

FigureKind random_mover(Random& random) { return kMovers[random.below(kMovers.size())]; }

// Small figures of the movers' kinds that stay where they are, so that finding the mover takes time, too.
void scatter_bystanders(Canvas& canvas, Random& random) {
  const float side = static_cast<float>(std::min(canvas.width(), canvas.height()));
  const uint64_t count = 2 + random.below(4);
  for (uint64_t i = 0; i < count; ++i) {
    Placement place{uniform(random, 0, canvas.width()), uniform(random, 0, canvas.height()),
                    side * uniform(random, 0.05, 0.09), uniform(random, 0, kTurn), random.chance(0.5)};
    const FigureKind figure = random_mover(random);
    const Color color = random_color(random);
    canvas.draw(figure, place, color, uniform(random, 0.5, 0.9));
  }
}

// A figure with one half darker and one lighter than the backdrop, so that every angle shows.
Sprite mover(Random& random, float middle) {
  Sprite sprite;
  sprite.figure = random_mover(random);
  sprite.pattern = Pattern::halves;
  sprite.ink = random_color(random, 0.03f, 0.55f * middle);
  sprite.second = random_color(random, 0.45f + 0.55f * middle, 0.97f);
  sprite.start.mirrored = random.chance(0.5);
  return sprite;
}

// The place that (x, y) in [0, 1) x [0, 1) comes to when the square rings around the middle turn clockwise, each along
// itself: what is uniform in the square stays so.
SyntheticPose on_turned_ring(double x, double y, double turns) {
  const double right = x - 0.5, down = y - 0.5, reach = std::max({std::abs(right), std::abs(down), 1e-9});
  const double u = right / reach, v = down / reach;  // on the border of [-1, 1] x [-1, 1]
  const double sides = v == -1 ? (1 + u) / 2 : u == 1 ? (3 + v) / 2 : v == 1 ? (5 - u) / 2 : (7 - v) / 2;
  const double place = 4 * wrapped(sides / 4 + turns), along = 2 * (place - std::floor(place)) - 1;
  const auto on = [&](double unit) { return wrapped(0.5 + unit * reach); };
  switch (static_cast<int>(place)) {
    case 0:
      return {on(along), on(-1)};
    case 1:
      return {on(1), on(along)};
    case 2:
      return {on(-along), on(1)};
    default:
      return {on(-1), on(-along)};
  }
}

// How far a motion has come after `t` frames, from wherever it started. x and y in shorter sides of the frame; of
// clockwise and counterclockwise the angle alone.
SyntheticPose moved(int label, Random& random, int t) {
  const double frame = t;
  const double speed = random.uniform(0.04, 0.07), tilt = random.uniform(-0.2, 0.2);
  const double period = random.uniform(7, 11), reach = random.uniform(0.25, 0.4), phase = random.uniform();
  const double turning = random.uniform(0.03, 0.05), scaling = random.uniform(0.045, 0.07);
  const double side = random.chance(0.5) ? 1 : -1;
  const double along = speed * frame * std::cos(tilt), across = speed * frame * std::sin(tilt);
  const double beat = wrapped(frame / period + phase);  // 0 .. 1 in every period
  switch (label) {
    case left:
      return {-along, across, 0, 0};
    case right:
      return {along, across, 0, 0};
    case up:
      return {across, -along, 0, 0};
    case down:
      return {across, along, 0, 0};
    case counterclockwise:
      return {0, 0, 0, -turning * frame};
    case clockwise:
      return {0, 0, 0, turning * frame};
    case grow:
      return {0, 0, scaling * frame, 0};
    case shrink:
      return {0, 0, -scaling * frame, 0};
    case bounce:
      return {0, reach * (2 * beat - 1) * (2 * beat - 1), 0, 0};  // a ball on a floor: parabolas
    default:
      return {side * 0.6 * speed * frame, reach * std::abs(2 * beat - 1), 0, 0};
  }
}

// The same at the speed of synthetic_speed(), `width` shorter sides being the width of the frame.
SyntheticPose straight(Random& random, int t, double width) {
  const double way = random.uniform(kSlowest, kFastest) * t * width;
  const double direction = random.uniform(0, 2 * std::numbers::pi);
  return {way * std::cos(direction), way * std::sin(direction), 0, 0};
}

}  // namespace

struct SyntheticClip::Stage {
  SyntheticId id;
  Canvas backdrop;
  std::vector<Sprite> sprites;  // of a motion clip: the mover alone
  int clutter = 0;              // over the patches of a scene
  float noise = 0, flicker = 0, flicker_phase = 0;

  Placement place(const Sprite& sprite, int frame) const;
};

Placement SyntheticClip::Stage::place(const Sprite& sprite, int frame) const {
  Placement place = sprite.start;
  if (is_still(id.kind)) {
    const auto t = static_cast<float>(frame);
    place.x += sprite.dx * t;
    place.y += sprite.dy * t;
    place.angle += sprite.spin * t;
    return place;
  }
  const bool alike = id.kind == SyntheticKind::speed;
  const double smallest = alike ? 0.2 : 0.15, largest = alike ? 0.26 : 0.36;  // radius in shorter sides of the frame
  const int width = backdrop.width(), height = backdrop.height();
  const SyntheticPose pose = synthetic_pose(id, width, height, frame);
  place.x = static_cast<float>(pose.x * width);
  place.y = static_cast<float>(pose.y * height);
  place.radius = static_cast<float>(std::min(width, height) * smallest * std::pow(largest / smallest, pose.size));
  place.angle = static_cast<float>(pose.angle) * kTurn;
  return place;
}

SyntheticClip::SyntheticClip(const SyntheticId& id, int width, int height) {
  constexpr int kSmallest = 16;
  const size_t classes = synthetic_classes(id.kind).size();
  if (width < kSmallest || height < kSmallest || id.label < 0 || static_cast<size_t>(id.label) >= classes) {
    throw Error(concat("SyntheticClip: no class ", id.label, " at ", width, "x", height, "; there are classes 0 to ",
                       classes - 1, ", and both sides are at least ", kSmallest),
                exit_code::kUsage);
  }
  Random random = random_of(id, kLook);
  const float middle = uniform(random, 0.25, 0.75);
  const int clutter = 3 + static_cast<int>(random.below(4));
  Stage stage{id, random_backdrop(random, width, height, middle), {}};
  const bool calm = id.kind == SyntheticKind::speed || id.kind == SyntheticKind::pairs;
  if (is_still(id.kind)) {
    stage.sprites = id.kind == SyntheticKind::pairs
                        ? paired_patches(id, random, width, height)
                        : patches(kScenePatterns[static_cast<size_t>(id.label)], random, width, height);
    stage.clutter = calm ? clutter / 2 : clutter;
  } else {
    scatter_clutter(stage.backdrop, random, clutter);
    if (!calm) scatter_bystanders(stage.backdrop, random);
    stage.sprites = {mover(random, middle)};
  }
  stage.noise = uniform(random, calm ? 1 : 2, calm ? 4 : 9);
  stage.flicker = uniform(random, 0, calm ? 0.01 : 0.04);
  stage.flicker_phase = uniform(random, 0, kTurn);
  stage_ = std::make_unique<const Stage>(std::move(stage));
}

SyntheticClip::~SyntheticClip() = default;

void SyntheticClip::draw(int frame, std::span<uint8_t> rgb) const {
  const Stage& stage = *stage_;
  ENGINE_CHECK(frame >= 0, "SyntheticClip::draw: there is no frame ", frame);
  ENGINE_CHECK(rgb.size() == stage.backdrop.pixels().size() * 3, "SyntheticClip::draw: a frame has ",
               stage.backdrop.pixels().size() * 3, " bytes, not ", rgb.size());
  Canvas canvas = stage.backdrop;
  for (const Sprite& sprite : stage.sprites) draw_sprite(canvas, sprite, stage.place(sprite, frame));
  Random clutter = random_of(stage.id, kClutter);
  scatter_clutter(canvas, clutter, stage.clutter);
  const float gain = 1 + stage.flicker * std::sin(0.8f * static_cast<float>(frame) + stage.flicker_phase);
  Random random = random_of(stage.id, kFrames + static_cast<uint32_t>(frame));
  develop(canvas, gain, stage.noise, random, rgb);
}

std::span<const std::string_view> synthetic_classes(SyntheticKind kind) {
  if (is_still(kind)) return kScenes;
  if (kind == SyntheticKind::speed) return kSpeeds;
  return kMotions;
}

double synthetic_speed(const SyntheticId& id) {
  Random path = random_of(id, kPath);
  return path.uniform(kSlowest, kFastest);
}

std::array<int, 2> synthetic_pair(const SyntheticId& id) {
  Random path = random_of(id, kPath);
  const int drawn = static_cast<int>(path.below(kScenes.size() - 1));
  const int other = drawn < id.label ? drawn : drawn + 1;
  return {std::min(id.label, other), std::max(id.label, other)};
}

SyntheticPose synthetic_pose(const SyntheticId& id, int width, int height, int frame) {
  Random start = random_of(id, kStart), path = random_of(id, kPath);
  const double x = start.uniform(), y = start.uniform(), size = start.uniform(), angle = start.uniform();
  const double side = std::min(width, height);
  const SyntheticPose way =
      id.kind == SyntheticKind::speed ? straight(path, frame, width / side) : moved(id.label, path, frame);
  SyntheticPose pose{wrapped(x + way.x * side / width), wrapped(y + way.y * side / height)};
  // What turns goes round the middle of the picture as well.
  if (id.kind == SyntheticKind::motion && (id.label == clockwise || id.label == counterclockwise))
    pose = on_turned_ring(x, y, way.angle);
  pose.size = wrapped(size + way.size);
  pose.angle = wrapped(angle + way.angle);
  return pose;
}

}  // namespace engine
