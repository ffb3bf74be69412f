// pixelrecctl audit with a trainer that says what the test wants.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

class AuditCommand : public ServedCtl {
 protected:
  void SetUp() override {
    ServedCtl::SetUp();
    service_.events = [](const v1::ListJobEventsRequest&) -> absl::StatusOr<v1::ListJobEventsResponse> {
      return FromText<v1::ListJobEventsResponse>(R"pb(
        events {
          sequence: 1
          generation: 1
          dataset_prepared { path: "/nowhere/abc123" }
        }
        events {
          sequence: 2
          generation: 2
          state_change { to: JOB_STATE_STARTING ranks: 2 }
        }
        events {
          sequence: 3
          generation: 2
          epoch_result { epoch: 1 step: 4 samples: 10 sample_digest: "d4" }
        }
      )pb");
    };
  }
  void TrainerSays(const std::string& script) {
    const std::string program = Write("trainer", "#!/bin/sh\n" + script + "\n");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    extra_environment_.push_back("PIXELREC_TRAINER=" + program);
  }
  static std::string Samples(int64_t at_step_4) {
    return absl::StrCat(R"(echo '{"data_hash": "abc123", "samples": 10, "epochs": [{"epoch": 1, "step": 4, "samples": 10, )",
                        R"("distinct": 10}], "steps": [{"step": 4, "samples": )", at_step_4, R"(, "digest": "d4"}]}')");
  }
};

TEST_F(AuditCommand, ExitsWith0WhereEveryRecordIsAsExpected) {
  TrainerSays(
      R"(test "$1 $4 $5 $6" = "samples --dataset /data --step=4" || exit 9; grep -q '"name": "quickstart"' "$3" || exit 8; )" +
      Samples(10));
  const CtlRun run = Run({"audit", "quickstart", "--dataset", "/data"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "every sample was visited exactly once per epoch\n")) << run.output;
}

TEST_F(AuditCommand, ExitsWith1AndSaysWhatDiffers) {
  TrainerSays(Samples(11));
  const CtlRun run = Run({"audit", "quickstart", "--prepare-in", dir_.string(), "-o", "json"});
  EXPECT_EQ(run.exit_code, 1) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "\"equal\": false")) << run.output;
  EXPECT_TRUE(absl::EndsWith(run.output, "error: epoch 1 (generation 2, step 4): 10 samples visited, 11 expected\n"))
      << run.output;
}

TEST_F(AuditCommand, SaysWhereDataAreMissing) {
  EXPECT_EQ(Run({"audit", "nothing"}).exit_code, 3);
  CtlRun run = Run({"audit", "quickstart"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(
      run.output,
      "error: the prepared dataset /nowhere/abc123 is not on this machine: name a copy with --dataset DIR, or have the job's "
      "CSV files prepared again with --prepare-in DIR\n");
  EXPECT_EQ(Run({"audit", "quickstart", "--dataset", "a", "--prepare-in", "b"}).exit_code, 2);
  TrainerSays("echo 'error: /data: no such dataset' >&2; exit 3");
  run = Run({"audit", "quickstart", "--dataset", "/data"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(run.output, "error: /data: no such dataset\n");
}

}  // namespace
}  // namespace pixelrec::ctl
