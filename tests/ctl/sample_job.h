// A job as the coordinator would describe it, for rendering.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "pixelrec/v1/events.pb.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

inline v1::Job SampleJob() {
  return FromText<v1::Job>(R"pb(
    job_id: "quickstart-1a2b"
    spec {
      kind: "TrainingJob"
      name: "quickstart"
      labels { key: "team" value: "recs" }
      data { interaction_data: "/data/i.csv" text_data: "/data/t.csv" }
      model { item_model_dir: "/m" user_model_dir: "/m" }
      distributed { workers: 2 min_workers: 2 max_workers: 2 }
      scheduling { priority: 50 }
      output_dir: "/out"
    }
    state: JOB_STATE_RUNNING
    reason: "2 of 2 ranks train"
    generation: 2
    create_time { seconds: 1764000000 }
    start_time { seconds: 1764000005 }
    ranks { rank: 0 worker_id: "local-0" pid: 4711 }
    ranks { rank: 1 worker_id: "local-1" }
    progress {
      epoch: 1
      epochs: 2
      step: 120
      total_steps: 468
      loss: 4.98765
      learning_rate: 0.0018
      tokens_per_second: 12345.6
      eta_seconds: 192
      section: "train"
    }
    data_hash: "abc123"
  )pb");
}

inline v1::Job FinishedJob() {
  v1::Job job = SampleJob();
  job.set_state(v1::JOB_STATE_SUCCEEDED);
  job.set_reason("");
  job.clear_ranks();
  *job.mutable_finish_time() = FromText<google::protobuf::Timestamp>("seconds: 1764000300");
  *job.mutable_result() = FromText<v1::JobResult>(R"pb(
    epochs { epoch: 1 step: 234 train_loss: 5.0213 validation_loss: 4.9012 seconds: 130.4 best: true }
    epochs { epoch: 2 step: 468 train_loss: 4.4711 validation_loss: 4.7522 seconds: 129.8 best: true }
    test {
      users: 4692
      masked_targets: 3
      at { k: 5 recall: 0.08912 ndcg: 0.05123 }
      at { k: 10 recall: 0.14301 ndcg: 0.07012 }
      at { k: 200 recall: 0.53512 ndcg: 0.14201 }
      groups {
        by: "target_train_count"
        at_least: 0
        at_most: 0
        users: 92
        at { k: 10 recall: 0.0102 ndcg: 0.00512 }
      }
      groups {
        by: "target_train_count"
        at_least: 1
        users: 4600
        at { k: 10 recall: 0.1457 ndcg: 0.07142 }
      }
      groups {
        by: "history_length"
        at_least: 1
        at_most: 5
        users: 4692
        at { k: 10 recall: 0.14301 ndcg: 0.07012 }
      }
    }
    popularity {
      users: 4692
      at { k: 5 recall: 0.0801 ndcg: 0.05001 }
      at { k: 10 recall: 0.1315 ndcg: 0.0663 }
    }
    last_item {
      users: 4692
      at { k: 5 recall: 0.0402 ndcg: 0.0307 }
    }
    artifacts { kind: ARTIFACT_KIND_EPOCH_CHECKPOINT path: "/out/checkpoint-epoch-1" epoch: 1 step: 234 bytes: 3145728 }
    artifacts { kind: ARTIFACT_KIND_EPOCH_CHECKPOINT path: "/out/checkpoint-epoch-2" epoch: 2 step: 468 bytes: 3145728 }
    artifacts { kind: ARTIFACT_KIND_BEST_MODEL path: "/out/best_model" epoch: 2 step: 468 bytes: 1234567 }
    train_seconds: 260.2
    evaluation_seconds: 8.24
    samples: 14976
    tokens: 5432100
    sample_digest: "0123abcd"
  )pb");
  return job;
}

}  // namespace pixelrec::ctl
