// The output folders of all jobs, on the one file system that all workers share: only names, and what a checkpoint claims to be.
// The real publisher (worker/agent/publisher.h) works on it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/storage/filesystem.h"

namespace pixelrec::simulator {

// Stands for the files of a checkpoint or of best_model/.
struct Saved {
  std::string name;  // "recovery/step-5", "checkpoint-epoch-1", "best_model"
  std::string job_id;
  uint64_t generation = 0;
  int64_t step = 0;
  int epoch = 0;
  uint64_t samples_digest = 0;  // of the samples that the steps up to `step` visited, in their order
  bool damaged = false;
};

class SharedFiles final : public storage::FileSystem {
 public:
  // Replaces what lies there.
  void Write(const std::string& folder, const Saved& saved);
  const Saved* Read(const std::string& folder) const;
  void Damage(const std::string& folder);
  // Folders directly below, by their whole paths.
  std::vector<std::string> Below(const std::string& folder) const;

  // The next `count` renames find no space.
  void RefuseRenames(int count) { refused_renames_ = count; }
  // Called before a tree that holds something saved is removed or replaced by name.
  void OnRemove(std::function<void(const std::string& folder, const Saved& saved)> watcher) { on_remove_ = std::move(watcher); }

  absl::StatusOr<std::unique_ptr<storage::WritableFile>> Create(const std::filesystem::path& path, Existing existing) override;
  absl::Status CreateFolder(const std::filesystem::path& path) override;
  absl::Status SyncFolder(const std::filesystem::path& path) override;
  absl::Status Rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  absl::Status RenameNew(const std::filesystem::path& from, const std::filesystem::path& to) override;
  absl::Status Exchange(const std::filesystem::path& a, const std::filesystem::path& b) override;
  absl::Status RemoveFile(const std::filesystem::path& path) override;
  absl::Status RemoveTree(const std::filesystem::path& path) override;
  bool Exists(const std::filesystem::path& path) override;
  absl::StatusOr<uint64_t> FreeBytes(const std::filesystem::path& path) override;

 private:
  struct Node {
    bool folder = true;
    std::optional<Saved> saved;
  };
  using Nodes = std::map<std::string, Node>;

  void MakeFolders(const std::string& path);
  Nodes TakeTree(const std::string& path);
  void PutTree(const std::string& from, const std::string& to, Nodes tree);

  Nodes nodes_;  // by path; '/' sorts before what a name may hold but for a few signs, so that trees are found by prefix
  int refused_renames_ = 0;
  std::function<void(const std::string&, const Saved&)> on_remove_;
};

}  // namespace pixelrec::simulator
