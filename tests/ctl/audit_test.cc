#include <gmock/gmock.h>

#include "absl/strings/str_replace.h"
#include "ctl/client/sample_audit.h"
#include "ctl/render/audit_text.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two epochs of 4 steps and 10 samples. One rank; grown to 3; a loss behind step 6 takes steps 6 and 7; two ranks go on.
constexpr char kHistory[] = R"pb(
  events {
    generation: 2
    state_change { to: JOB_STATE_STARTING ranks: 1 }
  }
  events {
    generation: 2
    artifact { path: "/out/recovery/step-2" step: 2 samples: 6 sample_digest: "d2" }
  }
  events {
    generation: 3
    state_change { to: JOB_STATE_STARTING ranks: 3 from_step: 2 }
  }
  events {
    generation: 3
    epoch_result { epoch: 1 step: 4 samples: 10 sample_digest: "d4" }
  }
  events {
    generation: 3
    artifact { path: "/out/checkpoint-epoch-1" step: 4 samples: 10 sample_digest: "d4" }
  }
  events {
    generation: 3
    artifact { path: "/out/best_model" step: 4 }
  }
  events {
    generation: 3
    artifact { path: "/out/recovery/step-5" step: 5 samples: 13 sample_digest: "d5" }
  }
  events {
    generation: 3
    failure { cause: FAILURE_CAUSE_WORKER_LOST message: "its worker was lost" step: 7 }
  }
  events {
    generation: 4
    state_change { to: JOB_STATE_STARTING ranks: 2 from_step: 5 }
  }
)pb";
constexpr char kEnd[] = R"pb(
  events {
    generation: 4
    epoch_result { epoch: 2 step: 8 samples: 20 sample_digest: "d8" }
  }
  events {
    generation: 4
    result {
      samples: 20
      sample_digest: "d8"
      epochs { epoch: 1 step: 4 }
      epochs { epoch: 2 step: 8 }
    }
  }
)pb";
constexpr char kExpected[] = R"({"data_hash": "abc123", "samples": 10, "steps_per_epoch": 4,
  "epochs": [{"epoch": 1, "step": 4, "samples": 10, "distinct": 10}, {"epoch": 2, "step": 8, "samples": 10, "distinct": 10}],
  "steps": [{"step": 2, "samples": 6, "digest": "d2"}, {"step": 4, "samples": 10, "digest": "d4"},
            {"step": 5, "samples": 13, "digest": "d5"}, {"step": 8, "samples": 20, "digest": "d8"}]})";
// Up to step 5 alone.
constexpr char kExpectedSoFar[] = R"({"data_hash": "abc123", "samples": 10, "steps_per_epoch": 4,
  "epochs": [{"epoch": 1, "step": 4, "samples": 10, "distinct": 10}],
  "steps": [{"step": 2, "samples": 6, "digest": "d2"}, {"step": 4, "samples": 10, "digest": "d4"},
            {"step": 5, "samples": 13, "digest": "d5"}]})";

SampleAudit Audit(const std::string& history, const std::string& expected = kExpected) {
  const auto events = FromText<v1::ListJobEventsResponse>(history);
  const auto records = SampleRecordsOf(SampleJob(), events);
  const auto parsed = ParseExpectedSamples(expected);
  EXPECT_TRUE(records.ok() && parsed.ok()) << records.status() << parsed.status();
  return AuditSamples(SampleJob(), events, *records, *parsed);
}

TEST(Audit, ShowsWhatWasVisitedOnceAndWhatWasDoneTwice) {
  const SampleAudit audit = Audit(std::string(kHistory) + kEnd);
  EXPECT_THAT(audit.problems, ElementsAre());
  EXPECT_EQ(AuditText(audit),
            "job quickstart-1a2b: 10 samples; recorded up to step 8\n"
            "\n"
            "EPOCH  STEPS  EXPECTED  VISITED  DIGEST\n"
            "    1  1-4          10       10  equal\n"
            "    2  5-8          10       10  equal\n"
            "\n"
            "GEN  RANKS  STEPS  KEPT  END\n"
            "  2      1  1-2    1-2   made room for more ranks\n"
            "  3      3  3-7    3-5   WORKER_LOST: its worker was lost\n"
            "  4      2  6-8    6-8   done\n"
            "steps 6-7 of generation 3 were lost; generation 4 did them again, and only that is in the weights\n"
            "\n"
            "every sample was visited exactly once per epoch\n");
}

TEST(Audit, OfARunningJobEndsAtItsNewestRecord) {
  const SampleAudit audit = Audit(kHistory, kExpectedSoFar);
  EXPECT_THAT(audit.problems, ElementsAre());
  const std::string text = AuditText(audit);
  EXPECT_THAT(text, HasSubstr("    2  5 so far         3        3  equal\n"));
  EXPECT_THAT(text, HasSubstr("every sample was visited exactly once per epoch, as far as the newest record goes\n"));
  EXPECT_THAT(text, HasSubstr("  4      2  -      -     trains\n"));
}

TEST(Audit, FindsASampleTooMany) {
  const std::string history = absl::StrReplaceAll(
      std::string(kHistory) + kEnd, {{"step: 4 samples: 10 sample_digest: \"d4\"", "step: 4 samples: 11 sample_digest: \"x\""}});
  const SampleAudit audit = Audit(history);
  EXPECT_THAT(audit.problems,
              ElementsAre("epoch 1 (generation 3, step 4): 11 samples visited, 10 expected",
                          "checkpoint checkpoint-epoch-1 (generation 3, step 4): 11 samples visited, 10 expected"));
  const std::string text = AuditText(audit);
  EXPECT_THAT(text, HasSubstr("    1  1-4          10       11  differs\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("exactly once")));
  EXPECT_THAT(AuditData(audit, OutputFormat::kJson), HasSubstr("\"equal\": false"));
}

// As many samples, one of them twice.
TEST(Audit, FindsOtherSamplesByTheDigest) {
  const std::string history = absl::StrReplaceAll(std::string(kHistory) + kEnd, {{"\"d5\"", "\"e5\""}});
  EXPECT_THAT(
      Audit(history).problems,
      ElementsAre("checkpoint step-5 (generation 3, step 5): digest e5, d5 expected: as many samples, but others, or with "
                  "other negatives"));
}

TEST(Audit, FindsOtherDataAndAnIncompleteSequence) {
  EXPECT_THAT(Audit(kHistory, absl::StrReplaceAll(kExpectedSoFar, {{"abc123", "abc124"}})).problems,
              ElementsAre(HasSubstr("this is not the data that the job trained on: its hash is abc124, the job's abc123")));
  EXPECT_THAT(Audit(kHistory, absl::StrReplaceAll(kExpectedSoFar, {{"\"distinct\": 10", "\"distinct\": 9"}})).problems,
              ElementsAre("epoch 1 visits 9 of 10 samples"));
}

// It went on in another job's output_dir: the first record of its own covers what came before.
TEST(Audit, OfAJobThatWentOnFromAnothersCheckpoint) {
  const SampleAudit audit =
      Audit(std::string("events { generation: 2 state_change { to: JOB_STATE_STARTING ranks: 2 } }"
                        "events { generation: 2 state_change { to: JOB_STATE_RUNNING ranks: 2 from_step: 4 } }") +
                absl::StrReplaceAll(kEnd, {{"generation: 4", "generation: 2"}}),
            kExpected);
  EXPECT_THAT(audit.problems, ElementsAre());
  EXPECT_THAT(AuditText(audit), HasSubstr("    1  1-4          10        -  in the next one's\n"
                                          "    2  5-8          10       10  equal\n"
                                          "\n"
                                          "GEN  RANKS  STEPS  KEPT  END\n"
                                          "  2      2  5-8    5-8   done\n"));
}

TEST(Audit, AsData) {
  const std::string yaml = AuditData(Audit(kHistory, kExpectedSoFar), OutputFormat::kYaml);
  EXPECT_THAT(yaml, HasSubstr("equal: true\n"));
  EXPECT_THAT(yaml, HasSubstr("whole: false\n"));
  EXPECT_THAT(yaml, HasSubstr("problems:\n  []\n"));
}

TEST(Audit, NeedsARecord) {
  v1::Job job = SampleJob();
  EXPECT_EQ(SampleRecordsOf(job, {}).status().message(),
            "job quickstart-1a2b (RUNNING) has recorded no samples yet: ask again after its first checkpoint");
  job.mutable_spec()->set_kind("Evaluate");
  EXPECT_EQ(SampleRecordsOf(job, {}).status().message(), "job quickstart-1a2b evaluates: it visits no training samples");
}

TEST(Audit, RefusesWhatNoTrainerOfThisVersionPrints) {
  for (const char* text : {"", "{}", "[1]", R"({"data_hash": 3, "samples": 1, "epochs": [], "steps": []})",
                           R"({"data_hash": "x", "samples": 1, "epochs": [{}], "steps": []})"}) {
    EXPECT_EQ(ParseExpectedSamples(text).status().code(), absl::StatusCode::kInternal) << text;
  }
}

}  // namespace
}  // namespace pixelrec::ctl
