// What a good job.yaml becomes, and what the coordinator refuses of a message that no job.yaml could have made.
#include "common/config/job_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "google/protobuf/util/message_differencer.h"

namespace pixelrec::config {
namespace {

using testing::HasSubstr;

constexpr char kMinimal[] =
    "metadata: {name: demo}\n"
    "spec:\n"
    "  data: {interaction_data: data/i.csv, text_data: /abs/t.csv}\n"
    "  model: {item_model_dir: ../m, user_model_dir: m}\n"
    "  output_dir: out/./demo\n";

v1::JobSpec Parse(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  const auto spec = ParseJobYaml(yaml, "job.yaml", "/base/dir", overrides);
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *spec : v1::JobSpec();
}

TEST(JobSpec, SingleRulesOfTheReferenceAreAbsentUnlessWritten) {
  const v1::JobSpec spec = Parse(std::string(kMinimal) + "  compat: {columns_by_position: true, reference_sampler: false}\n");
  EXPECT_TRUE(spec.compat().columns_by_position());
  EXPECT_TRUE(spec.compat().has_reference_sampler());
  EXPECT_FALSE(spec.compat().reference_sampler());
  EXPECT_FALSE(spec.compat().has_padded_negatives());
  EXPECT_FALSE(Parse(kMinimal).compat().has_columns_by_position());
}

// Rule T5 (and T4, which divides by the same numbers): no step of another size than the reference's exists.
TEST(JobSpec, ReferenceSamplerTakesWholeShares_T4_T5) {
  const auto error = [](const std::string& compat, const std::string& batch) {
    const auto spec = ParseJobYaml(std::string(kMinimal) + "  " + compat + "\n", "job.yaml", "/base",
                                   {"train.per_device_train_batch_size=4", "distributed.workers=2", batch});
    return spec.ok() ? std::string() : std::string(spec.status().message());
  };
  for (const char* whole : {"train.global_batch_size=8", "train.global_batch_size=24", "train.gradient_accumulation_steps=3"})
    EXPECT_EQ(error("numerics: compat", whole), "") << whole;
  EXPECT_THAT(error("numerics: compat", "train.global_batch_size=20"),
              HasSubstr("spec.train.global_batch_size: must be a multiple of per_device_train_batch_size x workers = 4 x 2 with "
                        "compat.reference_sampler (got 20): the reference draws so many for each worker; use 16 or 24"));
  EXPECT_THAT(error("numerics: compat", "train.global_batch_size=5"), HasSubstr("; use 8, or switch that rule off"));
  EXPECT_THAT(error("compat: {num_negatives_per_sample: true}", "train.global_batch_size=20"),
              HasSubstr("with compat.num_negatives_per_sample (got 20)"));
  EXPECT_EQ(error("compat: {padded_negatives: true}", "train.global_batch_size=20"), "");
  EXPECT_EQ(error("numerics: exact", "train.global_batch_size=20"), "");
  EXPECT_EQ(error("numerics: compat\n  compat: {reference_sampler: false, num_negatives_per_sample: false}",
                  "train.global_batch_size=20"),
            "");
}

// The table at the top of hllm.md, and the rest of control-plane.md.
TEST(JobSpec, HasEveryDefault) {
  const v1::JobSpec spec = Parse(kMinimal);
  EXPECT_EQ(spec.kind(), "TrainingJob");
  EXPECT_EQ(spec.name(), "demo");
  const v1::DataSpec& data = spec.data();
  EXPECT_EQ(data.text_keys_size(), 2);
  EXPECT_EQ(data.text_keys(0), "title");
  EXPECT_EQ(data.text_keys(1), "description");
  EXPECT_EQ(data.item_prompt(), "Compress the following sentence into embedding: ");
  EXPECT_EQ(data.max_seq_length(), 11);
  EXPECT_EQ(data.max_text_length(), 256);
  EXPECT_FALSE(data.has_item_data());
  EXPECT_FALSE(data.cold_items());
  EXPECT_TRUE(data.data_split());
  EXPECT_EQ(spec.model().item_emb_token_n(), 1);
  EXPECT_TRUE(spec.model().gradient_checkpointing());
  EXPECT_FALSE(spec.model().has_init_from());
  const v1::TrainSpec& train = spec.train();
  EXPECT_EQ(train.per_device_train_batch_size(), 4);
  EXPECT_FALSE(train.has_global_batch_size());
  EXPECT_EQ(train.gradient_accumulation_steps(), 1);
  EXPECT_EQ(train.num_train_epochs(), 5);
  EXPECT_DOUBLE_EQ(train.learning_rate(), 1e-4);
  EXPECT_EQ(train.optimizer(), "adamw");
  EXPECT_EQ(train.lr_scheduler_type(), "cosine");
  EXPECT_DOUBLE_EQ(train.warmup_ratio(), 0.1);
  EXPECT_DOUBLE_EQ(train.weight_decay(), 0.01);
  EXPECT_DOUBLE_EQ(train.max_grad_norm(), 1.0);
  EXPECT_FALSE(train.has_num_negatives());
  EXPECT_TRUE(train.bf16());
  EXPECT_EQ(train.seed(), 42u);
  EXPECT_EQ(train.dataloader_num_workers(), 2);
  EXPECT_EQ(train.logging_steps(), 10);
  EXPECT_EQ(train.max_nonfinite_steps(), 5);
  EXPECT_EQ(train.max_collapsed_steps(), 50);
  EXPECT_FALSE(train.grad_cache());
  EXPECT_EQ(train.early_stopping().metric(), "validation_loss");
  EXPECT_FALSE(train.early_stopping().has_patience());
  EXPECT_FALSE(train.profile());
  EXPECT_EQ(spec.distributed().workers(), 1);
  EXPECT_EQ(spec.distributed().min_workers(), 1);
  EXPECT_EQ(spec.distributed().max_workers(), 1);
  EXPECT_EQ(spec.distributed().backend(), v1::BACKEND_AUTO);
  EXPECT_EQ(spec.distributed().zero_stage(), 0);
  EXPECT_FALSE(spec.distributed().has_item_zero_stage());
  EXPECT_FALSE(spec.distributed().has_user_zero_stage());
  EXPECT_EQ(spec.evaluation().every_epochs(), 1);
  EXPECT_EQ(spec.evaluation().k_size(), 4);
  EXPECT_EQ(spec.evaluation().k(3), 200);
  EXPECT_EQ(spec.checkpoint().every_steps(), 500);
  EXPECT_EQ(spec.checkpoint().every_seconds(), 600);
  EXPECT_EQ(spec.checkpoint().keep(), 2);
  EXPECT_EQ(spec.numerics(), v1::NUMERICS_EXACT);
  EXPECT_EQ(spec.scheduling().priority(), 50);
  EXPECT_EQ(spec.scheduling().max_restarts().user(), 0);
  EXPECT_EQ(spec.scheduling().max_restarts().infrastructure(), 20);
  EXPECT_EQ(spec.scheduling().max_restarts().preemption(), -1);
  EXPECT_EQ(spec.output_policy(), v1::OUTPUT_POLICY_NEW);
  EXPECT_EQ(GlobalBatchSize(spec), 4);
}

TEST(JobSpec, ResolvesPathsAgainstTheFilesFolder) {
  const v1::JobSpec spec = Parse(kMinimal);
  EXPECT_EQ(spec.data().interaction_data(), "/base/dir/data/i.csv");
  EXPECT_EQ(spec.data().text_data(), "/abs/t.csv");
  EXPECT_EQ(spec.model().item_model_dir(), "/base/m");
  EXPECT_EQ(spec.output_dir(), "/base/dir/out/demo");
}

TEST(JobSpec, ReadsEveryKindOfValue) {
  const v1::JobSpec spec =
      Parse(std::string(kMinimal) +
            "  output_policy: replace\n"
            "  train: {num_negatives: 512, bf16: false, seed: 18446744073709551615, learning_rate: 2e-3, weight_decay: 0}\n"
            "  evaluation: {k: [1, 5]}\n"
            "  distributed: {workers: 2, max_workers: 4, backend: gloo}\n"
            "  scheduling: {max_restarts: {infrastructure: -1}}\n");
  EXPECT_EQ(spec.output_policy(), v1::OUTPUT_POLICY_REPLACE);
  EXPECT_EQ(spec.train().num_negatives(), 512);
  EXPECT_FALSE(spec.train().bf16());
  EXPECT_EQ(spec.train().seed(), std::numeric_limits<uint64_t>::max());
  EXPECT_DOUBLE_EQ(spec.train().learning_rate(), 2e-3);
  EXPECT_EQ(spec.train().weight_decay(), 0);
  EXPECT_EQ(spec.evaluation().k_size(), 2);
  EXPECT_EQ(spec.distributed().min_workers(), 2);
  EXPECT_EQ(spec.distributed().max_workers(), 4);
  EXPECT_EQ(spec.distributed().backend(), v1::BACKEND_GLOO);
  EXPECT_EQ(spec.scheduling().max_restarts().infrastructure(), -1);
}

TEST(JobSpec, TextKeysMayBeOneWord) {
  const v1::JobSpec spec = Parse(kMinimal, {"data.text_keys=title, tag"});
  ASSERT_EQ(spec.data().text_keys_size(), 2);
  EXPECT_EQ(spec.data().text_keys(1), "tag");
}

TEST(JobSpec, NullMeansAbsent) {
  const v1::JobSpec spec =
      Parse(std::string(kMinimal) + "  train: {num_negatives: null, global_batch_size: ~, early_stopping: null}\n" +
            "  distributed: {deepspeed_config: null}\n");
  EXPECT_FALSE(spec.train().has_num_negatives());
  EXPECT_FALSE(spec.train().has_global_batch_size());
  EXPECT_FALSE(spec.distributed().has_deepspeed_config());
}

TEST(JobSpec, PartsOfTheModelAndOfTraining) {
  const v1::JobSpec spec = Parse(kMinimal, {"model.freeze=item_llm", "train.early_stopping.metric=ndcg@10",
                                            "train.early_stopping.patience=3", "train.lr_mult_prefix={user_llm: 0.5}"});
  ASSERT_EQ(spec.model().freeze_size(), 1);
  EXPECT_EQ(spec.model().freeze(0), "item_llm");
  EXPECT_EQ(spec.train().early_stopping().metric(), "ndcg@10");
  EXPECT_EQ(spec.train().early_stopping().patience(), 3);
  EXPECT_EQ(spec.train().lr_mult_prefix().at("user_llm"), 0.5);
}

TEST(JobSpec, ZeroStagesOfTheJobAndOfOneModule) {
  const v1::JobSpec spec = Parse(kMinimal, {"distributed.zero_stage=2", "distributed.item_zero_stage=3"});
  EXPECT_EQ(spec.distributed().zero_stage(), 2);
  EXPECT_EQ(spec.distributed().item_zero_stage(), 3);
  EXPECT_FALSE(spec.distributed().has_user_zero_stage());
}

TEST(JobSpec, EvaluateNeedsWeights) {
  const auto without = config::ParseJobYaml(kMinimal, "job.yaml", "/base", {"kind=Evaluate"});
  EXPECT_THAT(std::string(without.status().message()),
              testing::HasSubstr("spec.model.init_from: is required for kind: Evaluate"));
  EXPECT_EQ(Parse(kMinimal, {"kind=Evaluate", "model.init_from=out/best_model"}).kind(), "Evaluate");
}

TEST(JobSpec, AnEmptyPromptStaysEmpty) {
  const v1::JobSpec spec = Parse(kMinimal, {"data.item_prompt=\"\""});
  EXPECT_TRUE(spec.data().has_item_prompt());
  EXPECT_EQ(spec.data().item_prompt(), "");
}

TEST(JobSpec, OverridesReplaceAndAdd) {
  const v1::JobSpec spec = Parse(kMinimal, {"spec.train.learning_rate=1e-3", "metadata.labels.team=recs",
                                            "spec.output_dir=elsewhere", "train.learning_rate=2e-3"});
  EXPECT_DOUBLE_EQ(spec.train().learning_rate(), 2e-3);
  EXPECT_EQ(spec.labels().at("team"), "recs");
  EXPECT_EQ(spec.output_dir(), "/base/dir/elsewhere");
}

TEST(JobSpec, AnAnchorMayBeReused) {
  const v1::JobSpec spec = Parse(
      "metadata: {name: demo}\nspec:\n  data: {interaction_data: i, text_data: t}\n"
      "  model: {item_model_dir: &dir models/llm, user_model_dir: *dir}\n  output_dir: o\n");
  EXPECT_EQ(spec.model().item_model_dir(), spec.model().user_model_dir());
}

TEST(JobSpec, ByteOrderMarkAndWindowsLineEndsAreFine) {
  std::string yaml = "\xEF\xBB\xBF";
  for (const char c : std::string(kMinimal)) yaml += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(Parse(yaml).name(), "demo");
}

TEST(JobSpec, GlobalBatchDecidesTheMicroSteps) {
  v1::JobSpec spec =
      Parse(kMinimal, {"train.global_batch_size=30", "train.per_device_train_batch_size=4", "distributed.workers=2"});
  EXPECT_EQ(GlobalBatchSize(spec), 30);
  EXPECT_EQ(spec.train().gradient_accumulation_steps(), 4);
  spec = Parse(kMinimal, {"train.gradient_accumulation_steps=3", "distributed.workers=2"});
  EXPECT_EQ(GlobalBatchSize(spec), 24);
}

TEST(JobSpec, MinWorkersAloneIsTheNumberOfWorkers) {
  const v1::JobSpec spec = Parse(kMinimal, {"distributed.min_workers=3"});
  EXPECT_EQ(spec.distributed().workers(), 3);
  EXPECT_EQ(spec.distributed().max_workers(), 3);
}

TEST(JobSpec, ATimeLimitIsADuration) {
  v1::JobSpec spec = Parse(std::string(kMinimal) + "  scheduling: {time_limit: 90m}\n");
  EXPECT_EQ(spec.scheduling().time_limit().seconds(), 5400);
  spec = Parse(kMinimal, {"scheduling.time_limit=1500ms"});
  EXPECT_EQ(spec.scheduling().time_limit().seconds(), 1);
  EXPECT_EQ(spec.scheduling().time_limit().nanos(), 500'000'000);
  EXPECT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
  EXPECT_FALSE(Parse(kMinimal).scheduling().has_time_limit());
}

TEST(JobSpec, DefaultsAreIdempotent) {
  v1::JobSpec spec = Parse(kMinimal, {"train.global_batch_size=32"});
  const v1::JobSpec once = spec;
  ApplyDefaults(spec);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(once, spec));
  EXPECT_TRUE(ValidateJobSpec(spec).ok());
}

// A client in any language may send the four things that are required and nothing else.
TEST(JobSpec, DefaultsMakeAMinimalMessageValid) {
  v1::JobSpec spec;
  spec.set_name("demo");
  spec.mutable_data()->set_interaction_data("/i");
  spec.mutable_data()->set_text_data("/t");
  spec.mutable_model()->set_item_model_dir("/m");
  spec.mutable_model()->set_user_model_dir("/m");
  spec.set_output_dir("/o");
  ApplyDefaults(spec);
  EXPECT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
}

TEST(JobSpec, NamesTheFieldOfABadMessage) {
  const v1::JobSpec good = Parse(kMinimal);
  const auto error = [&](const auto& change) {
    v1::JobSpec spec = good;
    change(spec);
    return std::string(ValidateJobSpec(spec).message());
  };
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_train()->set_learning_rate(-1); }),
            "spec.train.learning_rate: must be > 0 (got -1)");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_train()->set_learning_rate(std::numeric_limits<double>::quiet_NaN()); }),
            "spec.train.learning_rate: must be finite (got nan)");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_train()->set_per_device_train_batch_size(0); }),
            "spec.train.per_device_train_batch_size: must be between 1 and 2147483647 (got 0)");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.set_output_dir("relative"); }),
            "spec.output_dir: must be absolute once submitted (got \"relative\")");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.set_output_dir(std::string("/a\0b", 4)); }), "spec.output_dir: is not valid text");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_distributed()->set_backend(static_cast<v1::Backend>(17)); }),
            "spec.distributed.backend: has the unknown value 17");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.clear_name(); }),
            "metadata.name: is required: Name of the job; commands take it in place of the id.");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_data()->add_text_keys("title"); }),
            "spec.data.text_keys: names \"title\" twice");
  EXPECT_EQ(
      error([](v1::JobSpec& s) {
        s.mutable_train()->mutable_early_stopping()->set_metric("recall@7");
        s.mutable_train()->mutable_early_stopping()->set_patience(3);
      }),
      "spec.train.early_stopping.metric: names a cut-off that evaluation.k doesn't have (got \"recall@7\", evaluation.k is 5, "
      "10, 50, 200)");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_scheduling()->mutable_time_limit()->set_nanos(3'000'000); }),
            "spec.scheduling.time_limit: must be between 1s and 8760h (got 3ms)");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_scheduling()->mutable_time_limit()->set_seconds(-7200); }),
            "spec.scheduling.time_limit: must be between 1s and 8760h (got -2h)");
  EXPECT_EQ(error([](v1::JobSpec& s) { s.mutable_scheduling()->mutable_time_limit()->set_seconds(90); }), "");
  EXPECT_EQ(error([](v1::JobSpec& s) {
              s.mutable_train()->set_per_device_train_batch_size(1 << 30);
              s.mutable_train()->set_gradient_accumulation_steps(1 << 30);
            }),
            "spec.train.per_device_train_batch_size: gives 1152921504606846976 users per optimiser step; at most 16777216");
}

}  // namespace
}  // namespace pixelrec::config
