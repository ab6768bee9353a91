#include "train/confusion.h"

#include <algorithm>
#include <numeric>

#include "engine/tensor.h"
#include "io/atomic_file.h"
#include "io/image_writer.h"
#include "io/text.h"
#include "train/classify.h"

namespace engine {
namespace {

constexpr int kGap = 6, kMostSide = 4096;
constexpr size_t kMostLetters = 40;
constexpr Color kPaper{0.09f, 0.09f, 0.11f}, kText{0.9f, 0.9f, 0.9f}, kDark{0, 0, 0}, kBright{1, 1, 1};

void fill(Canvas& canvas, int left, int top, int width, int height, Color color) {
  for (int y = top; y < top + height; ++y)
    for (int x = left; x < left + width; ++x) canvas.at(x, y) = color;
}

int text_width(const std::string& text) { return static_cast<int>(text.size()) * kTextAdvance; }

}  // namespace

std::string confusion_csv(const Evaluation& evaluation, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += concat(",", csv_cell(name));
  text += "\r\n";
  for (size_t row = 0; row < names.size(); ++row) {
    text += csv_cell(names[row]);
    for (const int64_t count : evaluation.confusion[row]) text += concat(",", count);
    text += "\r\n";
  }
  return text;
}

RgbImage confusion_picture(const Evaluation& evaluation, const std::vector<std::string>& names) {
  const int classes = static_cast<int>(names.size());
  std::vector<std::string> rows;
  int names_width = 0, cell = 4;
  for (int i = 0; i < classes; ++i) {
    rows.push_back(concat(i, " ", escaped(names[static_cast<size_t>(i)], kMostLetters)));
    names_width = std::max(names_width, text_width(rows.back()));
    for (const int64_t count : evaluation.confusion[static_cast<size_t>(i)])
      cell = std::max(cell, text_width(std::to_string(count)) + 6);
  }
  cell = std::clamp(std::max(cell, 24), 1, std::max(1, kMostSide / classes));
  const bool with_text = cell >= kTextHeight + 4;
  const int left = names_width + 2 * kGap, top = 2 * kTextHeight + 3 * kGap;
  Canvas canvas(left + classes * cell + kGap, top + classes * cell + kGap);
  fill(canvas, 0, 0, canvas.width(), canvas.height(), kPaper);
  draw_text(canvas, left, kGap, "predicted", kText);
  draw_text(canvas, kGap, kTextHeight + 2 * kGap, "label", kText);
  const auto centred = [&](int x, int y, const std::string& text, Color color) {
    if (with_text && text_width(text) <= cell)
      draw_text(canvas, x + (cell - text_width(text)) / 2, y + (cell - kTextHeight) / 2, text, color);
  };
  for (int i = 0; i < classes; ++i) {
    const std::vector<int64_t>& counts = evaluation.confusion[static_cast<size_t>(i)];
    const int64_t all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    if (with_text)
      draw_text(canvas, kGap, top + i * cell + (cell - kTextHeight) / 2, rows[static_cast<size_t>(i)], kText);
    const std::string number = std::to_string(i);
    if (with_text && text_width(number) <= cell)
      draw_text(canvas, left + i * cell + (cell - text_width(number)) / 2, kTextHeight + 2 * kGap, number, kText);
    for (int j = 0; j < classes; ++j) {
      const int64_t count = counts[static_cast<size_t>(j)];
      const Color color = heat_color(all > 0 ? static_cast<double>(count) / static_cast<double>(all) : 0);
      fill(canvas, left + j * cell, top + i * cell, cell - 1, cell - 1, color);
      if (count > 0)
        centred(left + j * cell, top + i * cell, std::to_string(count), luma(color) > 0.5f ? kDark : kBright);
    }
  }
  return picture_of(canvas);
}

void check_confusion_path(const std::string& path) {
  if (!path.ends_with(".csv") && !path.ends_with(".png"))
    throw Error(concat("--confusion ", escaped(path), ": the matrix goes into a .csv or .png file"), exit_code::kUsage);
}

void write_confusion(const std::string& path, const Evaluation& evaluation, const std::vector<std::string>& names) {
  check_confusion_path(path);
  if (path.ends_with(".csv")) return write_file_atomically(path, confusion_csv(evaluation, names));
  const RgbImage picture = confusion_picture(evaluation, names);
  write_image(path, picture.rgb, picture.size);
}

}  // namespace engine
