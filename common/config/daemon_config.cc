#include "common/config/daemon_config.h"

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/field_reader.h"
#include "common/config/text_file.h"
#include "common/config/yaml_tree.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
namespace fs = std::filesystem;

// A key of a daemon's file and where its value goes.
template <typename Config>
struct Key {
  Field field;
  std::function<void(Config&, const json&, const fs::path& folder)> store;
};

template <typename Config>
Key<Config> TextKey(std::string path, std::string Config::*member, std::string doc) {
  return {MakeField(FieldType::kString, std::move(path), nullptr, std::move(doc)).NonEmpty(),
          [member](Config& config, const json& value, const fs::path&) { config.*member = value.get<std::string>(); }};
}

template <typename Config, typename Security>
Key<Config> SecurityFileKey(std::string path, fs::path Security::*member, std::string doc) {
  return {MakeField(FieldType::kPath, std::move(path), nullptr, std::move(doc)),
          [member](Config& config, const json& value, const fs::path& folder) {
            config.security.*member = (folder / value.get<std::string>()).lexically_normal();
          }};
}

template <typename Config>
Key<Config> InsecureKey(std::string doc) {
  return {MakeField(FieldType::kBoolean, "insecure", nullptr, std::move(doc)),
          [](Config& config, const json& value, const fs::path&) { config.security.insecure = value.get<bool>(); }};
}

template <typename Config>
void AddClientSecurity(std::vector<Key<Config>>& keys) {
  using S = ClientSecurity;
  keys.push_back(SecurityFileKey<Config>("tls_ca", &S::tls_ca, "Certificates (PEM) that sign the coordinator's; asks for TLS."));
  keys.push_back(SecurityFileKey<Config>("tls_cert", &S::tls_cert, "Own certificate (PEM), which says who this is."));
  keys.push_back(SecurityFileKey<Config>("tls_key", &S::tls_key, "Its private key (PEM)."));
  keys.push_back(SecurityFileKey<Config>("token_file", &S::token_file, "Holds the token that says who this is."));
  keys.push_back(InsecureKey<Config>("Plaintext to an address that isn't loopback."));
}

template <typename Config>
Key<Config> AddressKey(std::string path, std::string Config::*member, std::string doc) {
  Key<Config> key = TextKey(std::move(path), member, std::move(doc));
  key.field = std::move(key.field).Matching(R"((\[[0-9a-fA-F:.]+\]|[^:\s/]+):[0-9]{1,5})", "must be host:port");
  return key;
}

template <typename Config>
Key<Config> PathKey(std::string path, fs::path Config::*member, std::string doc) {
  return {MakeField(FieldType::kPath, std::move(path), nullptr, std::move(doc)),
          [member](Config& config, const json& value, const fs::path& folder) {
            config.*member = (folder / value.get<std::string>()).lexically_normal();
          }};
}

template <typename Config>
Key<Config> PathsKey(std::string path, std::vector<fs::path> Config::*member, std::string doc) {
  return {MakeField(FieldType::kPathList, std::move(path), nullptr, std::move(doc)),
          [member](Config& config, const json& value, const fs::path& folder) {
            (config.*member).clear();
            for (const json& element : value)
              (config.*member).push_back((folder / element.get<std::string>()).lexically_normal());
          }};
}

template <typename Config, typename Duration>
Key<Config> DurationKey(std::string path, Duration Config::*member, std::string doc,
                        // A lease of days is a mistake of units, not a wish.
                        std::chrono::hours longest = std::chrono::hours(24)) {
  return {
      MakeField(FieldType::kDuration, std::move(path), nullptr, std::move(doc)).AtLeast(1).AtMost(milliseconds(longest).count()),
      [member](Config& config, const json& value, const fs::path&) {
        config.*member = std::chrono::duration_cast<Duration>(milliseconds(value.get<int64_t>()));
      }};
}

std::vector<Key<CoordinatorConfig>> CoordinatorKeys() {
  using C = CoordinatorConfig;
  std::vector<Key<C>> keys = {
      AddressKey<C>("listen", &C::listen, "gRPC address; port 0: any free one."),
      AddressKey<C>("metrics_listen", &C::metrics_listen, "HTTP address of /metrics."),
      AddressKey<C>("health_listen", &C::health_listen, "Plaintext gRPC address of the health service alone."),
      PathKey<C>("state_dir", &C::state_dir, "Holds the journal."),
      PathsKey<C>("roots", &C::roots, "Paths in a job must lie under one of these; empty: anywhere."),
      DurationKey<C>("lease", &C::lease, "A worker that is silent for this long is lost."),
      DurationKey<C>("beat_interval", &C::beat_interval, "Time between two beats of a worker."),
      DurationKey<C>("start_timeout", &C::start_timeout, "Time a gang may take from STARTING to RUNNING."),
      DurationKey<C>("orphan_grace", &C::orphan_grace, "A gang that can't reach the coordinator steps on for this long."),
      DurationKey<C>("stop_grace", &C::stop_grace, "Time from a request to stop to SIGKILL."),
      DurationKey<C>("hang_floor", &C::hang_floor,
                     "A rank hangs when a section of its work lasts longer than this, and than ten times the section's median."),
      DurationKey<C>(
          "elastic_grow_after", &C::elastic_grow_after,
          "An elastic job stops to grow when it has trained for so long, onto workers that have been there for so long."),
  };
  keys.push_back({MakeField(FieldType::kInteger, "keep_ended_jobs", nullptr,
                            "Jobs that have ended and are remembered, the newest of them; 0: all.")
                      .AtLeast(0),
                  [](C& config, const json& value, const fs::path&) { config.keep_ended_jobs = value.get<int>(); }});
  keys.push_back(DurationKey<C>("keep_ended_for", &C::keep_ended_for,
                                "Time for which jobs that have ended are remembered; absent: for ever.",
                                std::chrono::hours(24 * 3660)));
  keys.push_back({MakeField(FieldType::kInteger, "compact_after", nullptr,
                            "Records after which the journal is written anew, without what is outdated.")
                      .AtLeast(1),
                  [](C& config, const json& value, const fs::path&) { config.compact_after = value.get<int>(); }});
  keys.push_back({MakeField(FieldType::kBoolean, "reflection", nullptr, "gRPC's reflection service, for grpcurl and the like."),
                  [](C& config, const json& value, const fs::path&) { config.reflection = value.get<bool>(); }});
  using S = ServerSecurity;
  keys.push_back(SecurityFileKey<C>("tls_cert", &S::tls_cert, "Own certificate (PEM); asks for TLS."));
  keys.push_back(SecurityFileKey<C>("tls_key", &S::tls_key, "Its private key (PEM)."));
  keys.push_back(SecurityFileKey<C>("tls_client_ca", &S::tls_client_ca, "Certificates (PEM) that sign those of clients."));
  keys.push_back(SecurityFileKey<C>("token_file", &S::token_file, "Roles, names and hashes of tokens."));
  keys.push_back(InsecureKey<C>("Plaintext, without authentication, on an address that isn't loopback."));
  return keys;
}

std::vector<Key<WorkerConfig>> WorkerKeys() {
  using C = WorkerConfig;
  std::vector<Key<C>> keys = {
      AddressKey<C>("coordinator", &C::coordinator, "The coordinator's gRPC address."),
      TextKey<C>("worker_id", &C::worker_id, "Default: host name and device."),
      TextKey<C>("advertise_address", &C::advertise_address, "Where other ranks reach this worker's trainers."),
      AddressKey<C>("metrics_listen", &C::metrics_listen, "HTTP address of /metrics."),
      PathKey<C>("work_dir", &C::work_dir, "Logs of the ranks."),
      PathKey<C>("dataset_cache_dir", &C::dataset_cache_dir, "Prepared datasets."),
      PathKey<C>("trainer", &C::trainer, "Default: pixelrec-trainer beside this program."),
      TextKey<C>("device", &C::device, "What its trainers compute on: cpu, or cuda:N, the N-th GPU that this process sees."),
      PathsKey<C>("roots", &C::roots, "Paths in a job must lie under one of these; empty: anywhere."),
  };
  for (Key<C>& key : keys) {
    if (key.field.path == "worker_id") {
      key.field = std::move(key.field).Matching("[A-Za-z0-9._:-]{1,63}",
                                                "must be 1-63 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'");
    }
    if (key.field.path == "device") {
      key.field = std::move(key.field).Matching("cpu|cuda:[0-9]{1,3}", "must be cpu or cuda:N");
    }
  }
  keys.push_back({MakeField(FieldType::kInteger, "threads", nullptr, "Compute threads of a trainer; 0: all of the host.")
                      .AtLeast(0)
                      .AtMost(4096),
                  [](C& config, const json& value, const fs::path&) { config.threads = value.get<int>(); }});
  keys.push_back({MakeField(FieldType::kBoolean, "warm_spare", nullptr,
                            "Keeps a trainer ready, libraries loaded, for the next rank; a restart takes less time, an idle "
                            "process more memory."),
                  [](C& config, const json& value, const fs::path&) { config.warm_spare = value.get<bool>(); }});
  AddClientSecurity(keys);
  return keys;
}

std::vector<Key<ClientConfig>> ClientKeys() {
  std::vector<Key<ClientConfig>> keys = {
      AddressKey<ClientConfig>("server", &ClientConfig::server, "The coordinator's gRPC address.")};
  AddClientSecurity(keys);
  return keys;
}

template <typename Config>
absl::StatusOr<Config> Load(const fs::path& file, const std::vector<Key<Config>>& keys, absl::string_view what) {
  absl::StatusOr<std::string> text = ReadTextFile(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<YamlTree> tree = YamlTree::Parse(*text, file.string());
  if (!tree.ok()) return tree.status();
  Config config;
  // A file of comments only asks for the defaults.
  if (tree->root().kind == YamlNode::Kind::kNull) return config;
  std::vector<Field> fields;
  for (const Key<Config>& key : keys) fields.push_back(key.field);
  absl::StatusOr<FieldValues> read = ReadFields(*tree, fields, what);
  if (!read.ok()) return read.status();
  const fs::path folder = fs::absolute(file).parent_path();
  for (const Key<Config>& key : keys) {
    if (const auto value = read->values.find(key.field.path); value != read->values.end())
      key.store(config, value->second, folder);
  }
  if constexpr (std::is_same_v<Config, CoordinatorConfig>) {
    if (config.lease < 2 * config.beat_interval) {
      return absl::InvalidArgumentError(absl::StrCat(read->PlaceOf(read->values.contains("lease") ? "lease" : "beat_interval"),
                                                     ": lease: must be at least twice beat_interval (got ", config.lease.count(),
                                                     " ms and ", config.beat_interval.count(), " ms)"));
    }
  }
  return config;
}

}  // namespace

absl::StatusOr<CoordinatorConfig> LoadCoordinatorConfig(const fs::path& file) {
  return Load(file, CoordinatorKeys(), "a coordinator's configuration");
}

absl::StatusOr<WorkerConfig> LoadWorkerConfig(const fs::path& file) {
  return Load(file, WorkerKeys(), "a worker's configuration");
}

absl::StatusOr<ClientConfig> LoadClientConfig(const fs::path& file) {
  return Load(file, ClientKeys(), "the configuration of pixelrecctl");
}

}  // namespace pixelrec::config
