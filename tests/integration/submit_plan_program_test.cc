// `pixelrecctl submit --plan` with the real trainer: no coordinator is needed, and no weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "nlohmann/json.hpp"
#include "tests/ctl/ctl_process.h"
#include "worker/data/prepare.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class SubmitPlanProgram : public ctl::CtlProcess {
 protected:
  void SetUp() override {
    CtlProcess::SetUp();
    extra_environment_ = {"PIXELREC_SERVER=127.0.0.1:1"};  // nobody answers there
    std::string interactions = "user_id,item_id,timestamp\n", items = "item_id,title\n";
    for (int user = 0; user < 40; ++user) {
      for (int event = 0; event < 9; ++event)
        interactions +=
            "u" + std::to_string(user) + ",i" + std::to_string((user * 7 + event * 3) % 60) + "," + std::to_string(event) + "\n";
    }
    for (int item = 0; item < 60; ++item) items += "i" + std::to_string(item) + ",a cat and " + std::to_string(item) + " dogs\n";
    Write("interactions.csv", interactions);
    Write("items.csv", items);
    fs::create_directories(dir_ / "model");
    for (const char* file : {"config.json", "tokenizer.model", "tokenizer_config.json"})
      fs::copy_file(fs::path(PIXELREC_SOURCE_DIR) / "deploy/quickstart/stories260k" / file, dir_ / "model" / file);
    job_ = Write("job.yaml",
                 "metadata: {name: small}\nspec:\n"
                 "  data: {interaction_data: interactions.csv, text_data: items.csv, text_keys: [title], item_prompt: \"\"}\n"
                 "  model: {item_model_dir: model, user_model_dir: model}\n"
                 "  train: {num_train_epochs: 3}\n"
                 "  distributed: {workers: 2}\n"
                 "  output_dir: out\n");
  }

  json Plan(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"submit", job_, "--plan", "-o", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ctl::CtlRun run = Run(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.output;
    const size_t start = run.output.find('{');  // behind the note that nobody answers
    return json::parse(run.output.substr(std::min(start, run.output.size())), nullptr, false);
  }

  std::string job_;
};

TEST_F(SubmitPlanProgram, CountsStepsBeforeAndAfterPreparing) {
  const json before = Plan();
  // 40 users with a chunk of 7 each, 8 users a step.
  EXPECT_EQ(before["data"]["prepared"], false);
  EXPECT_EQ(before["steps"]["per_epoch"], 5);
  EXPECT_EQ(before["steps"]["total"], 15);
  EXPECT_EQ(before["steps"]["exact"], true);
  EXPECT_EQ(before["fits"]["verdict"], "unknown");

  data::PrepareOptions options;
  options.interaction_data = dir_ / "interactions.csv";
  options.text_data = dir_ / "items.csv";
  options.text_keys = {"title"};
  options.tokenizer_dir = dir_ / "model";
  options.cache_dir = dir_ / "cache" / "datasets";
  const auto report = data::Prepare(options);
  ASSERT_TRUE(report.ok()) << report.status();
  const json after = Plan();
  EXPECT_EQ(after["data"]["prepared"], true);
  EXPECT_EQ(after["data"]["data_hash"], report->data_hash);
  EXPECT_EQ(after["data"]["samples"], report->samples);
  EXPECT_EQ(after["steps"]["per_epoch"], 5);
  EXPECT_LT(after["tokens"]["per_step"], before["tokens"]["per_step"]);  // a bound before
  EXPECT_LT(after["stages"][0]["activations"], before["stages"][0]["activations"]);
}

TEST_F(SubmitPlanProgram, AnswersForABillionParametersInASecond) {
  Write("model/config.json",
        R"({"model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
            "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000, "rms_norm_eps": 1e-5})");
  const auto start = std::chrono::steady_clock::now();
  const json plan = Plan({"--set", "distributed.workers=8", "--set", "distributed.zero_stage=3"});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%.2f s\n", seconds);
  EXPECT_LT(seconds, 10);  // a second or so; the machine may be busy
  // 22 layers of 44.0 M in both LLMs, one table of token embeddings, norms, the embedding token and the scale.
  const int64_t layer = 2048 * (2048 + 2 * 256) + 2048 * 2048 + 3 * 5632 * 2048 + 2 * 2048;
  EXPECT_EQ(plan["parameters"], 44 * layer + 32000 * 2048 + 3 * 2048 + 1);
  EXPECT_EQ(plan["checkpoint_bytes"], 12 * plan["parameters"].get<int64_t>());
  const json& sharded = plan["stages"][3];
  EXPECT_EQ(sharded["chosen"], true);
  EXPECT_EQ(sharded["item_zero_stage"], 3);
  const double eighth = static_cast<double>(plan["parameters"].get<int64_t>()) * 4 / 8;
  EXPECT_NEAR(sharded["weights"].get<double>(), eighth, eighth / 100);
  EXPECT_NEAR(sharded["moments"].get<double>(), 2 * eighth, eighth / 100);
}

TEST_F(SubmitPlanProgram, RefusesModelsItCannotRead) {
  Write("model/config.json", "{");
  ctl::CtlRun run = Run({"submit", job_, "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("model/config.json"));
  Write("model/config.json", R"({"model_type": "mamba"})");
  run = Run({"submit", job_, "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("mamba"));
  fs::remove_all(dir_ / "model");
  run = Run({"submit", job_, "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("job.yaml:4:"));
}

TEST_F(SubmitPlanProgram, RefusesDataThatGivesNoStep) {
  Write("interactions.csv", "user_id,item_id\na,i1\na,i2\n");
  const ctl::CtlRun run = Run({"submit", job_, "--plan"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("no user has the four events"));
}

}  // namespace
}  // namespace pixelrec::integration
