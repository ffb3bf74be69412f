// DeepSpeed JSON: what becomes of it in a job, and what a mistake is answered with.
#include "common/config/deepspeed_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/config/job_document.h"
#include "common/config/job_spec.h"

namespace pixelrec::config {
namespace {

constexpr char kJob[] =
    "metadata: {name: demo}\n"
    "spec:\n"
    "  data: {interaction_data: i, text_data: t}\n"
    "  model: {item_model_dir: m, user_model_dir: m}\n"
    "  output_dir: o\n"
    "  distributed: {workers: 2, deepspeed_config: ds.json}\n";

absl::StatusOr<JobDocument> Parse(const std::string& json, const std::vector<std::string>& overrides = {}) {
  return ParseJobDocument(kJob, "job.yaml", "/base", overrides, [&](const std::filesystem::path& file) {
    EXPECT_EQ(file, "/base/ds.json");
    return json;
  });
}

v1::JobSpec SpecOf(const std::string& json, const std::vector<std::string>& overrides = {}) {
  const auto document = Parse(json, overrides);
  EXPECT_TRUE(document.ok()) << document.status();
  return document.ok() ? document->spec : v1::JobSpec();
}

std::string ErrorOf(const std::string& json, const std::vector<std::string>& overrides = {}) {
  const auto document = Parse(json, overrides);
  if (document.ok()) return "OK";
  EXPECT_EQ(document.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(document.status().message());
}

TEST(DeepSpeedConfig, NumbersBecomeFieldsOfTheJob) {
  const v1::JobSpec spec = SpecOf(R"({
    "train_batch_size": 64, "train_micro_batch_size_per_gpu": 8, "gradient_accumulation_steps": 4, "gradient_clipping": 0.5,
    "bf16": {"enabled": false},
    "zero_optimization": {"stage": 3},
    "optimizer": {"type": "Adam", "params": {"lr": 2e-4, "weight_decay": 0}},
    "scheduler": {"type": "WarmupCosineLR", "params": {"total_num_steps": 1e3, "warmup_num_steps": 50}}})");
  EXPECT_EQ(spec.train().global_batch_size(), 64);
  EXPECT_EQ(spec.train().per_device_train_batch_size(), 8);
  EXPECT_EQ(spec.train().gradient_accumulation_steps(), 4);
  EXPECT_DOUBLE_EQ(spec.train().max_grad_norm(), 0.5);
  EXPECT_FALSE(spec.train().bf16());
  EXPECT_EQ(spec.distributed().zero_stage(), 3);
  EXPECT_EQ(spec.train().optimizer(), "adamw");
  EXPECT_DOUBLE_EQ(spec.train().learning_rate(), 2e-4);
  EXPECT_DOUBLE_EQ(spec.train().weight_decay(), 0);
  EXPECT_EQ(spec.train().lr_scheduler_type(), "cosine");
  EXPECT_DOUBLE_EQ(spec.train().warmup_ratio(), 0.05);
  EXPECT_FALSE(spec.distributed().has_deepspeed_config());
  EXPECT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
}

TEST(DeepSpeedConfig, AutoNullAndAbsentLeaveTheJobsValue) {
  const std::vector<std::string> job = {"train.learning_rate=3e-4", "train.max_grad_norm=2", "distributed.user_zero_stage=1"};
  const v1::JobSpec spec = SpecOf(
      R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "gradient_clipping": null,
          "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}}, "zero_optimization": {"stage": 2}})",
      job);
  EXPECT_DOUBLE_EQ(spec.train().learning_rate(), 3e-4);
  EXPECT_DOUBLE_EQ(spec.train().max_grad_norm(), 2);
  EXPECT_FALSE(spec.train().has_global_batch_size());
  EXPECT_EQ(spec.train().per_device_train_batch_size(), 4);
  EXPECT_EQ(spec.distributed().zero_stage(), 2);
  EXPECT_EQ(spec.distributed().user_zero_stage(), 1);
}

TEST(DeepSpeedConfig, AnyTwoBatchSizesGiveTheThird) {
  EXPECT_EQ(SpecOf(R"({"train_batch_size": 64})").train().per_device_train_batch_size(), 32);
  EXPECT_EQ(SpecOf(R"({"train_batch_size": 64, "gradient_accumulation_steps": 4})").train().per_device_train_batch_size(), 8);
  EXPECT_EQ(SpecOf(R"({"train_batch_size": 64, "train_micro_batch_size_per_gpu": 4})").train().gradient_accumulation_steps(), 8);
  EXPECT_EQ(GlobalBatchSize(SpecOf(R"({"train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 3})")), 24);
  EXPECT_EQ(SpecOf(R"({"train_batch_size": 64, "train_micro_batch_size_per_gpu": "auto"})").train().gradient_accumulation_steps(),
            8);
}

TEST(DeepSpeedConfig, OffloadOfTheOptimizerIsAField) {
  EXPECT_EQ(SpecOf(R"({"zero_optimization": {"offload_optimizer": {"device": "cpu"}}})").distributed().offload_optimizer(),
            v1::OFFLOAD_CPU);
  EXPECT_EQ(SpecOf(R"({"zero_optimization": {"offload_optimizer": {"device": "none"}}})").distributed().offload_optimizer(),
            v1::OFFLOAD_NONE);
  EXPECT_EQ(SpecOf(R"({"zero_optimization": {"cpu_offload": true}})").distributed().offload_optimizer(), v1::OFFLOAD_CPU);
}

TEST(DeepSpeedConfig, WhatHasNoEffectIsSaid) {
  const auto document = Parse(R"({
  "zero_optimization": {
    "overlap_comm": true,
    "offload_param": {"device": "cpu"}
  },
  "fp16": {"enabled": "auto"},
  "amp": {"enabled": false, "opt_level": "O1"},
  "steps_per_print": 2000,
  "wandb": {"enabled": true}
})");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(
      absl::StrJoin(document->notices, "\n"),
      "/base/ds.json:3:5: zero_optimization.overlap_comm: accepted, no effect because each stage has one schedule of "
      "collectives\n"
      "/base/ds.json:4:23: zero_optimization.offload_param.device: accepted, no effect because a rank on a CPU has all of it "
      "in host memory already, and one on a GPU keeps what it computes with there\n"
      "/base/ds.json:6:12: fp16.enabled: accepted, no effect because \"auto\" leaves it as it is here\n"
      "/base/ds.json:7:3: amp: accepted, no effect because it is off\n"
      "/base/ds.json:8:3: steps_per_print: accepted, no effect because progress goes by train.logging_steps\n"
      "/base/ds.json:9:3: wandb: accepted, no effect because curves go to TensorBoard files, metrics.jsonl and Prometheus");
}

TEST(DeepSpeedConfig, UnknownKeysAreRefusedWithTheNearest) {
  EXPECT_EQ(ErrorOf(R"({"zero_optimization": {"stag": 2}})"),
            "/base/ds.json:1:24: unknown key \"stag\" in zero_optimization; did you mean \"stage\"?");
  EXPECT_EQ(ErrorOf(R"({"train_batchsize": 2})"),
            "/base/ds.json:1:2: unknown key \"train_batchsize\"; did you mean \"train_batch_size\"?");
  EXPECT_EQ(ErrorOf(R"({"optimizer": {"lr": 1e-4}})"),
            "/base/ds.json:1:16: unknown key \"lr\" in optimizer; did you mean \"optimizer.params.lr\"?");
  EXPECT_EQ(ErrorOf(R"({"zero_optimization.overlap_com": true})").substr(0, 62),
            "/base/ds.json:1:2: unknown key \"zero_optimization.overlap_com\"");
}

TEST(DeepSpeedConfig, RefusalsSayWhyAndWhatToDo) {
  EXPECT_EQ(ErrorOf(R"({"fp16": {"enabled": true}})"),
            "/base/ds.json:1:11: fp16.enabled: true is refused: there is no loss scaling, which fp16 needs; use \"bf16\": "
            "{\"enabled\": true} and take the fp16 section out");
  EXPECT_EQ(
      ErrorOf(R"({"optimizer": {"type": "OneBitAdam"}})"),
      "/base/ds.json:1:16: optimizer.type: \"OneBitAdam\" is refused: possible is AdamW or Adam, which DeepSpeed runs as AdamW "
      "too; take the section out for the others");
  EXPECT_EQ(ErrorOf(R"({"optimizer": {"params": {"betas": [0.9, 0.95]}}})"),
            "/base/ds.json:1:27: optimizer.params.betas: [0.9, 0.95] is refused: AdamW has betas [0.9, 0.999] here; use these or "
            "\"auto\"");
  EXPECT_EQ(
      ErrorOf(R"({"scheduler": {"type": "WarmupDecayLR"}})"),
      "/base/ds.json:1:16: scheduler.type: \"WarmupDecayLR\" is refused: possible is WarmupCosineLR; the others aren't built: "
      "take the section out, and the job warms up by train.warmup_ratio and follows a cosine down to 0");
  EXPECT_EQ(
      ErrorOf(R"({"zero_optimization": {"offload_optimizer": {"device": "nvme"}}})"),
      "/base/ds.json:1:46: zero_optimization.offload_optimizer.device: \"nvme\" is refused: possible is \"cpu\" or \"none\"; "
      "offload to NVMe isn't built: use \"cpu\", more workers or a higher stage");
  EXPECT_EQ(ErrorOf(R"({"zero_optimization": {"offload_param": {"device": "nvme"}}})"),
            "/base/ds.json:1:42: zero_optimization.offload_param.device: \"nvme\" is refused: offload to NVMe isn't built; use "
            "\"cpu\", more workers or a higher stage");
  EXPECT_EQ(ErrorOf(R"({"elasticity": {"enabled": true}})"),
            "/base/ds.json:1:2: elasticity: is refused: use distributed.min_workers and distributed.max_workers, and take the "
            "section out");
  EXPECT_EQ(
      ErrorOf(R"({"gradient_clipping": 0})"),
      "/base/ds.json:1:2: gradient_clipping: must be > 0 (got 0); 0, no clipping, has a switch of its own: take the key out "
      "and set compat.no_clipping: true");
}

TEST(DeepSpeedConfig, ValuesOfTheWrongKind) {
  EXPECT_EQ(ErrorOf(R"({"zero_optimization": true})"),
            "/base/ds.json:1:2: zero_optimization: must be an object {...} (got true)");
  EXPECT_EQ(ErrorOf(R"({"zero_optimization": {"stage": 4}})"),
            "/base/ds.json:1:24: zero_optimization.stage: must be between 0 and 3 (got 4); distributed.item_zero_stage and "
            "distributed.user_zero_stage still choose for one LLM");
  EXPECT_EQ(ErrorOf(R"({"zero_optimization": {"overlap_comm": "yes"}})"),
            "/base/ds.json:1:24: zero_optimization.overlap_comm: must be true or false or \"auto\" (got \"yes\")");
  EXPECT_EQ(ErrorOf(R"({"train_batch_size": 1.5})"),
            "/base/ds.json:1:2: train_batch_size: must be an integer or \"auto\" (got 1.5)");
  EXPECT_EQ(ErrorOf(R"({"train_batch_size": {"a": 1}})"),
            "/base/ds.json:1:2: train_batch_size: must be an integer or \"auto\" (got an object)");
  EXPECT_EQ(ErrorOf(R"({"train_batch_size": 18446744073709551615})"),
            "/base/ds.json:1:2: train_batch_size: must be an integer or \"auto\" (got 18446744073709551615)");
  EXPECT_EQ(ErrorOf(R"({"aio": 3})"), "/base/ds.json:1:2: aio: must be an object {...} (got 3)");
}

TEST(DeepSpeedConfig, ContradictionsNameBothPlaces) {
  EXPECT_EQ(ErrorOf(R"({"optimizer": {"params": {"lr": 2e-4}}})", {"train.learning_rate=1e-3"}),
            "--set train.learning_rate=1e-3: spec.train.learning_rate: 0.001 contradicts optimizer.params.lr: 0.0002 at "
            "/base/ds.json:1:27; leave one of the two out, or write \"auto\" there");
  EXPECT_EQ(ErrorOf(R"({"optimizer": {"params": {"lr": 1e-3}}})", {"train.learning_rate=0.001"}), "OK");
  EXPECT_EQ(
      ErrorOf("{\"bf16\": {\"enabled\": true},\n \"bfloat16\": {\"enabled\": false}}"),
      "/base/ds.json:2:15: bfloat16.enabled: false contradicts bf16.enabled: true at /base/ds.json:1:11; leave one of the two "
      "out");
  EXPECT_EQ(
      ErrorOf(R"({"train_batch_size": 64, "train_micro_batch_size_per_gpu": 8, "gradient_accumulation_steps": 5})"),
      "/base/ds.json:1:63: spec.train.gradient_accumulation_steps: contradicts global_batch_size: 64 users in micro-steps of 8 "
      "x 2 workers are 4 micro-steps, not 5; leave one of the two out");
  EXPECT_EQ(ErrorOf(R"({"train_batch_size": 63})"),
            "/base/ds.json:1:2: train_batch_size: 63 doesn't divide into 1 micro-steps x 2 workers; give "
            "train_micro_batch_size_per_gpu");
}

TEST(DeepSpeedConfig, WarmUpIsAShareOfTheSteps) {
  EXPECT_DOUBLE_EQ(SpecOf(R"({"scheduler": {"params": {"warmup_num_steps": 0}}})").train().warmup_ratio(), 0);
  EXPECT_DOUBLE_EQ(
      SpecOf(R"({"scheduler": {"params": {"warmup_num_steps": "auto", "total_num_steps": 10}}})").train().warmup_ratio(), 0.1);
  EXPECT_EQ(
      ErrorOf(R"({"scheduler": {"params": {"warmup_num_steps": 7}}})"),
      "/base/ds.json:1:27: scheduler.params.warmup_num_steps: needs scheduler.params.total_num_steps as a number: the job knows "
      "warm-up as a share of its steps; give it, or write \"auto\" and set train.warmup_ratio in job.yaml");
  EXPECT_EQ(
      ErrorOf(R"({"scheduler": {"params": {"warmup_num_steps": 7, "total_num_steps": 5}}})"),
      "/base/ds.json:1:27: scheduler.params.warmup_num_steps: must not exceed scheduler.params.total_num_steps (got 7 > 5)");
}

// Another client must send values: nobody behind pixelrecctl would read its file.
TEST(DeepSpeedConfig, AMessageWithAPathIsRefused) {
  v1::JobSpec spec = SpecOf("{}");
  spec.mutable_distributed()->set_deepspeed_config("/base/ds.json");
  EXPECT_EQ(
      ValidateJobSpec(spec).message(),
      "spec.distributed.deepspeed_config: is read where the job is written, by pixelrecctl; a JobSpec carries the values it "
      "stands for");
}

}  // namespace
}  // namespace pixelrec::config
