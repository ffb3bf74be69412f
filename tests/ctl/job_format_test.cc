// The template, the schema and every file under configs/ against the parser.
#include "ctl/job_format.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/config/daemon_config.h"
#include "common/config/field.h"
#include "common/config/job_fields.h"
#include "common/config/job_spec.h"
#include "google/protobuf/util/message_differencer.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kConfigs = fs::path(PIXELREC_SOURCE_DIR) / "configs";

std::string Read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(JobTemplate, IsAJobWithEveryDefault) {
  const auto spec = config::ParseJobYaml(JobTemplate(), "job.yaml", "/base");
  ASSERT_TRUE(spec.ok()) << spec.status();
  v1::JobSpec expected;
  expected.set_name("my-job");
  expected.mutable_data()->set_interaction_data("/base/data/interactions.csv");
  expected.mutable_data()->set_text_data("/base/data/items.csv");
  expected.mutable_model()->set_item_model_dir("/base/models/llm");
  expected.mutable_model()->set_user_model_dir("/base/models/llm");
  expected.set_output_dir("/base/results/my-job");
  config::ApplyDefaults(expected);
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(expected, *spec)) << difference;
}

TEST(JobTemplate, ShowsEveryKeyUnderItsOwnName) {
  const std::string text = JobTemplate();
  for (const config::Field& field : config::JobFields()) {
    EXPECT_TRUE(absl::StrContains(text, " " + config::LeafKey(field.path) + ": ") ||
                absl::StrContains(text, "\n" + field.path + ": "))
        << field.path;
  }
}

// Run `pixelrecctl init --schema > configs/schema/job.schema.json` after a change of the table.
TEST(JobSchema, IsWhatTheRepositoryHolds) { EXPECT_EQ(Read(kConfigs / "schema" / "job.schema.json"), JobSchema()); }

const json* SchemaOf(const json& schema, const std::string& path) {
  const json* at = &schema;
  std::stringstream steps(path);
  for (std::string step; std::getline(steps, step, '.');) {
    if (!at->contains("properties") || !(*at)["properties"].contains(step)) return nullptr;
    at = &(*at)["properties"][step];
  }
  return at;
}

// A whole job with one value replaced by `value`, as YAML (which JSON is).
bool ParserAccepts(const std::string& path, const json& value) {
  std::vector<std::string> overrides = {path + "=" + value.dump()};
  if (value == "Evaluate") overrides.push_back("model.init_from=x");  // which it can't do without
  return config::ParseJobYaml(JobTemplate(), "job.yaml", "/base", overrides).ok();
}

// Every bound and enumeration of the schema, tried on the parser from both sides.
TEST(JobSchema, SaysWhatTheParserSays) {
  const json schema = json::parse(JobSchema());
  for (const config::Field& field : config::JobFields()) {
    SCOPED_TRACE(field.path);
    const json* const described = SchemaOf(schema, field.path);
    ASSERT_NE(described, nullptr);
    EXPECT_EQ((*described)["description"].get<std::string>().substr(0, field.doc.size()), field.doc);
    if (described->contains("enum")) {
      for (const json& value : (*described)["enum"]) EXPECT_TRUE(ParserAccepts(field.path, value)) << value;
      EXPECT_FALSE(ParserAccepts(field.path, "no such value"));
      continue;
    }
    if (field.type == config::FieldType::kInteger || field.type == config::FieldType::kNumber) {
      if (described->contains("minimum")) {
        EXPECT_FALSE(ParserAccepts(field.path, (*described)["minimum"].get<int64_t>() - 1));
      }
      if (described->contains("exclusiveMinimum")) {
        EXPECT_FALSE(ParserAccepts(field.path, (*described)["exclusiveMinimum"]));
      }
      if (described->contains("maximum")) {
        EXPECT_FALSE(ParserAccepts(field.path, (*described)["maximum"].get<int64_t>() + 1));
      }
      EXPECT_FALSE(ParserAccepts(field.path, "word"));
    }
    EXPECT_EQ(ParserAccepts(field.path, nullptr), described->value("type", json()).is_array());
    if (described->contains("default")) {
      EXPECT_TRUE(ParserAccepts(field.path, (*described)["default"]));
    }
  }
}

TEST(JobSchema, IsClosed) {
  const json schema = json::parse(JobSchema());
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["properties"]["spec"]["properties"]["scheduling"]["properties"]["max_restarts"]["additionalProperties"],
            false);
  EXPECT_EQ(schema["required"], json::array({"metadata", "spec"}));
  EXPECT_EQ(schema["properties"]["spec"]["required"], json::array({"data", "model", "output_dir"}));
}

constexpr char kSmallJob[] =
    "metadata: {name: demo}\n"
    "spec: {data: {interaction_data: i, text_data: t}, model: {item_model_dir: m, user_model_dir: m}, output_dir: o}\n";

std::vector<fs::path> FilesUnder(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Configs, EveryFileLoads) {
  std::set<std::string> kinds;
  for (const fs::path& file : FilesUnder(kConfigs)) {
    SCOPED_TRACE(file);
    const std::string name = file.filename().string();
    if (file.extension() == ".json") {
      if (absl::StartsWith(name, "ds_config_zero")) {
        const auto spec =
            config::ParseJobYaml(kSmallJob, "job.yaml", kConfigs.string(), {"distributed.deepspeed_config=" + name});
        ASSERT_TRUE(spec.ok()) << spec.status();
        EXPECT_EQ(spec->distributed().zero_stage(), name == "ds_config_zero2.json" ? 2 : 3);
        kinds.insert(name);
      } else {
        EXPECT_TRUE(json::parse(Read(file), nullptr, /*allow_exceptions=*/false).is_object());
      }
    } else if (file.parent_path().filename() == "jobs") {
      const auto spec = config::ParseJobYaml(Read(file), file.string(), file.parent_path().string());
      EXPECT_TRUE(spec.ok()) << spec.status();
      kinds.insert("job");
    } else if (name == "coordinator.yaml") {
      EXPECT_TRUE(config::LoadCoordinatorConfig(file).ok()) << config::LoadCoordinatorConfig(file).status();
      kinds.insert(name);
    } else if (name == "worker.yaml") {
      EXPECT_TRUE(config::LoadWorkerConfig(file).ok()) << config::LoadWorkerConfig(file).status();
      kinds.insert(name);
    } else {
      ADD_FAILURE() << "nothing loads this file";
    }
  }
  EXPECT_EQ(kinds,
            (std::set<std::string>{"coordinator.yaml", "ds_config_zero2.json", "ds_config_zero3.json", "job", "worker.yaml"}));
}

// The files say "every key with its default".
TEST(Configs, ShowTheDefaultsOfTheDaemons) {
  const auto coordinator = config::LoadCoordinatorConfig(kConfigs / "coordinator.yaml");
  ASSERT_TRUE(coordinator.ok());
  const config::CoordinatorConfig c;
  EXPECT_EQ(coordinator->listen, c.listen);
  EXPECT_EQ(coordinator->metrics_listen, c.metrics_listen);
  EXPECT_EQ(coordinator->state_dir, c.state_dir);
  EXPECT_EQ(coordinator->roots, c.roots);
  EXPECT_EQ(coordinator->security.insecure, c.security.insecure);
  EXPECT_EQ(coordinator->health_listen, c.health_listen);
  EXPECT_EQ(coordinator->reflection, c.reflection);
  EXPECT_EQ(coordinator->lease, c.lease);
  EXPECT_EQ(coordinator->beat_interval, c.beat_interval);
  EXPECT_EQ(coordinator->start_timeout, c.start_timeout);
  EXPECT_EQ(coordinator->orphan_grace, c.orphan_grace);
  EXPECT_EQ(coordinator->stop_grace, c.stop_grace);
  EXPECT_EQ(coordinator->elastic_grow_after, c.elastic_grow_after);
  EXPECT_EQ(coordinator->hang_floor, c.hang_floor);
  EXPECT_EQ(coordinator->compact_after, c.compact_after);
  EXPECT_EQ(coordinator->keep_ended_jobs, c.keep_ended_jobs);
  const auto worker = config::LoadWorkerConfig(kConfigs / "worker.yaml");
  ASSERT_TRUE(worker.ok());
  const config::WorkerConfig w;
  EXPECT_EQ(worker->coordinator, w.coordinator);
  EXPECT_EQ(worker->advertise_address, w.advertise_address);
  EXPECT_EQ(worker->metrics_listen, w.metrics_listen);
  EXPECT_EQ(worker->work_dir, w.work_dir);
  EXPECT_EQ(worker->dataset_cache_dir, w.dataset_cache_dir);
  EXPECT_EQ(worker->device, w.device);
  EXPECT_EQ(worker->threads, w.threads);
  EXPECT_EQ(worker->security.insecure, w.security.insecure);
}

// The keys that the files show commented out, because their default is none.
TEST(Configs, SecurityKeysMeanWhatTheySay) {
  const auto shown = [](const std::string& name) {
    std::string text = Read(kConfigs / name);
    for (const char* key : {"tls_", "token_file", "health_listen"}) {
      for (size_t at = 0; (at = text.find(std::string("\n# ") + key, at)) != std::string::npos;) text.erase(at + 1, 2);
    }
    const fs::path file = fs::path(testing::TempDir()) / ("shown." + std::to_string(getpid()) + "." + name);
    std::ofstream(file) << text;
    return file;
  };
  const fs::path coordinator_file = shown("coordinator.yaml"), worker_file = shown("worker.yaml");
  const auto coordinator = config::LoadCoordinatorConfig(coordinator_file);
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  EXPECT_EQ(coordinator->security.tls_cert, "/etc/pixelrec/tls.crt");
  EXPECT_EQ(coordinator->security.tls_key, "/etc/pixelrec/tls.key");
  EXPECT_EQ(coordinator->security.tls_client_ca, "/etc/pixelrec/clients.crt");
  EXPECT_EQ(coordinator->security.token_file, "/etc/pixelrec/tokens");
  EXPECT_EQ(coordinator->health_listen, "0.0.0.0:7071");
  const auto worker = config::LoadWorkerConfig(worker_file);
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->security.tls_ca, "/etc/pixelrec/ca.crt");
  EXPECT_EQ(worker->security.tls_cert, "/etc/pixelrec/tls.crt");
  EXPECT_EQ(worker->security.tls_key, "/etc/pixelrec/tls.key");
  EXPECT_EQ(worker->security.token_file, "/etc/pixelrec/token");
  fs::remove(coordinator_file);
  fs::remove(worker_file);
}

TEST(Configs, QuickstartNamesFilesOfTheRepository) {
  const fs::path file = kConfigs / "jobs" / "quickstart.yaml";
  const auto spec = config::ParseJobYaml(Read(file), file.string(), file.parent_path().string());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(fs::is_regular_file(spec->data().interaction_data())) << spec->data().interaction_data();
  EXPECT_TRUE(fs::is_regular_file(spec->data().text_data())) << spec->data().text_data();
  EXPECT_TRUE(fs::is_regular_file(fs::path(spec->model().item_model_dir()) / "config.json"));
  EXPECT_EQ(config::GlobalBatchSize(*spec), 32);
  EXPECT_EQ(spec->train().gradient_accumulation_steps(), 1);
}

}  // namespace
}  // namespace pixelrec::ctl
