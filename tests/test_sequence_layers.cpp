// LSTM, attention, Transformer and positions against plain loops in double.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "layers/linear.h"
#include "layers/lstm.h"
#include "layers/position.h"
#include "layers/transformer.h"
#include "tests/directional.h"
#include "tests/op_cases.h"

namespace engine::layers {
namespace {

using test::Array;
using Row = std::vector<double>;
using Rows = std::vector<Row>;
using Weights = std::map<std::string, Tensor>;

// In f64, with biases and norms away from 0 and 1.
Weights in_f64(Module& module, Random& random) {
  module.to(DType::f64);
  Weights weights;
  for (const NamedTensor& each : module.parameters()) {
    weights[each.name] = each.tensor;
    if (each.tensor.rank() == 1)
      for (double& value : each.tensor.values<double>()) value += 0.3 * random.normal();
  }
  return weights;
}

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const NamedTensor& each : module.parameters()) names.push_back(each.name);
  return names;
}

Tensor noise(const Shape& shape, Random& random) { return normal(shape, 0, 1, random, DType::f64); }

Rows sample(const Tensor& x, int64_t n) {
  Rows rows(static_cast<size_t>(x.size(1)), Row(static_cast<size_t>(x.size(2))));
  for (size_t t = 0; t < rows.size(); ++t)
    for (size_t c = 0; c < rows[t].size(); ++c) rows[t][c] = Array(x)(n, t, c);
  return rows;
}

void check_rows(const Tensor& got, const std::vector<Rows>& expected) {
  REQUIRE(got.shape() == Shape{static_cast<int64_t>(expected.size()), static_cast<int64_t>(expected[0].size()),
                               static_cast<int64_t>(expected[0][0].size())});
  double worst = 0;
  for (size_t n = 0; n < expected.size(); ++n)
    for (size_t t = 0; t < expected[n].size(); ++t)
      for (size_t c = 0; c < expected[n][t].size(); ++c)
        worst = std::max(worst, std::abs(Array(got)(n, t, c) - expected[n][t][c]));
  CHECK(worst < 1e-12);
}

// By rows [first, first + count) of the weights.
Rows projected(const Rows& x, const Tensor& weight, const Tensor& bias, size_t first, size_t count) {
  Rows y;
  for (const Row& row : x) {
    y.emplace_back();
    for (size_t k = first; k < first + count; ++k) {
      double sum = Array(bias)(k);
      for (size_t c = 0; c < row.size(); ++c) sum += Array(weight)(k, c) * row[c];
      y.back().push_back(sum);
    }
  }
  return y;
}

Rows sum_of(Rows a, const Rows& b) {
  for (size_t t = 0; t < a.size(); ++t)
    for (size_t c = 0; c < a[t].size(); ++c) a[t][c] += b[t][c];
  return a;
}

Rows normed(Rows x, const Weights& w, const std::string& name) {
  for (Row& row : x) {
    const auto count = static_cast<double>(row.size());
    double mean = 0, variance = 0;
    for (const double value : row) mean += value / count;
    for (const double value : row) variance += (value - mean) * (value - mean) / count;
    for (size_t c = 0; c < row.size(); ++c)
      row[c] = (row[c] - mean) / std::sqrt(variance + 1e-5) * Array(w.at(name + ".weight"))(c) +
               Array(w.at(name + ".bias"))(c);
  }
  return x;
}

// From x to memory, of which `seen` keys are seen, or fewer where it is causal.
Rows attended(const Rows& x, const Rows& memory, const Weights& w, const std::string& name, size_t heads, bool causal,
              size_t seen) {
  const size_t width = x[0].size(), depth = width / heads;
  const Tensor weight = w.at(name + "in_proj_weight"), bias = w.at(name + "in_proj_bias");
  const Rows q = projected(x, weight, bias, 0, width), k = projected(memory, weight, bias, width, width),
             v = projected(memory, weight, bias, 2 * width, width);
  Rows y(x.size(), Row(width, 0.0));
  for (size_t s = 0; s < x.size(); ++s)
    for (size_t h = 0; h < heads; ++h) {
      const size_t keys = causal ? std::min(seen, s + 1) : seen;
      Row p(keys);
      double total = 0;
      for (size_t l = 0; l < keys; ++l) {
        double score = 0;
        for (size_t d = h * depth; d < (h + 1) * depth; ++d) score += q[s][d] * k[l][d];
        total += p[l] = std::exp(score / std::sqrt(static_cast<double>(depth)));
      }
      for (size_t l = 0; l < keys; ++l)
        for (size_t d = h * depth; d < (h + 1) * depth; ++d) y[s][d] += p[l] / total * v[l][d];
    }
  return projected(y, w.at(name + "out_proj.weight"), w.at(name + "out_proj.bias"), 0, width);
}

Rows fed_forward(const Rows& x, const Weights& w, bool gelu) {
  Rows inside = projected(x, w.at("linear1.weight"), w.at("linear1.bias"), 0,
                          static_cast<size_t>(w.at("linear1.bias").elements()));
  for (Row& row : inside)
    for (double& z : row) z = gelu ? z * 0.5 * std::erfc(-z / std::sqrt(2.0)) : std::max(z, 0.0);
  return projected(inside, w.at("linear2.weight"), w.at("linear2.bias"), 0, x[0].size());
}

// One layer, one direction, one sample; h and c go from the first states to the last.
Rows recurred(const Rows& x, const Weights& w, const std::string& suffix, bool reverse, Row& h, Row& c) {
  const size_t hidden = h.size();
  Rows y(x.size());
  for (size_t step = 0; step < x.size(); ++step) {
    const size_t t = reverse ? x.size() - 1 - step : step;
    const Rows from_x = projected({x[t]}, w.at("weight_ih" + suffix), w.at("bias_ih" + suffix), 0, 4 * hidden);
    const Rows z = sum_of(projected({h}, w.at("weight_hh" + suffix), w.at("bias_hh" + suffix), 0, 4 * hidden), from_x);
    const auto sigmoid = [](double value) { return 1 / (1 + std::exp(-value)); };
    for (size_t k = 0; k < hidden; ++k) {
      c[k] = sigmoid(z[0][hidden + k]) * c[k] + sigmoid(z[0][k]) * std::tanh(z[0][2 * hidden + k]);
      h[k] = sigmoid(z[0][3 * hidden + k]) * std::tanh(c[k]);
    }
    y[t] = h;
  }
  return y;
}

void check_gradients(const Module& module, const std::function<Tensor()>& loss, Random& random) {
  for (const NamedTensor& each : module.parameters()) each.tensor.zero_grad();
  test::check_directional(module.parameters(), loss, random, 1e-4);
}

}  // namespace

TEST_CASE("Lstm: two layers, two directions, starting states") {
  Random random(1);
  Lstm lstm(5, 3, random, {.layers = 2, .bidirectional = true});
  CHECK(lstm.parameters().size() == 16);
  const Weights w = in_f64(lstm, random);
  const Tensor x = noise({2, 4, 5}, random), h0 = noise({4, 2, 3}, random), c0 = noise({4, 2, 3}, random);
  const Lstm::Result result = lstm(x, h0, c0);
  std::vector<Rows> y, h(4, Rows(2)), c(4, Rows(2));
  for (int64_t n = 0; n < 2; ++n) {
    Rows input = sample(x, n);
    for (size_t layer = 0; layer < 2; ++layer) {
      Rows both(input.size());
      for (size_t direction = 0; direction < 2; ++direction) {
        const size_t i = 2 * layer + direction;
        const auto at = static_cast<size_t>(n);
        h[i][at] = sample(h0, static_cast<int64_t>(i))[at];
        c[i][at] = sample(c0, static_cast<int64_t>(i))[at];
        const std::string suffix = concat("_l", layer, direction ? "_reverse" : "");
        const Rows one = recurred(input, w, suffix, direction == 1, h[i][at], c[i][at]);
        for (size_t t = 0; t < both.size(); ++t) both[t].insert(both[t].end(), one[t].begin(), one[t].end());
      }
      input = both;
    }
    y.push_back(input);
  }
  check_rows(result.y, y);
  check_rows(result.h, h);
  check_rows(result.c, c);
  check_gradients(
      lstm, [&] { return sum(square(lstm(x, h0, c0).y)); }, random);
  CHECK_THROWS_WITH(lstm(x, noise({2, 2, 3}, random), {}), doctest::Contains("expected h0 and c0 (4, N, hidden), got"));
}

TEST_CASE("Lstm: a row with a length is computed as if it were cut there, in every layer and direction") {
  Random random(11);
  Lstm lstm(5, 3, random, {.layers = 2, .bidirectional = true});
  const Weights w = in_f64(lstm, random);
  const Tensor x = noise({2, 4, 5}, random), h0 = noise({4, 2, 3}, random), c0 = noise({4, 2, 3}, random);
  const Lstm::Result all = lstm(x, h0, c0, Tensor::from<int64_t>({4, 2}));
  const Lstm::Result whole = lstm(x, h0, c0), cut = lstm(x.flatten(0, 1).slice(4, 6).reshape({1, 2, 5}),
                                                         permute(permute(h0, {1, 0, 2}).slice(1, 2), {1, 0, 2}),
                                                         permute(permute(c0, {1, 0, 2}).slice(1, 2), {1, 0, 2}));
  Rows padded = sample(cut.y, 0);
  padded.resize(4, Row(6, 0.0));
  check_rows(all.y, {sample(whole.y, 0), padded});
  for (int64_t i = 0; i < 4; ++i) {
    check_rows(all.h.slice(i, i + 1), {{sample(whole.h, i)[0], sample(cut.h, i)[0]}});
    check_rows(all.c.slice(i, i + 1), {{sample(whole.c, i)[0], sample(cut.c, i)[0]}});
  }
}

TEST_CASE("Lstm: dropout between layers in training, not behind the last; starting weights; bf16") {
  Random random(2);
  Lstm two(6, 16, random, {.layers = 2, .dropout = 0.5}), one(6, 16, random, {.dropout = 0.5});
  for (const NamedTensor& each : two.parameters())
    for (const float value : each.tensor.values<float>()) REQUIRE(std::abs(value) <= 0.25f);  // 1 / sqrt(16)
  const Tensor x = normal({3, 5, 6}, 0, 1, random);
  const auto differs = [&](Lstm& lstm) {
    lstm.train();
    const Tensor trained = lstm(x, {}, {}).y;
    lstm.eval();
    return test::largest_difference(trained, lstm(x, {}, {}).y) > 1e-3;
  };
  CHECK(differs(two));
  CHECK(!differs(one));
  two.to(DType::bf16);
  const Lstm::Result result = two(cast(x, DType::bf16), {}, {});
  CHECK(result.h.dtype() == DType::bf16);
  CHECK(result.c.dtype() == DType::f32);
}

TEST_CASE("Lstm: over 256 steps the gradient of a copy task neither vanishes nor explodes") {
  // Four symbols, 248 blanks; in the end the symbols are asked for.
  for (uint64_t seed = 0; seed < 3; ++seed) {
    Random random(seed);
    Lstm lstm(5, 24, random);
    Linear head(24, 4, random);
    const Tensor x = Tensor::zeros({2, 256, 5}), labels = Tensor::empty({2}, DType::i64);
    for (int64_t n = 0; n < 2; ++n)
      for (int64_t t = 0; t < 256; ++t) {
        const auto symbol = static_cast<int64_t>(random.below(4));
        x.values<float>()[static_cast<size_t>((n * 256 + t) * 5 + (t < 4 ? symbol : 4))] = 1;
        if (t == 3) labels.values<int64_t>()[static_cast<size_t>(n)] = symbol;
      }
    cross_entropy(head(lstm(x, {}, {}).h.flatten(0, 1)), labels).backward();
    for (const NamedTensor& each : lstm.parameters()) {
      INFO(each.name);
      double total = 0;
      for (const float value : each.tensor.grad().values<float>()) total += double{value} * value;
      CHECK(std::sqrt(total) < 5);
      CHECK(std::sqrt(total) > 1e-4);
    }
  }
}

TEST_CASE("MultiHeadAttention: self, cross, causal, lengths") {
  Random random(3);
  MultiHeadAttention attention(6, 2, random, 0.3);
  CHECK(attention.parameters().size() == 4);
  const Weights w = in_f64(attention, random);
  attention.eval();
  const Tensor x = noise({2, 5, 6}, random), memory = noise({2, 7, 6}, random);
  for (const bool causal : {false, true})
    for (const bool masked : {false, true}) {
      const int64_t self_seen[] = {masked ? 3 : 5, masked ? 0 : 5}, seen[] = {masked ? 6 : 7, masked ? 1 : 7};
      std::vector<Rows> self, cross;
      for (int64_t n = 0; n < 2; ++n) {
        self.push_back(attended(sample(x, n), sample(x, n), w, "", 2, causal, static_cast<size_t>(self_seen[n])));
        cross.push_back(attended(sample(x, n), sample(memory, n), w, "", 2, causal, static_cast<size_t>(seen[n])));
      }
      const auto lengths = [&](const int64_t* of) { return masked ? Tensor::from<int64_t>({of[0], of[1]}) : Tensor(); };
      check_rows(attention(x, {.causal = causal, .lengths = lengths(self_seen)}), self);
      check_rows(attention(x, memory, {.causal = causal, .lengths = lengths(seen)}), cross);
    }
  attention.train();
  CHECK(test::largest_difference(attention(x, memory), attention(x, memory)) > 1e-3);  // of dropout
  CHECK_THROWS_WITH(MultiHeadAttention(6, 4, random), doctest::Contains("6 features do not divide into 4 heads"));
}

TEST_CASE("MultiHeadAttention: where no key is seen, there is nothing, and no gradient") {
  Random random(4);
  MultiHeadAttention attention(6, 3, random);
  const Tensor x = normal({2, 4, 6}, 0, 1, random).set_requires_grad();
  const Tensor memory = normal({2, 3, 6}, 0, 1, random).set_requires_grad();
  const Tensor y = attention(x, memory, {.lengths = Tensor::from<int64_t>({0, 2})});
  sum(square(add(y, Tensor::full({}, 1.0)))).backward();
  for (size_t i = 0; i < 24; ++i) {
    CHECK(y.values<float>()[i] == 0);  // the bias of the last projection is 0
    CHECK(x.grad().values<float>()[i] == 0);
    CHECK(memory.grad().values<float>()[i % 18] == 0);
    CHECK(x.grad().values<float>()[24 + i] != 0);
  }
  for (const NamedTensor& each : attention.parameters())
    for (const float value : each.tensor.grad().values<float>()) REQUIRE(std::isfinite(value));
}

TEST_CASE("Transformer layers: norms behind and in front, ReLU and GELU, masks") {
  Random random(5);
  for (const bool norm_first : {false, true}) {
    const bool gelu = norm_first;
    const TransformerOptions options{.features = 6,
                                     .heads = 3,
                                     .feed_forward = 11,
                                     .dropout = 0.2,
                                     .activation = {gelu ? Unary::gelu : Unary::relu},
                                     .norm_first = norm_first};
    TransformerEncoderLayer encoder(options, random);
    TransformerDecoderLayer decoder(options, random);
    const Weights e = in_f64(encoder, random), d = in_f64(decoder, random);
    CHECK(e.size() == 12);
    CHECK(d.size() == 18);
    encoder.eval(), decoder.eval();
    const Tensor x = noise({2, 4, 6}, random), memory = noise({2, 5, 6}, random);
    const Tensor lengths = Tensor::from<int64_t>({2, 4}), memory_lengths = Tensor::from<int64_t>({5, 3});
    // x + f(norm(x)) or norm(x + f(x)).
    const auto step = [&](const Rows& from, const Weights& w, const char* norm, auto f) {
      return norm_first ? sum_of(from, f(normed(from, w, norm))) : normed(sum_of(from, f(from)), w, norm);
    };
    std::vector<Rows> encoded, decoded;
    for (int64_t n = 0; n < 2; ++n) {
      const auto seen = static_cast<size_t>(lengths.values<int64_t>()[static_cast<size_t>(n)]);
      const auto memory_seen = static_cast<size_t>(memory_lengths.values<int64_t>()[static_cast<size_t>(n)]);
      Rows y = step(sample(x, n), e, "norm1",
                    [&](const Rows& r) { return attended(r, r, e, "self_attn.", 3, false, seen); });
      encoded.push_back(step(y, e, "norm2", [&](const Rows& r) { return fed_forward(r, e, gelu); }));
      y = step(sample(x, n), d, "norm1", [&](const Rows& r) { return attended(r, r, d, "self_attn.", 3, true, 4); });
      y = step(y, d, "norm2", [&](const Rows& r) {
        return attended(r, sample(memory, n), d, "multihead_attn.", 3, false, memory_seen);
      });
      decoded.push_back(step(y, d, "norm3", [&](const Rows& r) { return fed_forward(r, d, gelu); }));
    }
    check_rows(encoder(x, {.lengths = lengths}), encoded);
    check_rows(decoder(x, memory, {.causal = true}, {.lengths = memory_lengths}), decoded);

    check_gradients(
        encoder, [&] { return sum(square(encoder(x, {.lengths = lengths}))); }, random);
    check_gradients(
        decoder, [&] { return sum(square(decoder(x, memory, {.causal = true}))); }, random);
    encoder.train();
    CHECK(test::largest_difference(encoder(x), encoder(x)) > 1e-3);  // of dropout
  }
}

TEST_CASE("Transformer stacks: one layer after the other, then the norm") {
  Random random(6);
  TransformerOptions options{.features = 4, .heads = 2, .feed_forward = 7, .dropout = 0, .layers = 2};
  const TransformerEncoder plain(options, random);
  CHECK(names_of(plain).size() == 24);
  CHECK(names_of(plain)[12] == "layers.1.self_attn.in_proj_weight");
  options.final_norm = true;
  TransformerDecoder decoder(options, random);
  CHECK(names_of(decoder).back() == "norm.bias");
  const Weights w = in_f64(decoder, random);
  const Tensor x = noise({1, 3, 4}, random), memory = noise({1, 2, 4}, random);
  options.layers = 1;
  options.final_norm = false;
  Tensor y = x;
  for (const char* layer : {"layers.0.", "layers.1."}) {
    TransformerDecoderLayer one(options, random);
    one.to(DType::f64);
    for (const NamedTensor& each : one.parameters()) each.tensor.copy_from(w.at(layer + each.name));
    y = one(y, memory);
  }
  check_rows(decoder(x, memory), {normed(sample(y, 0), w, "norm")});
}

TEST_CASE("PositionalEncoding: sinusoids for every number of places, and learned vectors") {
  PositionalEncoding time;
  const Tensor one = time(Tensor::zeros({2, 7, 6}, DType::f64));
  for (int64_t p = 0; p < 7; ++p)
    for (int64_t c = 0; c < 6; ++c) {
      const double angle = static_cast<double>(p) / std::pow(10000.0, static_cast<double>(c / 2 * 2) / 6);
      CHECK(Array(one)(1, p, c) == doctest::Approx(c % 2 ? std::cos(angle) : std::sin(angle)).epsilon(1e-12));
    }
  CHECK(time(Tensor::zeros({1, 5, 6})).dtype() == DType::f32);
  // Axes have features of their own: 1, 1 and 2 of the 4 pairs.
  const Tensor joint = time(Tensor::zeros({1, 3, 4, 5, 8}, DType::f64));
  for (int64_t t = 0; t < 3; ++t)
    for (int64_t h = 0; h < 4; ++h)
      for (int64_t w = 0; w < 5; ++w) {
        CHECK(Array(joint)(0, t, h, w, 0) == doctest::Approx(std::sin(static_cast<double>(t))));
        CHECK(Array(joint)(0, t, h, w, 3) == doctest::Approx(std::cos(static_cast<double>(h))));
        CHECK(Array(joint)(0, t, h, w, 6) == doctest::Approx(std::sin(static_cast<double>(w) / 100)));
      }
  Random random(7);
  PositionalEncoding learned({4, 5}, 3, random);
  CHECK(names_of(learned) == std::vector<std::string>{"axis0", "axis1"});
  const Weights weights = in_f64(learned, random);
  const Tensor x = noise({2, 3, 5, 3}, random), y = learned(x);
  for (int64_t t = 0; t < 3; ++t)
    for (int64_t s = 0; s < 5; ++s)
      CHECK(Array(y)(1, t, s, 2) == doctest::Approx(Array(x)(1, t, s, 2) + Array(weights.at("axis0"))(t, 2) +
                                                    Array(weights.at("axis1"))(s, 2)));
  check_gradients(
      learned, [&] { return sum(square(learned(x))); }, random);
  CHECK_THROWS_WITH(learned(noise({2, 3, 3}, random)), doctest::Contains("does not fit x (2,3,3)"));
  CHECK_THROWS_AS(learned(noise({2, 5, 5, 3}, random)), Error);
}

}  // namespace engine::layers
