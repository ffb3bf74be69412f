// What a mistake in job.yaml is answered with: every message in full.
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <ostream>
#include <string>
#include <vector>

#include "common/config/job_spec.h"

namespace pixelrec::config {
namespace {

// A whole job with TRAIN put inside spec.train and EXTRA after it, so that line numbers stay put.
std::string Job(const std::string& train, const std::string& extra = "") {
  return "apiVersion: pixelrec/v1\n"                              // 1
         "kind: TrainingJob\n"                                    // 2
         "metadata: {name: demo}\n"                               // 3
         "spec:\n"                                                // 4
         "  data: {interaction_data: i.csv, text_data: t.csv}\n"  // 5
         "  model: {item_model_dir: m, user_model_dir: m}\n"      // 6
         "  output_dir: out\n"                                    // 7
         "  train:\n"                                             // 8
         "    seed: 1\n" +                                        // 9
         (train.empty() ? "" : "    " + train + "\n") +
         (extra.empty() ? "" : extra + "\n");  // 10
}

std::string ErrorOf(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  const auto spec = ParseJobYaml(yaml, "job.yaml", "/base", overrides);
  if (spec.ok()) return "OK";
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(spec.status().message());
}

struct Case {
  std::string name;
  std::string yaml;
  std::string error;
  std::vector<std::string> overrides = {};
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class JobYamlErrors : public testing::TestWithParam<Case> {};

TEST_P(JobYamlErrors, SaysWhatWhereAndHow) { EXPECT_EQ(ErrorOf(GetParam().yaml, GetParam().overrides), GetParam().error); }

const Case kSyntax[] = {
    {"Empty", "", "job.yaml:1:1: the file is empty; `pixelrecctl init` writes one to start from"},
    {"OnlyComments", "# nothing\n", "job.yaml:1:1: the file is empty; `pixelrecctl init` writes one to start from"},
    {"NotAMap", "- a\n- b\n", "job.yaml:1:1: must be a map of keys; a job is expected"},
    {"JustAWord", "hello\n", "job.yaml:1:1: must be a map of keys; a job is expected"},
    {"UnclosedBrace", "metadata: {name: demo\n", "job.yaml:2:1: end of map flow not found"},
    {"Tab", "spec:\n\tdata: 1\n", "job.yaml:2:1: indented with a tab; YAML wants spaces"},
    {"DuplicateKey", Job("seed: 2"), "job.yaml:10:5: duplicate key \"seed\""},
    {"DuplicateTopKey", Job("", "kind: TrainingJob"), "job.yaml:10:1: duplicate key \"kind\""},
    {"Cycle", "spec: &a\n  data: *a\n", "job.yaml:2:9: an alias to a node that contains it"},
    {"UnknownAlias", "spec: *nothing\n", "job.yaml:1:7: the referenced anchor is not defined"},
    {"Tag", "spec: !!python/object:os.system x\n",
     "job.yaml:1:7: tags are not supported (\"tag:yaml.org,2002:python/object:os.system\")"},
    {"SecondDocument", Job("") + "---\nkind: TrainingJob\n", "job.yaml:10:1: a second document; one file holds one"},
    {"ListAsKey", "[a, b]: c\n", "job.yaml:1:1: a key must be a plain word"},
    {"BadUtf8", "kind: \xff\n", "job.yaml:1:7: not valid UTF-8 text"},
    {"NulByte", std::string("kind: a\0b\n", 10), "job.yaml:1:8: not valid UTF-8 text"},
    {"EscapedNul", "kind: \"a\\0b\"\n", "job.yaml:1:7: not a valid Unicode string"},
    {"MergeKey", "base: &b {kind: TrainingJob}\n",
     "job.yaml:1:1: unknown key \"base\"; keys here: apiVersion, kind, metadata, spec"},
};
INSTANTIATE_TEST_SUITE_P(Syntax, JobYamlErrors, testing::ValuesIn(kSyntax), [](const auto& p) { return p.param.name; });

const Case kKeys[] = {
    {"Typo", Job("learning_rte: 1"),
     "job.yaml:10:5: unknown key \"learning_rte\" in spec.train; did you mean \"learning_rate\"?"},
    {"TypoAtTop", Job("", "knid: TrainingJob"), "job.yaml:10:1: unknown key \"knid\"; did you mean \"kind\"?"},
    {"WrongPlace", Job("", "  max_seq_length: 3"),
     "job.yaml:10:3: unknown key \"max_seq_length\" in spec; did you mean \"spec.data.max_seq_length\"?"},
    {"TypoOfAnotherPlace", Job("max_text_lenght: 3"),
     "job.yaml:10:5: unknown key \"max_text_lenght\" in spec.train; did you mean \"spec.data.max_text_length\"?"},
    {"NothingNear", Job("", "  checkpoint: {frobnicate: 3}"),
     "job.yaml:10:16: unknown key \"frobnicate\" in spec.checkpoint; keys here: every_steps, every_seconds, keep"},
    {"MapExpected", Job("", "  checkpoint: 3"), "job.yaml:10:15: spec.checkpoint: must be a map (got 3)"},
    {"MissingName", "spec: {}\n",
     "job.yaml:1:1: metadata.name: is required: Name of the job; commands take it in place of the id."},
    {"MissingTextData",
     "metadata: {name: demo}\nspec:\n  data: {interaction_data: i.csv}\n  model: {item_model_dir: m, user_model_dir: m}\n  "
     "output_dir: o\n",
     "job.yaml:3:9: spec.data.text_data: is required: CSV with the column item_id and one column per text key."},
    {"MissingOutput",
     "metadata: {name: demo}\nspec:\n  data: {interaction_data: i, text_data: t}\n  model: {item_model_dir: m, user_model_dir: "
     "m}\n",
     "job.yaml:3:3: spec.output_dir: is required: Receives checkpoint-epoch-N/, best_model/ and logs/."},
};
INSTANTIATE_TEST_SUITE_P(Keys, JobYamlErrors, testing::ValuesIn(kKeys), [](const auto& p) { return p.param.name; });

const Case kValues[] = {
    {"NegativeBatch", Job("per_device_train_batch_size: -4"),
     "job.yaml:10:34: spec.train.per_device_train_batch_size: must be between 1 and 2147483647 (got -4)"},
    {"IntegerAsWord", Job("num_train_epochs: many"),
     "job.yaml:10:23: spec.train.num_train_epochs: must be an integer (got \"many\")"},
    {"IntegerAsNumber", Job("num_train_epochs: 2.5"),
     "job.yaml:10:23: spec.train.num_train_epochs: must be an integer (got 2.5)"},
    {"QuotedInteger", Job("num_train_epochs: \"2\""),
     "job.yaml:10:23: spec.train.num_train_epochs: must be an integer (got \"2\")"},
    {"TooLarge", Job("num_train_epochs: 99999999999"),
     "job.yaml:10:23: spec.train.num_train_epochs: must be between 1 and 2147483647 (got 99999999999)"},
    {"PriorityAbove", Job("", "  scheduling: {priority: 101}"),
     "job.yaml:10:26: spec.scheduling.priority: must be between 0 and 100 (got 101)"},
    {"ZeroRate", Job("learning_rate: 0"), "job.yaml:10:20: spec.train.learning_rate: must be > 0 (got 0)"},
    {"NegativeRate", Job("learning_rate: -1e-4"), "job.yaml:10:20: spec.train.learning_rate: must be > 0 (got -0.0001)"},
    {"InfiniteRate", Job("learning_rate: .inf"), "job.yaml:10:20: spec.train.learning_rate: must be a number (got \".inf\")"},
    {"NanRate", Job("learning_rate: nan"), "job.yaml:10:20: spec.train.learning_rate: must be a number (got \"nan\")"},
    {"Yes", Job("bf16: yes"), "job.yaml:10:11: spec.train.bf16: must be true or false (got \"yes\")"},
    {"NullWhereNotAllowed", Job("learning_rate: null"), "job.yaml:10:20: spec.train.learning_rate: must be a number (got null)"},
    {"NumberAsString", Job("", "  output_policy: 7"), "job.yaml:10:18: spec.output_policy: must be a string (got 7)"},
    {"UnknownPolicy", Job("", "  output_policy: keep"),
     "job.yaml:10:18: spec.output_policy: must be one of new, resume, replace (got \"keep\")"},
    {"ListForScalar", Job("learning_rate: [1, 2]"), "job.yaml:10:20: spec.train.learning_rate: must be a number (got a list)"},
    {"ScalarForList", Job("", "  evaluation: {k: 5}"), "job.yaml:10:19: spec.evaluation.k: must be a list of integers (got 5)"},
    {"WordInList", Job("", "  evaluation: {k: [5, ten]}"), "job.yaml:10:23: spec.evaluation.k: must be an integer (got \"ten\")"},
    {"DescendingK", Job("", "  evaluation: {k: [10, 5]}"), "job.yaml:10:19: spec.evaluation.k: must ascend (5 after 10)"},
    {"EmptyK", Job("", "  evaluation: {k: []}"), "job.yaml:10:19: spec.evaluation.k: must not be empty"},
    {"BadName", "metadata: {name: My_Job}\n",
     "job.yaml:1:18: metadata.name: must be 1-63 characters of a-z, 0-9 and '-', not starting or ending with '-' (got "
     "\"My_Job\")"},
    {"NumericName", "metadata: {name: 2024}\n", "job.yaml:1:18: metadata.name: must be a string (got 2024); put it in quotes"},
    {"NumericLabel", "metadata: {labels: {version: 2}}\n",
     "job.yaml:1:30: metadata.labels: must be a string (got 2); put it in quotes"},
    {"OtherVersion", "apiVersion: pixelrec/v2\n", "job.yaml:1:13: apiVersion: must be one of pixelrec/v1 (got \"pixelrec/v2\")"},
    {"EmptyPath", "spec: {output_dir: \"\"}\n", "job.yaml:1:20: spec.output_dir: must not be empty"},
    {"TextKeysWithHole", "spec: {data: {text_keys: \"title,,tag\"}}\n",
     "job.yaml:1:26: spec.data.text_keys: has an empty name (got \"title,,tag\")"},
    {"TextKeyTwice", Job(""), "--set data.text_keys=a,a: spec.data.text_keys: names \"a\" twice", {"data.text_keys=a,a"}},
    {"MinAboveMax", Job("", "  distributed: {min_workers: 4, max_workers: 2}"),
     "job.yaml:10:30: spec.distributed.min_workers: must not exceed max_workers (got 4 > 2)"},
    {"WorkersAboveMax", Job("", "  distributed: {workers: 4, min_workers: 1, max_workers: 2}"),
     "job.yaml:10:26: spec.distributed.workers: must lie between min_workers 1 and max_workers 2 (got 4)"},
    {"MoreWorkersThanUsers", Job("", "  distributed: {workers: 2, max_workers: 9}"),
     "job.yaml:10:42: spec.distributed.max_workers: must not exceed the 8 users of an optimiser step (got 9): further workers "
     "would get none; lower it, or raise train.global_batch_size"},
    {"BatchContradiction", Job("global_batch_size: 32\n    gradient_accumulation_steps: 3"),
     "job.yaml:11:34: spec.train.gradient_accumulation_steps: contradicts global_batch_size: 32 users in micro-steps of 4 x 1 "
     "workers are "
     "8 micro-steps, not 3; leave one of the two out"},
};
INSTANTIATE_TEST_SUITE_P(Values, JobYamlErrors, testing::ValuesIn(kValues), [](const auto& p) { return p.param.name; });

const Case kNotYet[] = {
    {"ZeroStage", Job("", "  distributed: {zero_stage: 4}"),
     "job.yaml:10:29: spec.distributed.zero_stage: must be between 0 and 3 (got 4)"},
    {"ZeroStageOfOneModule", Job("", "  distributed: {user_zero_stage: -1}"),
     "job.yaml:10:34: spec.distributed.user_zero_stage: must be between 0 and 3 (got -1)"},
    {"Backend", Job("", "  distributed: {backend: mpi}"),
     "job.yaml:10:26: spec.distributed.backend: must be one of auto, gloo, nccl (got \"mpi\")"},
    {"Offload", Job("", "  distributed: {offload_optimizer: nvme}"),
     "job.yaml:10:36: spec.distributed.offload_optimizer: must be one of none, cpu (got \"nvme\")"},
    {"DeepSpeed", Job("", "  distributed: {deepspeed_config: no-such.json}"),
     "job.yaml:10:35: spec.distributed.deepspeed_config: /base/no-such.json: No such file or directory"},
    {"Numerics", Job("", "  numerics: fast"), "job.yaml:10:13: spec.numerics: must be one of exact, compat (got \"fast\")"},
    {"CompatRule", Job("", "  compat: {bf16_round: true}"),
     "job.yaml:10:12: unknown key \"bf16_round\" in spec.compat; did you mean \"bf16_rounding\"?"},
    {"GradCacheOfCompat", Job("grad_cache: true", "  numerics: compat"),
     "job.yaml:10:17: spec.train.grad_cache: contradicts compat.bf16_rounding, which numerics: compat switches on: the reference "
     "has "
     "no such thing; leave one of the two out"},
    {"GradCacheOfARule", Job("grad_cache: true", "  compat: {mean_per_rank: true}"),
     "job.yaml:10:17: spec.train.grad_cache: contradicts compat.mean_per_rank: the reference has no such thing; leave one of the "
     "two "
     "out"},
    {"Freeze", "spec: {model: {freeze: [item]}}\n",
     "job.yaml:1:24: spec.model.freeze: must be item_llm or user_llm (got \"item\")"},
    {"EmbeddingTokens", "spec: {model: {item_emb_token_n: 2}}\n",
     "job.yaml:1:34: spec.model.item_emb_token_n: must be between 0 and 1 (got 2)"},
    {"LrMult", Job("lr_mult_prefix: {item_llm: -0.1}"), "job.yaml:10:21: spec.train.lr_mult_prefix: must be >= 0 (got -0.1)"},
    {"EarlyStopping", Job("early_stopping: {metric: ndcg, patience: 3}"),
     "job.yaml:10:30: spec.train.early_stopping.metric: must be validation_loss, recall@K or ndcg@K (got \"ndcg\")"},
    {"Profile", Job("profile: true"),
     "job.yaml:10:14: spec.train.profile: true is not available: profiling is not built yet; leave it out"},
    {"TimeLimit", Job("", "  scheduling: {time_limit: 500ms}"),
     "job.yaml:10:28: spec.scheduling.time_limit: must be between 1s and 8760h (got 500ms)"},
    {"TimeLimitWithoutUnit", Job("", "  scheduling: {time_limit: 7200}"),
     "job.yaml:10:28: spec.scheduling.time_limit: must be a duration such as 500ms, 2s, 10m or 1h (got 7200)"},
    {"Kind", "kind: Train\n", "job.yaml:1:7: kind: must be one of TrainingJob, Evaluate (got \"Train\")"},
    {"Optimizer", Job("optimizer: sgd"), "job.yaml:10:16: spec.train.optimizer: must be one of adamw (got \"sgd\")"},
    {"Scheduler", Job("lr_scheduler_type: linear"),
     "job.yaml:10:24: spec.train.lr_scheduler_type: must be one of cosine (got \"linear\")"},
};
INSTANTIATE_TEST_SUITE_P(NotYet, JobYamlErrors, testing::ValuesIn(kNotYet), [](const auto& p) { return p.param.name; });

const Case kOverrides[] = {
    {"Range", Job(""), "--set spec.train.seed=-1: spec.train.seed: must be >= 0 (got -1)", {"spec.train.seed=-1"}},
    {"Type", Job(""), "--set spec.train.seed=x: spec.train.seed: must be an integer (got \"x\")", {"spec.train.seed=x"}},
    {"Unknown", Job(""), "--set spec.train.sed=1: unknown key \"spec.train.sed\"; did you mean \"seed\"?", {"spec.train.sed=1"}},
    {"NoEquals", Job(""), "--set seed: must be KEY=VALUE, for example spec.train.learning_rate=1e-3", {"seed"}},
    {"BadYaml", Job(""), "--set evaluation.k=[1: end of sequence flow not found", {"evaluation.k=[1"}},
    {"ThroughAScalar", "spec: 3\n", "--set train.seed=1: job.yaml:1:7 is not a map", {"train.seed=1"}},
    {"Contradiction",
     Job(""),
     "--set distributed.min_workers=3: spec.distributed.min_workers: must not exceed max_workers (got 3 > 2)",
     {"distributed.min_workers=3", "distributed.max_workers=2"}},
};
INSTANTIATE_TEST_SUITE_P(Overrides, JobYamlErrors, testing::ValuesIn(kOverrides), [](const auto& p) { return p.param.name; });

// control-plane.md: alias bomb, cycle, depth, 10 MB: INVALID_ARGUMENT in under 50 ms.
class HostileYaml : public testing::TestWithParam<Case> {};

// Of this thread's own work: a busy machine doesn't count.
std::chrono::nanoseconds ThreadCpuTime() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

TEST_P(HostileYaml, IsRefusedQuickly) {
  const auto start = ThreadCpuTime();
  const std::string error = ErrorOf(GetParam().yaml);
  const auto took = ThreadCpuTime() - start;
  EXPECT_EQ(error, GetParam().error);
#if defined(__SANITIZE_ADDRESS__) || defined(PIXELREC_TSAN)
  constexpr auto kAllowed = std::chrono::milliseconds(1000);
#else
  constexpr auto kAllowed = std::chrono::milliseconds(50);
#endif
  EXPECT_LT(took, kAllowed);
}

std::string AliasBomb() {
  std::string yaml = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string last = std::to_string(i - 1);
    yaml += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) yaml += (j ? ", *a" : "*a") + last;
    yaml += "]\n";
  }
  return yaml;
}

std::string Repeat(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

std::string Labels(int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += "k" + std::to_string(i) + ": v, ";
  return all;
}

const Case kHostile[] = {
    {"AliasBomb", AliasBomb(), "job.yaml:1:1: unknown key \"a0\"; keys here: apiVersion, kind, metadata, spec"},
    {"TenMegabytes", std::string(10 * 1024 * 1024, 'x'), "job.yaml:1:1: larger than 256 KiB (10485760 bytes)"},
    {"DeepFlow", Repeat("[", 100000), "job.yaml:1:17: nested deeper than 32 levels"},
    {"DeepMap", Repeat("{a: ", 1000), "job.yaml:1:125: nested deeper than 32 levels"},
    {"DeepBlock", Repeat("- ", 5000) + "x", "job.yaml:1:65: nested deeper than 32 levels"},
    {"ManyLabels", "metadata: {labels: {" + Labels(2000) + "}}",
     "job.yaml:1:20: metadata.labels: must have at most 64 entries (got 2000)"},
    {"ManyValues", "metadata: {labels: {" + Labels(20000) + "}}", "job.yaml:1:48888: more than 10000 keys and values"},
    {"LongKey", std::string(200000, 'k') + ": 1", "job.yaml:1:200001: illegal map value"},
};
INSTANTIATE_TEST_SUITE_P(All, HostileYaml, testing::ValuesIn(kHostile), [](const auto& p) { return p.param.name; });

}  // namespace
}  // namespace pixelrec::config
