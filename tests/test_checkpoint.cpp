#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "engine/random.h"
#include "layers/module.h"
#include "tests/program_run.h"
#include "train/checkpoint.h"

using namespace engine;
using namespace std::string_literals;
using program_run::read_text;

namespace {

std::string_view bytes_of(const Tensor& tensor) { return {static_cast<const char*>(tensor.memory()), tensor.bytes()}; }

ModelFile sample() {
  Random random(5);
  ModelFile file;
  file.model = "sora-cnn";
  file.model_options = {{"dropout", "0.1"}, {"classes", "3"}};
  file.classes = {"swipe left", "\u6325\u624b", "quote\" and \\"};
  file.preprocessing = {12,     2,    "uniform", 64,    48,  "rgb+diff", {0.1, 0.45, 1.0 / 3}, {0.25, 1, 1e-3},
                        "auto", true, 12.5,      "pad", true};
  file.epoch = 7;
  file.step = 91;
  file.best_metric = 0.1 + 0.2;
  file.seed = ~uint64_t{0};
  file.tensors = {{"conv.weight", normal({2, 3}, 0, 1, random)},
                  {"conv.bias", normal({3}, 0, 1, random, DType::bf16)},
                  {"norm.mean", normal({4}, 0, 1, random, DType::f64)},
                  {"norm.count", Tensor::from<int64_t>({12345678901234})},
                  {"table", Tensor::full({2, 2}, 255, DType::u8)}};
  return file;
}

// A parameter and a buffer.
class Affine : public layers::Module {
 public:
  explicit Affine(Random& random) {
    add_parameter("scale", normal({3}, 0, 1, random));
    add_buffer("shift", normal({3}, 0, 1, random));
  }
  std::string describe() const override { return "affine"; }
  std::vector<NamedTensor> tensors() const {
    std::vector<NamedTensor> all = parameters();
    std::ranges::copy(buffers(), std::back_inserter(all));
    return all;
  }

 protected:
  Tensor forward(const Tensor& x) override { return x; }
};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == exit_code::kCheckpoint);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("checkpoint: a model comes back bit for bit") {
  const TemporaryFolder folder;
  const ModelFile saved = sample();
  save_model(folder / "model", saved);
  const ModelFile loaded = load_model(folder / "model");
  CHECK(loaded.model == saved.model);
  CHECK(loaded.model_options == saved.model_options);
  CHECK(loaded.classes == saved.classes);
  CHECK(loaded.preprocessing == saved.preprocessing);
  CHECK(loaded.epoch == saved.epoch);
  CHECK(loaded.step == saved.step);
  CHECK(loaded.best_metric == saved.best_metric);
  CHECK(loaded.seed == saved.seed);
  REQUIRE(loaded.tensors.size() == saved.tensors.size());
  for (const auto& [name, tensor] : saved.tensors) {
    const auto found = std::ranges::find(loaded.tensors, name, &NamedTensor::name);
    REQUIRE(found != loaded.tensors.end());
    CHECK(found->tensor.shape() == tensor.shape());
    CHECK(found->tensor.dtype() == tensor.dtype());
    CHECK(bytes_of(found->tensor) == bytes_of(tensor));
  }
}

TEST_CASE("checkpoint: equal content gives equal bytes") {
  const TemporaryFolder folder;
  ModelFile file = sample();
  save_model(folder / "first", file);
  std::ranges::reverse(file.tensors);
  save_model(folder / "second", file);
  save_model(folder / "third", load_model(folder / "first"));
  CHECK(read_text(folder / "first") == read_text(folder / "second"));
  CHECK(read_text(folder / "first") == read_text(folder / "third"));
  file.seed = 1;
  save_model(folder / "third", file);
  CHECK(read_text(folder / "first") != read_text(folder / "third"));
}

TEST_CASE("checkpoint: every flipped bit of a model file is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "model";
  save_model(path, sample());
  const std::string original = read_text(path);
  for (size_t i = 0; i < original.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = original;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      ::unlink(path.c_str());
      std::ofstream(path, std::ios::binary) << bytes;
      CAPTURE(i);
      CAPTURE(bit);
      REQUIRE(message_of([&] { load_model(path); }).starts_with("checkpoint '" + path + "': "));
    }
}

TEST_CASE("checkpoint: malformed metadata is refused by name") {
  struct Row {
    std::string key, value, message;
  };
  const std::string frames = R"({"frames":12,"stride":2,"sampling":"uniform","height":64,"width":48,)";
  const std::string rest = R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1]})";
  const auto bad = [](const std::string& key, const std::string& value) {
    return Row{key, value, "metadata '" + key + "' is '" + value + "'"};
  };
  const std::vector<Row> rows = {
      bad("step", "abc"),
      bad("step", ""),
      bad("step", "-1"),
      bad("step", "1.5"),
      bad("step", "12 "),
      bad("epoch", "9223372036854775808"),
      bad("seed", "-1"),
      bad("best_metric", "nan"),
      bad("best_metric", "inf"),
      bad("best_metric", "0.5x"),
      bad("model", ""),
      bad("format", "one"),
      bad("head", "classifier"),
      {"format", "2", "format 2, this engine reads 1"},
      {"classes", "[\"a\"", "metadata 'classes' is not JSON: '[\"a\"'"},
      bad("classes", "[1]"),
      bad("classes", "{}"),
      {"classes", "[[[]]]", "metadata 'classes' is nested too deep"},
      bad("model_options", R"({"a":1})"),
      bad("model_options", "[]"),
      {"model_options", R"({"a":"1","a":"2"})", "metadata 'model_options' has an entry twice"},
      bad("preprocessing", "{}"),
      bad("preprocessing", "[]"),
      {"preprocessing", frames + R"("colour":1,)" + rest, ""},
      {"preprocessing", R"({"frames":2.5,"stride":2,"sampling":"uniform","height":64,"width":48,)" + rest, ""},
      {"preprocessing", R"({"frames":1e99,"stride":2,"sampling":"uniform","height":64,"width":48,)" + rest, ""},
      {"preprocessing", R"({"frames":0,"stride":2,"sampling":"uniform","height":64,"width":48,)" + rest, ""},
      {"preprocessing", R"({"frames":12,"stride":2,"sampling":"","height":64,"width":48,)" + rest, ""},
      {"preprocessing", R"({"frames":12,"stride":2,"sampling":"uniform","height":64,"width":99999999,)" + rest, ""},
      {"preprocessing", frames + R"("input":"bgr","mean":[0,0,0],"deviation":[1,1,1]})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0],"deviation":[1,1,1]})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0,0],"deviation":[1,1,1]})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,0,1]})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1],"untagged":"2020"})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1],"rgb_first":1})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1],"fps":-1})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1],"fps":"25"})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1],"short":"longer"})", ""},
      {"preprocessing", frames + R"("input":"rgb","mean":[0,0,0],"deviation":[1,1,1],"sar":1})", ""},
  };
  const TensorFile good = to_tensor_file(sample());
  for (const Row& row : rows) {
    CAPTURE(row.key);
    CAPTURE(row.value);
    TensorFile file = good;
    file.metadata[row.key] = row.value;
    const std::string message = message_of([&] { to_model_file(file, "F"); });
    if (row.message.empty())
      CHECK(message.starts_with("F: metadata 'preprocessing' is '{"));
    else
      CHECK(message == "F: " + row.message);
  }
  for (const auto& [key, value] : good.metadata) {
    if (key == "producer" || key == "head") continue;  // an older file has no head
    TensorFile file = good;
    file.metadata.erase(key);
    const std::string message = message_of([&] { to_model_file(file, "F"); });
    CHECK((message == "F: metadata has no '" + key + "'" || message.starts_with("F: not a model that was saved here")));
  }
}

TEST_CASE("checkpoint: what could not be loaded is not saved") {
  const TemporaryFolder folder;
  const auto refused = [&](auto change) {
    ModelFile file = sample();
    change(file);
    const std::string message = message_of([&] { save_model(folder / "model", file); });
    CHECK(folder.names().empty());
    return message;
  };
  const std::string prefix = "model for '" + folder / "model" + "': metadata ";
  CHECK(refused([](ModelFile& f) { f.step = -1; }) == prefix + "'step' is '-1'");
  CHECK(refused([](ModelFile& f) { f.best_metric = std::numeric_limits<double>::quiet_NaN(); }) ==
        prefix + "'best_metric' is 'nan'");
  CHECK(refused([](ModelFile& f) { f.preprocessing.frames = 0; }).starts_with(prefix + "'preprocessing' is "));
  CHECK(refused([](ModelFile& f) {
          f.preprocessing.mean[1] = std::numeric_limits<double>::infinity();
        }).starts_with(prefix + "'preprocessing' is "));
  CHECK(refused([](ModelFile& f) { f.classes[0] = "caf\xe9"; }).find("not UTF-8") != std::string::npos);
  CHECK(refused([](ModelFile& f) { f.model = "\xff"; }).find("not UTF-8") != std::string::npos);
  CHECK(refused([](ModelFile& f) { f.tensors.push_back(f.tensors[0]); }).find("'conv.weight' appears twice") !=
        std::string::npos);
}

TEST_CASE("checkpoint: a module takes its tensors back") {
  Random random(9);
  const Affine saved(random), other(random);
  const TemporaryFolder folder;
  ModelFile file = sample();
  file.tensors = saved.tensors();
  save_model(folder / "model", file);
  load_into(other.tensors(), load_model(folder / "model").tensors, "F");
  for (size_t i = 0; i < 2; ++i) CHECK(bytes_of(saved.tensors()[i].tensor) == bytes_of(other.tensors()[i].tensor));
}

TEST_CASE("checkpoint: a file for another model is refused, with the differences, and changes nothing") {
  const std::vector<NamedTensor> model = {
      {"a", Tensor::zeros({2})}, {"b", Tensor::zeros({2, 3})}, {"c", Tensor::zeros({})}, {"d", Tensor::zeros({1})}};
  const auto message = [&](const std::vector<NamedTensor>& file) {
    const std::string text = message_of([&] { load_into(model, file, "F"); });
    for (const float value : model[0].tensor.values<float>()) CHECK(value == 0);
    return text;
  };
  const Tensor a = Tensor::full({2}, 1), b = Tensor::full({2, 3}, 1), c = Tensor::full({}, 1), d = Tensor::full({1}, 1);
  CHECK(message({{"a", a}, {"b", Tensor::zeros({3, 2})}, {"c", c}, {"d", d}}) ==
        "F: model needs 'b' [2,3] F32, file has [3,2] F32; 0 missing, 0 extra, 1 of another shape or type");
  CHECK(message({{"a", a}, {"b", b}, {"c", Tensor::zeros({}, DType::f64)}, {"d", d}}) ==
        "F: model needs 'c' [] F32, file has [] F64; 0 missing, 0 extra, 1 of another shape or type");
  CHECK(message({{"a", a}, {"b", b}, {"c", c}, {"d", d}, {"x", a}}) ==
        "F: file has 'x' [2] F32, model has none; 0 missing, 1 extra, 0 of another shape or type");
  CHECK(message({{"x", a}, {"y", a}, {"z", a}}) ==
        "F: model needs 'a' [2] F32, file has none; model needs 'b' [2,3] F32, file has none; model needs 'c' [] F32, "
        "file has none; model needs 'd' [1] F32, file has none; file has 'x' [2] F32, model has none; "
        "4 missing, 3 extra, 0 of another shape or type");
}

// In a child, because a limit on the size of files holds for the whole process.
TEST_CASE("checkpoint: without space the old file stays and no other is left") {
  const TemporaryFolder folder;
  const std::string path = folder / "model";
  ModelFile file = sample();
  save_model(path, file);
  const std::string old = read_text(path);
  file.tensors.push_back({"large", Tensor::zeros({1 << 20})});

  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {64 << 10, 64 << 10};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int result = 1;
    try {
      save_model(path, file);
    } catch (const Error& error) {
      const std::string message = error.what();
      const bool named =
          message.find("reserving space failed (File too large); what was there is unchanged") != std::string::npos;
      result = error.code() == exit_code::kStorage && named ? 0 : 2;
    }
    ::_exit(result);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(read_text(path) == old);
  CHECK(folder.names() == std::vector{"model"s});
}
