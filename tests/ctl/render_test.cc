// What users read, character by character.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "absl/time/clock.h"
#include "ctl/render/data_output.h"
#include "ctl/render/event_text.h"
#include "ctl/render/follow_view.h"
#include "ctl/render/job_text.h"
#include "ctl/render/quantity.h"
#include "ctl/render/result_text.h"
#include "ctl/render/table.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

const absl::TimeZone kUtc = absl::UTCTimeZone();

TEST(Quantity, ReadsLikeAPersonsNumbers) {
  EXPECT_EQ(GroupDigits(0), "0");
  EXPECT_EQ(GroupDigits(999), "999");
  EXPECT_EQ(GroupDigits(1000), "1,000");
  EXPECT_EQ(GroupDigits(-1234567), "-1,234,567");
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1500), "1.5 kB");
  EXPECT_EQ(BytesText(999499), "999 kB");
  EXPECT_EQ(BytesText(999999), "1.0 MB");
  EXPECT_EQ(BytesText(23456789), "23 MB");
  EXPECT_EQ(SecondsText(0.44), "0.4 s");
  EXPECT_EQ(SecondsText(12), "12 s");
  EXPECT_EQ(SecondsText(192), "3m 12s");
  EXPECT_EQ(SecondsText(7500), "2h 5m");
  EXPECT_EQ(SecondsText(-1), "-");
  EXPECT_EQ(SecondsText(std::numeric_limits<double>::infinity()), "-");
  EXPECT_EQ(Percent(0.999), "99%");
  EXPECT_EQ(Percent(1.0), "100%");
  EXPECT_EQ(Percent(std::nan("")), "-");
}

TEST(TableText, AlignsAndDropsTrailingSpace) {
  Table table({{"NAME"}, {"N", Table::Align::kRight}, {"NOTE"}});
  table.Add({"a", "1", ""});
  table.Add({"Ünïcode", "22", "two\nlines"});
  EXPECT_EQ(table.Text(),
            "NAME      N  NOTE\n"
            "a         1\n"
            "Ünïcode  22  two lines\n");
}

TEST(JobText, List) {
  v1::ListJobsResponse jobs;
  *jobs.add_jobs() = SampleJob();
  v1::Job* const waiting = jobs.add_jobs();
  waiting->set_job_id("other-9");
  waiting->mutable_spec()->set_name("other");
  waiting->set_state(v1::JOB_STATE_PENDING);
  waiting->set_reason("needs 2 workers; 0 idle");
  EXPECT_EQ(JobListText(jobs, absl::FromUnixSeconds(1764000061)),
            "JOB              NAME        STATE    PROGRESS                   AGE  REASON\n"
            "quickstart-1a2b  quickstart  RUNNING  epoch 1/2, step 120/468  1m 1s  2 of 2 ranks train\n"
            "other-9          other       PENDING  -                            -  needs 2 workers; 0 idle\n");
  EXPECT_EQ(JobListText({}, absl::Now()), "no jobs\n");
}

TEST(JobText, Description) {
  EXPECT_EQ(JobDescription(SampleJob(), kUtc),
            "job:            quickstart-1a2b\n"
            "name:           quickstart\n"
            "labels:         team=recs\n"
            "state:          RUNNING\n"
            "reason:         2 of 2 ranks train\n"
            "progress:       epoch 1/2, step 120/468\n"
            "generation:     2\n"
            "workers:        2\n"
            "priority:       50\n"
            "created:        2025-11-24 16:00:00\n"
            "started:        2025-11-24 16:00:05\n"
            "interactions:   /data/i.csv\n"
            "texts:          /data/t.csv\n"
            "item model:     /m\n"
            "user model:     /m\n"
            "data hash:      abc123\n"
            "output:         /out\n"
            "\n"
            "Ranks\n"
            "  RANK  WORKER    PID\n"
            "     0  local-0  4711\n"
            "     1  local-1     -\n");
}

TEST(JobText, DescriptionOfAFailure) {
  v1::Job job = SampleJob();
  job.set_state(v1::JOB_STATE_FAILED);
  job.clear_ranks();
  *job.mutable_failure() = FromText<v1::Failure>(
      "cause: FAILURE_CAUSE_BAD_DATA message: 'row 17: three columns\\x1b[2J' hint: 'mend it' rank: 1 worker_id: 'local-1' "
      "generation: 2 "
      "exit_code: 3");
  const std::string text = JobDescription(job, kUtc);
  EXPECT_NE(text.find("Failure\n"
                      "  cause: BAD_DATA\n"
                      "  what:  row 17: three columns [2J\n"
                      "  where: rank 1, worker local-1, generation 2, exit code 3\n"
                      "  hint:  mend it\n"),
            std::string::npos)
      << text;
}

TEST(JobText, Workers) {
  v1::ListWorkersResponse workers;
  *workers.add_workers() = FromText<v1::Worker>(
      "worker_id: 'local-0' state: WORKER_STATE_BUSY host: 'box' device: 'cpu' memory_bytes: 8000000000 job_id: "
      "'quickstart-1a2b' rank: 0 "
      "last_beat_time { seconds: 1764000000 }");
  *workers.add_workers() = FromText<v1::Worker>("worker_id: 'local-1' state: WORKER_STATE_IDLE host: 'box' device: 'cpu'");
  EXPECT_EQ(WorkerListText(workers, absl::FromUnixSeconds(1764000000) + absl::Milliseconds(400)),
            "WORKER   STATE  HOST  DEVICE  MEMORY  JOB                     LAST BEAT\n"
            "local-0  BUSY   box   cpu     8.0 GB  quickstart-1a2b rank 0  0.4 s ago\n"
            "local-1  IDLE   box   cpu        0 B  -                               -\n");
  EXPECT_EQ(WorkerListText({}, absl::Now()), "no workers\n");
}

TEST(ResultTextTest, ShowsLossesMetricsAndPaths) {
  EXPECT_EQ(ClosingText(FinishedJob()),
            "\nJob quickstart-1a2b succeeded.\n"
            "  epoch  training loss  validation loss    time\n"
            "      1         5.0213           4.9012  2m 10s  best\n"
            "      2         4.4711           4.7522  2m 10s  best\n"
            "\n"
            "  Test, 4,692 users, the whole catalogue ranked:\n"
            "    k  Recall@k  popularity  last item  NDCG@k  popularity  last item\n"
            "    5    0.0891      0.0801     0.0402  0.0512      0.0500     0.0307\n"
            "   10    0.1430      0.1315          -  0.0701      0.0663          -\n"
            "  200    0.5351           -          -  0.1420           -          -\n"
            "  3 targets lie in their own history (misses)\n"
            "\n"
            "  by                       users  Recall@10  NDCG@10\n"
            "  target train count    0     92     0.0102   0.0051\n"
            "                       1+  4,600     0.1457   0.0714\n"
            "  history length      1-5  4,692     0.1430   0.0701\n"
            "\n"
            "  trained on   14,976 samples, 5,432,100 tokens in 4m 20s; evaluated in 8.2 s\n"
            "  sample digest 0123abcd\n"
            "  best model   /out/best_model\n"
            "  checkpoint   /out/checkpoint-epoch-1\n"
            "  checkpoint   /out/checkpoint-epoch-2\n"
            "  logs         /out/logs\n");
}

TEST(ResultTextTest, ShowsAFailure) {
  v1::Job job = SampleJob();
  job.set_state(v1::JOB_STATE_FAILED);
  *job.mutable_failure() = FromText<v1::Failure>(
      "cause: FAILURE_CAUSE_NONFINITE_LOSS message: 'loss is nan at step 7' hint: 'lower learning_rate' rank: -1");
  EXPECT_EQ(ClosingText(job),
            "\nJob quickstart-1a2b failed.\n"
            "  cause: NONFINITE_LOSS\n"
            "  what:  loss is nan at step 7\n"
            "  hint:  lower learning_rate\n"
            "  more:  pixelrecctl events quickstart-1a2b; pixelrecctl logs quickstart-1a2b -r 0\n");
  job.set_state(v1::JOB_STATE_CANCELLED);
  job.set_reason("cancelled by the user");
  EXPECT_EQ(ClosingText(job), "\nJob quickstart-1a2b was cancelled: cancelled by the user.\n");
}

struct EventCase {
  const char* event;
  const char* text;
};

TEST(EventTextTest, SaysEachKindInOneLine) {
  const EventCase cases[] = {
      {"state_change { from: JOB_STATE_STARTING to: JOB_STATE_RUNNING reason: 'all 2 ranks train' }",
       "RUNNING: all 2 ranks train"},
      {"state_change { to: JOB_STATE_PENDING }", "PENDING"},
      {"notice { severity: NOTICE_SEVERITY_WARNING text: 'disk almost full' rank: 1 }", "warning (rank 1): disk almost full"},
      {"notice { severity: NOTICE_SEVERITY_INFO text: 'bf16 asked for: fp32 here' rank: -1 }", "note: bf16 asked for: fp32 here"},
      {"artifact { kind: ARTIFACT_KIND_EPOCH_CHECKPOINT path: '/o/checkpoint-epoch-1' epoch: 1 step: 234 bytes: 3145728 "
       "write_seconds: 0.12 }",
       "epoch checkpoint /o/checkpoint-epoch-1 (epoch 1, step 234, 3.1 MB in 0.1 s)"},
      {"epoch_result { epoch: 1 train_loss: 5.02 validation_loss: 4.9 best: true seconds: 61 validation { at { k: 10 recall: 0.1 "
       "ndcg: 0.05 } } }",
       "epoch 1 done in 1m 1s: training loss 5.0200, validation loss 4.9000 (best), validation Recall@10 0.1000, NDCG@10 0.0500"},
      {"dataset_prepared { reused: true users: 4692 items: 9674 interactions: 80854 samples: 9000 tokens: 123456 short_users: 2 "
       "}",
       "dataset reused: 4,692 users, 9,674 items, 80,854 interactions, 9,000 training sequences, 123,456 tokens; 2 users with "
       "fewer than 3 "
       "events skipped"},
      {"failure { cause: FAILURE_CAUSE_TRAINER_SIGNAL message: 'trainer died' rank: 1 worker_id: 'local-1' generation: 3 signal: "
       "9 }",
       "failure TRAINER_SIGNAL (rank 1, worker local-1, generation 3, signal 9): trainer died"},
      {"result { epochs { epoch: 1 } samples: 1234 train_seconds: 5 }", "result: 1 epochs, 1,234 samples in 5.0 s"},
      {"progress { section: 'validate' section_fraction: 0.5 }", "validate 50%"},
      {"", "an event this version does not know"},
  };
  for (const EventCase& c : cases) EXPECT_EQ(EventText(FromText<v1::JobEvent>(c.event)), c.text);
}

TEST(EventTextTest, List) {
  v1::ListJobEventsResponse events;
  *events.add_events() = FromText<v1::JobEvent>(
      "sequence: 1 time { seconds: 1764000000 } state_change { to: JOB_STATE_PENDING reason: 'submitted' }");
  *events.add_events() =
      FromText<v1::JobEvent>("sequence: 12 time { seconds: 1764000003 } generation: 1 notice { text: 'hello' rank: -1 }");
  EXPECT_EQ(EventListText(events, kUtc),
            "SEQ  TIME                 GEN  EVENT\n"
            "  1  2025-11-24 16:00:00    0  PENDING: submitted\n"
            " 12  2025-11-24 16:00:03    1  note: hello\n");
}

TEST(DataOutput, KeepsFieldNamesAndZeroes) {
  v1::JobEvent event = FromText<v1::JobEvent>("sequence: 1 job_id: 'j' notice { text: 'a \"b\"' }");
  EXPECT_EQ(ToJson(event),
            "{\n \"sequence\": \"1\",\n \"job_id\": \"j\",\n \"generation\": \"0\",\n \"notice\": {\n  \"severity\": "
            "\"NOTICE_SEVERITY_UNSPECIFIED\",\n  \"text\": \"a \\\"b\\\"\",\n  \"rank\": 0\n }\n}\n");
  EXPECT_EQ(ToYaml(event),
            "sequence: \"1\"\njob_id: \"j\"\ngeneration: \"0\"\nnotice:\n  severity: \"NOTICE_SEVERITY_UNSPECIFIED\"\n  text: "
            "\"a \\\"b\\\"\"\n  "
            "rank: 0\n");
}

v1::JobEvent ProgressAt(int64_t seconds, int64_t step, const std::string& section = "train", double fraction = 0) {
  v1::JobEvent event;
  event.mutable_time()->set_seconds(1764000000 + seconds);
  v1::Progress& progress = *event.mutable_progress();
  progress = SampleJob().progress();
  progress.set_step(step);
  progress.set_section(section);
  progress.set_section_fraction(fraction);
  return event;
}

TEST(FollowViewTest, PlainLinesAreFewAndSayWhatChanged) {
  std::ostringstream out;
  auto view = FollowView::Create({.out = &out, .zone = kUtc});
  const v1::Job job = SampleJob();
  view->Show(FromText<v1::JobEvent>(
                 "sequence: 1 time { seconds: 1764000000 } state_change { to: JOB_STATE_PREPARING reason: 'on local-0' }"),
             job);
  view->Show(ProgressAt(0, 0, "prepare", 0.1), job);
  view->Show(ProgressAt(1, 0, "prepare", 0.2), job);  // too soon
  view->Show(ProgressAt(2, 0, "prepare", 0.5), job);
  view->Show(ProgressAt(5, 0, "prepare", 0.5), job);  // nothing new
  view->Show(ProgressAt(5, 10), job);                 // a new section shows at once
  view->Show(ProgressAt(6, 20), job);                 // too soon
  view->ShowConnection(true);
  view->ShowConnection(false);
  view->Show(ProgressAt(8, 30), job);
  view->Finish();
  EXPECT_EQ(out.str(),
            "16:00:00  PREPARING: on local-0\n"
            "16:00:00  prepare 10%\n"
            "16:00:02  prepare 50%\n"
            "16:00:05  epoch 1/2  step 10/468  loss 4.9877  lr 1.8e-03  12,346 tokens/s  ETA 3m 12s\n"
            "the coordinator is gone; the job trains on, looking for it again\n"
            "the coordinator is back\n"
            "16:00:08  epoch 1/2  step 30/468  loss 4.9877  lr 1.8e-03  12,346 tokens/s  ETA 3m 12s\n");
}

TEST(FollowViewTest, BarsAreRedrawnInPlace) {
  std::ostringstream out;
  auto view = FollowView::Create({.out = &out, .zone = kUtc, .columns = 80});
  v1::Job job = SampleJob();
  view->Show(
      FromText<v1::JobEvent>("sequence: 1 time { seconds: 1764000000 } state_change { to: JOB_STATE_RUNNING reason: 'go' }"),
      job);
  EXPECT_EQ(out.str(), "16:00:00  RUNNING: go\n");
  out.str("");
  view->Show(ProgressAt(0, 117), job);
  EXPECT_EQ(out.str(),
            "epochs   [=======>                      ]  25%  epoch 1/2\n"
            "steps    [===============>              ]  50%  step 117/468\n"
            "         loss 4.9877  lr 1.8e-03  12,346 tokens/s  ETA 3m 12s\n");
  out.str("");
  view->Show(FromText<v1::JobEvent>("sequence: 2 time { seconds: 1764000002 } notice { text: 'hi' rank: -1 }"), job);
  EXPECT_EQ(out.str(),
            "\x1b[3A\r\x1b[J"
            "16:00:02  note: hi\n"
            "epochs   [=======>                      ]  25%  epoch 1/2\n"
            "steps    [===============>              ]  50%  step 117/468\n"
            "         loss 4.9877  lr 1.8e-03  12,346 tokens/s  ETA 3m 12s\n");
  out.str("");
  view->Show(ProgressAt(3, 234, "validate", 0.5), job);
  EXPECT_EQ(out.str(),
            "\x1b[3A\r\x1b[J"
            "validate [===============>              ]  50%\n"
            "epochs   [===============>              ]  50%  epoch 1/2\n"
            "steps    [==============================] 100%  step 234/468\n"
            "         loss 4.9877  lr 1.8e-03  12,346 tokens/s  ETA 3m 12s\n");
  out.str("");
  view->Finish();
  EXPECT_EQ(out.str(), "\x1b[4A\r\x1b[J");
}

TEST(FollowViewTest, NoLineWraps) {
  std::ostringstream out;
  auto view = FollowView::Create({.out = &out, .zone = kUtc, .columns = 40});
  view->Show(ProgressAt(0, 117), SampleJob());
  std::istringstream lines(out.str());
  for (std::string line; std::getline(lines, line);) EXPECT_LT(line.size(), 40u) << line;
}

TEST(FollowViewTest, BarsShowOnlyWhatIsDone) {
  EXPECT_EQ(Bar(0, 4), "[    ]");
  EXPECT_EQ(Bar(0.01, 4), "[>   ]");
  EXPECT_EQ(Bar(0.5, 4), "[==> ]");
  EXPECT_EQ(Bar(1, 4), "[====]");
  EXPECT_EQ(Bar(7, 4), "[====]");
  EXPECT_EQ(Bar(std::nan(""), 4), "[    ]");
}

}  // namespace
}  // namespace pixelrec::ctl
