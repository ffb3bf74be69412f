// pixelrecctl metrics: table, one document, lines while it grows; broken streams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

v1::StreamMetricsResponse Points(const std::string& text) { return FromText<v1::StreamMetricsResponse>(text); }

const char kFirst[] = R"pb(
  points {
    sequence: 8589934598
    generation: 2
    epoch: 1
    step: 10
    training {
      loss: 5.5
      learning_rate: 0.001
      grad_norm: 1.25
      tokens_per_second: 12345.6
      samples_per_second: 98.7
      step_seconds: 0.125
      eta_seconds: 192
      total_steps: 468
      resident_bytes: 512000000
    }
  }
)pb";
const char kSecond[] = R"pb(
  points {
    sequence: 8589934600
    generation: 2
    epoch: 1
    step: 40
    merged: 2
    training { loss: 4.5 }
  }
  points {
    sequence: 8589934601
    generation: 2
    epoch: 1
    step: 40
    evaluations {
      name: "validation"
      loss: 4.9012
      train_loss: 5.0213
      best: true
      at { k: 10 recall: 0.143 ndcg: 0.0701 }
    }
  }
)pb";

class MetricsCommand : public ServedCtl {
 protected:
  void SetUp() override {
    ServedCtl::SetUp();
    service_.metrics = [this](const v1::StreamMetricsRequest& request, grpc::ServerContext&,
                              FakeJobService::MetricsWriter& writer) -> absl::Status {
      EXPECT_EQ(request.job(), "quickstart-1a2b") << "the id, whatever the user called it";
      followed_ = request.follow();
      if (request.after_sequence() < 8589934598) writer.Write(Points(kFirst));
      if (breaks_ && calls_++ == 0) return absl::UnavailableError("going down");
      writer.Write(Points(kSecond));
      return absl::OkStatus();
    };
  }

  std::atomic<bool> followed_ = false;
  bool breaks_ = false;
  std::atomic<int> calls_ = 0;
};

const char kTable[] =
    "GEN  EPOCH      STEP       LOSS        LR  GRAD NORM    TOKENS/S  SAMPLES/S   S/STEP      ETA    MEMORY\n"
    "  2      1        10     5.5000   1.0e-03     1.2500      12,346       98.7    0.125   3m 12s    512 MB\n"
    "  2      1        40     4.5000   0.0e+00     0.0000           0        0.0    0.000    0.0 s         -  +2 merged\n"
    "  2      1        40  validation: loss 4.9012 (best), training loss 5.0213, Recall@10 0.1430 NDCG@10 0.0701\n";

TEST_F(MetricsCommand, PrintsATable) {
  const CtlRun run = Run({"metrics", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, kTable);
  EXPECT_FALSE(followed_);
  EXPECT_EQ(Run({"metrics", "quickstart", "-f"}).output, kTable);
  EXPECT_TRUE(followed_);
}

TEST_F(MetricsCommand, PrintsOneDocument) {
  const CtlRun run = Run({"metrics", "quickstart", "-o", "json"});
  const auto document = nlohmann::json::parse(run.output);
  ASSERT_EQ(document["points"].size(), 3U);
  EXPECT_EQ(document["points"][0]["training"]["loss"], 5.5);
  EXPECT_EQ(document["points"][2]["evaluations"][0]["name"], "validation");
  EXPECT_TRUE(absl::StartsWith(Run({"metrics", "quickstart", "-o", "yaml"}).output, "points:\n"));
}

TEST_F(MetricsCommand, FollowsWithALineForEachPoint) {
  const CtlRun run = Run({"metrics", "quickstart", "-f", "-o", "json"});
  const std::vector<std::string> lines = absl::StrSplit(run.output, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(nlohmann::json::parse(lines[1])["merged"], "2");
  EXPECT_TRUE(absl::StartsWith(Run({"metrics", "quickstart", "-f", "-o", "yaml"}).output, "---\nsequence: \"8589934598\"\n"));
}

TEST_F(MetricsCommand, GoesOnAfterTheLastPointWhenTheStreamBreaks) {
  breaks_ = true;
  const CtlRun run = Run({"metrics", "quickstart", "-f"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, kTable);
  EXPECT_EQ(calls_, 2);
}

TEST_F(MetricsCommand, BeginsWhereItIsTold) {
  const CtlRun run = Run({"metrics", "quickstart", "--after", "8589934598", "-o", "json"});
  EXPECT_EQ(nlohmann::json::parse(run.output)["points"].size(), 2U);
}

TEST_F(MetricsCommand, ErrorsAreErrors) {
  EXPECT_EQ(Run({"metrics", "nothing"}).exit_code, 3);
  EXPECT_EQ(Run({"metrics"}).exit_code, 2);
  EXPECT_EQ(Run({"metrics", "x", "--after", "-1"}).exit_code, 2);
  service_.metrics = [](const v1::StreamMetricsRequest&, grpc::ServerContext&, FakeJobService::MetricsWriter&) {
    return absl::DataLossError("metrics file /s/metrics.db: damaged");
  };
  const CtlRun run = Run({"metrics", "quickstart", "-o", "json"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.output, "error: metrics file /s/metrics.db: damaged\n");
}

}  // namespace
}  // namespace pixelrec::ctl
