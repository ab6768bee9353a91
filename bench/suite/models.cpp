#include "bench/compare/passes.h"
#include "bench/suite/suite.h"
#include "engine/autograd.h"
#include "layers/models/registry.h"
#include "train/op_watch.h"

namespace engine::bench {
namespace {

constexpr int64_t kFrames = 8, kSize = 64;

Work one_clip(const std::string& name, const Suite& suite) {
  const std::shared_ptr<layers::VideoModel> model = layers::make_model(name, {.seed = 1});
  model->to(suite.dtype);
  model->to(suite.device);
  model->eval();
  Random random(5, 1);
  const Tensor clip = cast(uniform({1, kFrames, kSize, kSize, 3}, -1, 1, random), suite.dtype).to(suite.device);
  const auto call = [model, clip] {
    const NoGrad no_grad;
    (*model)(clip);
  };
  const OpWatch watch;
  call();
  return {.call = call, .flop = watch.flop, .items = 1, .item = "clips"};
}

Work training_step(const std::string& name, int64_t clips, const Suite& suite) {
  const json workload = {{"name", name}, {"model", name}, {"batch", clips}, {"frames", kFrames}, {"size", kSize}};
  const Settings settings{.device = suite.device, .precision = suite.dtype == DType::bf16 ? "bf16" : "f32"};
  Work work;
  visit_workload(workload, true, settings, [&](const Pass& pass) { work.call = pass.work; });
  const Work forward = one_clip(name, suite);  // a step that is replayed tells no operations
  work.flop = 3 * forward.flop * static_cast<double>(clips);
  work.items = static_cast<double>(clips);
  work.item = "clips";
  return work;
}

}  // namespace

void add_models(const Suite& suite) {
  for (const std::string& name : layers::model_names()) {
    add(suite, concat("model/", name, "/forward"), [name, &suite] { return one_clip(name, suite); });
    for (const int64_t clips : {int64_t{1}, suite.quick ? int64_t{2} : suite.device == kCpu ? int64_t{4} : int64_t{32}})
      add(suite, concat("model/", name, "/step/", clips),
          [name, clips, &suite] { return training_step(name, clips, suite); });
  }
}

}  // namespace engine::bench
