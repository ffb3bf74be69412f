// A job that real trainers finish in seconds: a data set of a few dozen users, the repository's stories260K as both models.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/integration/cluster.h"

namespace pixelrec::integration {

inline constexpr int kUsers = 48, kItems = 60, kEvents = 9;

// Every user walks over the items with a stride of their own: enough structure for a loss that falls.
inline void WriteSmallData(const std::filesystem::path& dir, int users = kUsers) {
  std::ofstream interactions(dir / "interactions.csv"), items(dir / "items.csv");
  interactions << "user_id,item_id,timestamp\n";
  for (int user = 0; user < users; ++user) {
    for (int event = 0; event < kEvents; ++event) {
      interactions << "u" << user << ",i" << (user * 7 + event * (1 + user % 3)) % kItems << "," << 1000 + event << "\n";
    }
  }
  items << "item_id,title\n";
  const char* things[] = {"cat", "dog", "sun", "tree", "boat", "bird", "ball"};
  // What tells items apart comes first: max_text_length cuts the rest.
  for (int item = 0; item < kItems; ++item) items << "i" << item << "," << item << " " << things[item % 7] << "\n";
}

inline v1::JobSpec SmallJob(const Cluster& cluster, const std::string& name, int epochs) {
  v1::JobSpec spec;
  spec.set_kind("TrainingJob");
  spec.set_name(name);
  spec.mutable_data()->set_interaction_data((cluster.dir() / "interactions.csv").string());
  spec.mutable_data()->set_text_data((cluster.dir() / "items.csv").string());
  spec.mutable_data()->add_text_keys("title");
  spec.mutable_data()->set_item_prompt("");
  spec.mutable_data()->set_max_seq_length(6);
  spec.mutable_data()->set_max_text_length(12);
  const std::string model = PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k";
  spec.mutable_model()->set_item_model_dir(model);
  spec.mutable_model()->set_user_model_dir(model);
  spec.mutable_model()->set_gradient_checkpointing(false);
  spec.mutable_train()->set_global_batch_size(8);
  spec.mutable_train()->set_num_train_epochs(epochs);
  spec.mutable_train()->set_learning_rate(1e-3);
  spec.mutable_train()->set_bf16(false);  // the same on any machine
  spec.mutable_train()->set_logging_steps(1);
  spec.mutable_distributed()->set_workers(2);
  spec.mutable_evaluation()->add_k(5);
  spec.set_output_dir((cluster.dir() / "results" / name).string());
  return spec;
}

}  // namespace pixelrec::integration
