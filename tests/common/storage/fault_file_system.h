// A disk in memory that keeps apart what programs see and what a power cut leaves, and fails at any operation.
//
// What POSIX promises and no more: a file's bytes are durable once it was synced, a folder's entries once the folder was; a
// rename is one change of both its folders. Everything else may be lost, or may land in any order that doesn't contradict itself:
// unsynced bytes as they were before, in part, as zeros, or whole; unsynced entries none, all, or any of them, a later change of
// a name only if the earlier ones landed.
//
// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/storage/filesystem.h"

namespace pixelrec::storage {

enum class Fault {
  kNoSpace,    // from that operation on nothing that needs space succeeds, until Heal()
  kIoError,    // that one operation fails; a rename or a sync may have worked all the same
  kTornWrite,  // the process dies in that operation: a part of the bytes of a write are there, all before is as it was seen
  kPowerLoss,  // the machine dies in that operation
};

class FaultFileSystem : public FileSystem {
 public:
  // An empty disk, mounted at `root`.
  explicit FaultFileSystem(std::filesystem::path root);
  ~FaultFileSystem() override;

  // Operation `number`, from 1 on, suffers `fault`; `seed` picks among what may be left.
  void FailAt(int number, Fault fault, uint64_t seed);
  int operations() const { return operations_; }
  bool failed() const { return failed_; }
  // The process or the machine died: every operation fails and changes nothing until Heal().
  bool dead() const { return dead_; }
  // There is space again; the next process starts, from what the machine left.
  void Heal();
  // Makes `folder` what the disk holds at `path`.
  void WriteTo(const std::filesystem::path& folder, const std::filesystem::path& path) const;
  void WriteTo(const std::filesystem::path& folder) const { WriteTo(folder, root_path_); }
  // Names and bytes of all that lies at `path`, as one text: equal for equal trees.
  std::string Content(const std::filesystem::path& path) const;
  std::vector<std::string> names(const std::filesystem::path& folder) const;

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::filesystem::path& path, Existing existing) override;
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
  struct Node;
  using NodePtr = std::shared_ptr<Node>;  // owners: the entries that name it, changes that may still land, open files
  struct Change {
    Node* folder;
    std::string name;
    NodePtr now;  // null: removed
  };
  struct Update {  // one operation's changes: all of them land, or none
    std::vector<Change> changes;
    std::vector<NodePtr> folders;  // keeps them alive
  };
  class OpenFile;

  NodePtr Find(const std::filesystem::path& path) const;
  static void Describe(const Node& node, std::string& text);
  // Whether the operation goes ahead; else the error it fails with. `half_done`: it fails, but has its effect all the same.
  absl::Status Begin(const std::filesystem::path& path, bool needs_space, bool& half_done);
  absl::Status Apply(const std::filesystem::path& path, std::vector<std::pair<std::filesystem::path, NodePtr>> entries,
                     bool needs_space);
  absl::Status RemoveNode(const std::filesystem::path& path);
  absl::Status Append(Node& file, const std::filesystem::path& path, absl::Span<const std::byte> bytes);
  absl::Status Sync(Node& file, const std::filesystem::path& path);
  void LosePower();

  std::filesystem::path root_path_;
  NodePtr root_;
  std::vector<Update> pending_;
  int operations_ = 0;
  int fail_at_ = 0;
  Fault fault_ = Fault::kIoError;
  std::mt19937_64 random_;
  uint64_t seed_ = 0;
  bool failed_ = false, dead_ = false, full_ = false;
};

}  // namespace pixelrec::storage
