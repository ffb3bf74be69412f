// pixelrec-golden on the committed reference numbers, on numbers that were changed, and on folders that are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace pixelrec {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const fs::path kCase = fs::path(PIXELREC_SOURCE_DIR) / "tests/golden/stories260k-movietweetings";

struct Outcome {
  int exit_code = -1;
  std::string output;  // stdout and stderr
  std::vector<std::string> missed;
};

Outcome Check(const fs::path& dir) {
  const std::string command = PIXELREC_BIN_DIR "/pixelrec-golden '" + dir.string() + "' 2>&1";
  Outcome outcome;
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.output.append(buffer, n);
  outcome.exit_code = WEXITSTATUS(pclose(pipe));
  std::istringstream lines(outcome.output);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with("MISS")) outcome.missed.push_back(line.substr(0, line.find("  ")));
  }
  return outcome;
}

// A copy of the committed case, to be changed; without its slow parts.
class ChangedCase : public testing::Test {
 protected:
  ChangedCase() {
    std::string pattern = (fs::temp_directory_path() / "pixelrec-golden-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    fs::copy_file(kCase / "tensors.safetensors", dir_ / "tensors.safetensors");
    fs::permissions(dir_ / "tensors.safetensors", fs::perms::owner_write, fs::perm_options::add);
    case_ = json::parse(std::ifstream(kCase / "case.json"));
    for (const char* key : {"item_model_dir", "user_model_dir", "interaction_data", "text_data"}) {
      case_["config"][key] = fs::canonical(kCase / std::string(case_["config"][key]));
    }
    case_.erase("evaluation");
    case_.erase("training");
  }
  ~ChangedCase() override { fs::remove_all(dir_); }

  Outcome Run() {
    std::ofstream(dir_ / "case.json") << case_;
    return Check(dir_);
  }

  // Refused with this one error.
  void ExpectMalformed(const std::string& error) {
    const Outcome outcome = Run();
    EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
    EXPECT_TRUE(outcome.output.starts_with("error: ")) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(error));
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }

  fs::path dir_;
  json case_;
};

TEST(Golden, TheCommittedNumbersAgree_M3_M4_M6) {
  const Outcome outcome = Check(kCase);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_TRUE(outcome.missed.empty());
  // Nothing was left out.
  for (const char* figure :
       {"token ids of tt0385002", "item embeddings", "embedding of an empty text", "user outputs", "logits", "valid rows",
        "gradient norm of item_llm.layers.0.mlp.up_proj.weight", "gradient of item_emb_tokens",
        "users whose target's rank agrees", "recall@200", "loss at step 5", "logit_scale after the last step"}) {
    EXPECT_THAT("\n" + outcome.output, HasSubstr(std::string("\n") + figure)) << figure;
  }
  EXPECT_THAT(outcome.output, HasSubstr("159 figures, 0 missed"));
  std::printf("%s", outcome.output.c_str());
}

TEST_F(ChangedCase, AWrongNumberIsAMiss) {
  case_["loss"]["value"] = case_["loss"]["value"].get<double>() * 1.0001;
  case_["items"][0]["token_ids"][5] = 7;
  case_["loss"]["filtered_logits"] = 3;
  case_["chunks"] = {{{"user_id", "u8"}, {"items", {"tt0385002"}}}};
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.missed,
              testing::ElementsAre("token ids of tt0385002", "training chunks (D5-D7)", "filtered logits (N4)", "loss"));
}

TEST_F(ChangedCase, MalformedFoldersAreNamed) {
  const json sound = case_;
  case_["loss"].erase("value");
  ExpectMalformed("case.json: loss.value: is missing");
  case_ = sound;
  case_["batch"][0]["positives"] = {"tt0770828", nullptr};
  ExpectMalformed("case.json: batch[0].positives[1]: is padding behind an item");
  case_ = sound;
  case_["batch"][1]["negatives"][0] = "nobody";
  ExpectMalformed("case.json names the item \"nobody\", which the data doesn't have");
  case_ = sound;
  case_["config"]["numerics"] = "roughly";
  ExpectMalformed("config.numerics: must be \"exact\" or \"compat\"");
  case_ = sound;
  case_["config"]["item_emb_token_n"] = 2;
  ExpectMalformed("config.item_emb_token_n: must lie between 0 and 1");
  case_ = sound;
  case_["config"]["item_model_dir"] = "/nowhere";
  ExpectMalformed("/nowhere");
  case_ = sound;
  case_["batch"].erase(0);
  ExpectMalformed("tensors.safetensors: user_output has");
  fs::resize_file(dir_ / "tensors.safetensors", 100);
  ExpectMalformed("tensors.safetensors");
}

TEST(Golden, NoFolder) {
  const Outcome outcome = Check("/nowhere");
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.output, HasSubstr("/nowhere/case.json"));
}

}  // namespace
}  // namespace pixelrec
