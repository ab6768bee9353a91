// A table of a TOML file read value by value; everything wrong is an Error (kUsage) that begins with the place.
#pragma once

#include <fmt/format.h>

#include <toml++/toml.h>
#include <array>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "train/cli.h"
#include "train/option_table.h"

namespace engine {

inline std::string place_in(const std::string& file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}: ", file, source.begin.line, source.begin.column);
}

class LayerTable {
 public:
  LayerTable(const toml::table& table, const std::string& file) : table_(table), file_(file) {}

  [[noreturn]] void refuse(const toml::node* node, const std::string& what) const {
    throw Error(place_in(file_, (node ? *node : table_).source()) + what, exit_code::kUsage);
  }
  std::string place() const { return place_in(file_, table_.source()); }
  const toml::node* find(const std::string& key) const { return table_.get(key); }

  void check_keys(const std::string& what, const std::vector<std::string>& known) const {
    for (const auto& [key, node] : table_)
      if (const std::string name(key.str()); std::ranges::find(known, name) == known.end())
        throw Error(fmt::format("{}{}: unknown key '{}'{} (keys: {})", place_in(file_, key.source()), what, name,
                                did_you_mean(name, known), joined(known)),
                    exit_code::kUsage);
  }

  std::string text(const std::string& key, const std::string& otherwise) const {
    const toml::node* node = find(key);
    if (!node) return otherwise;
    if (!node->is_string()) refuse(node, fmt::format("{} must be a text in quotes", key));
    return node->as_string()->get();
  }
  // Without `otherwise` the key is required.
  int64_t whole(const std::string& key, Range range, const int64_t* otherwise = nullptr) const {
    const toml::node* node = find(key);
    if (!node && otherwise) return *otherwise;
    if (!node) refuse(nullptr, fmt::format("'{}' is missing; add {} = a whole number", key, key));
    return whole(*node, key, range);
  }
  int64_t whole(const std::string& key, Range range, int64_t otherwise) const { return whole(key, range, &otherwise); }
  double number(const std::string& key, Range range, double otherwise) const {
    const toml::node* node = find(key);
    const auto value = node ? node->value<double>() : otherwise;
    if (!value || !range.contains(*value))
      refuse(node, fmt::format("{} must be a number from {} to {}", key, range.low, range.high));
    return *value;
  }
  bool flag(const std::string& key, bool otherwise) const {
    const toml::node* node = find(key);
    if (node && !node->is_boolean()) refuse(node, fmt::format("{} must be true or false", key));
    return node ? node->as_boolean()->get() : otherwise;
  }
  // One number for all axes, or one each.
  template <size_t axes>
  std::array<int64_t, axes> extents(const std::string& key, Range range, std::array<int64_t, axes> otherwise) const {
    const toml::node* node = find(key);
    if (!node) return otherwise;
    if (const toml::array* list = node->as_array()) {
      if (list->size() != axes) refuse(node, fmt::format("{} must be one number or a list of {}", key, axes));
      for (size_t i = 0; i < axes; ++i) otherwise[i] = whole((*list)[i], key, range);
    } else {
      otherwise.fill(whole(*node, key, range));
    }
    return otherwise;
  }

 private:
  int64_t whole(const toml::node& node, const std::string& key, Range range) const {
    if (!node.is_integer() || !range.contains(static_cast<double>(node.as_integer()->get())))
      refuse(&node, fmt::format("{} must be a whole number from {} to {}", key, range.low, range.high));
    return node.as_integer()->get();
  }

  const toml::table& table_;
  const std::string& file_;
};

}  // namespace engine
