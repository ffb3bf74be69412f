// pixelrecctl checkpoints: the table, the data, more pages than one, the errors.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

class CheckpointsCommand : public ServedCtl {
 protected:
  void SetUp() override {
    ServedCtl::SetUp();
    service_.checkpoints = [](const v1::ListCheckpointsRequest& request) -> absl::StatusOr<v1::ListCheckpointsResponse> {
      if (request.page_token().empty()) {
        return FromText<v1::ListCheckpointsResponse>(R"pb(
          checkpoints {
            artifact {
              kind: ARTIFACT_KIND_RECOVERY_CHECKPOINT
              path: "/out/recovery/step-400"
              epoch: 1
              step: 400
              bytes: 3145728
              generation: 3
            }
            state: CHECKPOINT_STATE_KEPT
            commit_time { seconds: 1764000100 }
            resume_point: true
          }
          checkpoints {
            artifact { kind: ARTIFACT_KIND_BEST_MODEL path: "/out/best_model" epoch: 1 step: 234 bytes: 1234567 generation: 2 }
            state: CHECKPOINT_STATE_KEPT
            commit_time { seconds: 1764000050 }
            published: true
          }
          next_page_token: "7"
        )pb");
      }
      return FromText<v1::ListCheckpointsResponse>(R"pb(
        checkpoints {
          artifact { kind: ARTIFACT_KIND_EPOCH_CHECKPOINT path: "/out/checkpoint-epoch-1" epoch: 1 step: 234 generation: 2 }
          state: CHECKPOINT_STATE_DAMAGED
          commit_time { seconds: 1764000049 }
          published: true
        }
        checkpoints {
          artifact { kind: ARTIFACT_KIND_RECOVERY_CHECKPOINT path: "/out/recovery/step-100" step: 100 generation: 2 }
          state: CHECKPOINT_STATE_SUPERSEDED
          commit_time { seconds: 1764000020 }
          published: true
        }
      )pb");
    };
  }
};

TEST_F(CheckpointsCommand, PrintsATableOfAllPages) {
  const CtlRun run = Run({"checkpoints", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(
      run.output,
      "KIND        EPOCH  STEP    SIZE  COMMITTED            GEN  STATE                           PATH\n"
      "recovery        1   400  3.1 MB  2025-11-24 16:01:40    3  resume point, not in place yet  /out/recovery/step-400\n"
      "best model      1   234  1.2 MB  2025-11-24 16:00:50    2  kept                            /out/best_model\n"
      "epoch           1   234       -  2025-11-24 16:00:49    2  damaged                         /out/checkpoint-epoch-1\n"
      "recovery        0   100       -  2025-11-24 16:00:20    2  superseded                      /out/recovery/step-100\n");
}

TEST_F(CheckpointsCommand, PrintsData) {
  const CtlRun run = Run({"checkpoints", "quickstart", "-o", "json"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(absl::StrContains(run.output, "\"state\": \"CHECKPOINT_STATE_SUPERSEDED\"")) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "\"resume_point\": true")) << run.output;
  EXPECT_TRUE(absl::StrContains(Run({"checkpoints", "quickstart", "-o", "yaml"}).output, "path: \"/out/best_model\""));
}

TEST_F(CheckpointsCommand, SaysWhatItLeavesOutAndWhatIsWrong) {
  service_.checkpoints = [](const v1::ListCheckpointsRequest& request) -> absl::StatusOr<v1::ListCheckpointsResponse> {
    if (request.job() == "nothing") return FakeJobService::NotFound();
    v1::ListCheckpointsResponse response;
    if (request.job() == "new") return response;
    EXPECT_EQ(request.page_size(), 1);
    response.add_checkpoints()->mutable_artifact()->set_path("/out/best_model");
    response.set_next_page_token("3");
    return response;
  };
  EXPECT_EQ(Run({"checkpoints", "new"}).output, "no checkpoints\n");
  EXPECT_TRUE(absl::EndsWith(Run({"checkpoints", "quickstart", "--limit", "1"}).output, "(the newest 1; --limit shows more)\n"));
  const CtlRun none = Run({"checkpoints", "nothing"});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_EQ(Run({"checkpoints"}).exit_code, 2);
  EXPECT_EQ(Run({"checkpoints", "x", "--limit", "0"}).exit_code, 2);
}

}  // namespace
}  // namespace pixelrec::ctl
