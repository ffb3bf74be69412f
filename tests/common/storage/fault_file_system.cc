#include "tests/common/storage/fault_file_system.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <utility>

#include "common/storage/atomic_file.h"

namespace pixelrec::storage {

namespace fs = std::filesystem;

struct FaultFileSystem::Node {
  bool is_folder = false;
  std::string content, durable_content;
  std::map<std::string, NodePtr> entries, durable_entries;
};

class FaultFileSystem::OpenFile : public WritableFile {
 public:
  OpenFile(FaultFileSystem& disk, NodePtr node, fs::path path) : disk_(disk), node_(std::move(node)), path_(std::move(path)) {}
  absl::Status Append(absl::Span<const std::byte> bytes) override { return disk_.Append(*node_, path_, bytes); }
  absl::Status SyncAndClose() override { return disk_.Sync(*node_, path_); }

 private:
  FaultFileSystem& disk_;
  NodePtr node_;
  fs::path path_;
};

FaultFileSystem::FaultFileSystem(fs::path root) : root_path_(std::move(root)), root_(std::make_shared<Node>()) {
  root_->is_folder = true;
}

FaultFileSystem::~FaultFileSystem() = default;

void FaultFileSystem::FailAt(int number, Fault fault, uint64_t seed) {
  fail_at_ = number;
  fault_ = fault;
  seed_ = seed;
  random_.seed(seed * 1'000'003 + static_cast<uint64_t>(number) * 7 + static_cast<uint64_t>(fault));
}

void FaultFileSystem::Heal() { dead_ = full_ = false; }

FaultFileSystem::NodePtr FaultFileSystem::Find(const fs::path& path) const {
  NodePtr node = root_;
  for (const fs::path& part : path.lexically_relative(root_path_)) {
    if (part == ".") continue;
    const auto found = node->entries.find(part.string());
    if (!node->is_folder || found == node->entries.end()) return nullptr;
    node = found->second;
  }
  return node;
}

absl::Status FaultFileSystem::Begin(const fs::path& path, bool needs_space, bool& half_done) {
  half_done = false;
  if (dead_) return ErrnoStatus(EIO, "the process is dead", path);
  ++operations_;
  if (operations_ == fail_at_) {
    failed_ = true;
    half_done = (random_() & 1) != 0;
    if (fault_ == Fault::kNoSpace) full_ = true;
    if (fault_ == Fault::kTornWrite || fault_ == Fault::kPowerLoss) dead_ = true;
    if (fault_ != Fault::kNoSpace) return ErrnoStatus(EIO, "injected", path);
  }
  if (full_ && needs_space) {
    half_done = (random_() & 1) != 0;
    return ErrnoStatus(ENOSPC, "injected", path);
  }
  return absl::OkStatus();
}

// Sets names to nodes (null: removes them), as one update of their folders.
absl::Status FaultFileSystem::Apply(const fs::path& path, std::vector<std::pair<fs::path, NodePtr>> entries, bool needs_space) {
  bool half_done = false;
  const absl::Status status = Begin(path, needs_space, half_done);
  if (status.ok() || (half_done && !needs_space)) {
    Update update;
    for (auto& [name, node] : entries) {
      const NodePtr folder = Find(name.parent_path());
      update.changes.push_back({folder.get(), name.filename().string(), node});
      update.folders.push_back(folder);
      if (node == nullptr) {
        folder->entries.erase(name.filename().string());
      } else {
        folder->entries[name.filename().string()] = node;
      }
    }
    pending_.push_back(std::move(update));
  }
  if (dead_ && fault_ == Fault::kPowerLoss) LosePower();
  return status;
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultFileSystem::Create(const fs::path& path, Existing existing) {
  const NodePtr folder = Find(path.parent_path());
  if (folder == nullptr || !folder->is_folder) return ErrnoStatus(ENOENT, "cannot create", path);
  NodePtr node = Find(path);
  if (node != nullptr && (existing == Existing::kRefuse || node->is_folder)) return ErrnoStatus(EEXIST, "cannot create", path);
  if (node != nullptr) {
    bool half_done = false;
    if (auto status = Begin(path, false, half_done); !status.ok()) {
      if (dead_ && fault_ == Fault::kPowerLoss) LosePower();
      return status;
    }
    node->content.clear();
  } else {
    node = std::make_shared<Node>();
    if (auto status = Apply(path, {{path, node}}, true); !status.ok()) return status;
  }
  return std::make_unique<OpenFile>(*this, node, path);
}

absl::Status FaultFileSystem::Append(Node& file, const fs::path& path, absl::Span<const std::byte> bytes) {
  bool half_done = false;
  const absl::Status status = Begin(path, true, half_done);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (status.ok()) {
    file.content += text;
  } else if (half_done) {
    file.content += text.substr(0, random_() % (text.size() + 1));
  }
  if (dead_ && fault_ == Fault::kPowerLoss) LosePower();
  return status;
}

absl::Status FaultFileSystem::Sync(Node& file, const fs::path& path) {
  bool half_done = false;
  const absl::Status status = Begin(path, false, half_done);
  if (status.ok() || half_done) file.durable_content = file.content;
  if (dead_ && fault_ == Fault::kPowerLoss) LosePower();
  return status;
}

absl::Status FaultFileSystem::CreateFolder(const fs::path& path) {
  const NodePtr parent = Find(path.parent_path());
  if (parent == nullptr || !parent->is_folder) return ErrnoStatus(ENOENT, "cannot create", path);
  if (Find(path) != nullptr) return ErrnoStatus(EEXIST, "cannot create", path);
  auto node = std::make_shared<Node>();
  node->is_folder = true;
  return Apply(path, {{path, node}}, true);
}

absl::Status FaultFileSystem::SyncFolder(const fs::path& path) {
  const NodePtr folder = Find(path);
  if (folder == nullptr) return ErrnoStatus(ENOENT, "cannot open", path);
  bool half_done = false;
  const absl::Status status = Begin(path, false, half_done);
  if (status.ok() || half_done) {
    // Its updates, and what these build on.
    std::set<std::pair<Node*, std::string>> names;
    std::vector<bool> lands(pending_.size());
    for (size_t i = pending_.size(); i-- > 0;) {
      for (const Change& change : pending_[i].changes)
        lands[i] = lands[i] || change.folder == folder.get() || names.contains({change.folder, change.name});
      if (!lands[i]) continue;
      for (const Change& change : pending_[i].changes) names.emplace(change.folder, change.name);
    }
    std::vector<Update> left;
    for (size_t i = 0; i < pending_.size(); ++i) {
      if (!lands[i]) {
        left.push_back(std::move(pending_[i]));
        continue;
      }
      for (const Change& change : pending_[i].changes) {
        if (change.now == nullptr) {
          change.folder->durable_entries.erase(change.name);
        } else {
          change.folder->durable_entries[change.name] = change.now;
        }
      }
    }
    pending_ = std::move(left);
  }
  if (dead_ && fault_ == Fault::kPowerLoss) LosePower();
  return status;
}

absl::Status FaultFileSystem::Rename(const fs::path& from, const fs::path& to) {
  const NodePtr node = Find(from);
  if (node == nullptr || Find(to.parent_path()) == nullptr) return ErrnoStatus(ENOENT, "cannot replace", to);
  return Apply(to, {{from, nullptr}, {to, node}}, false);
}

absl::Status FaultFileSystem::RenameNew(const fs::path& from, const fs::path& to) {
  const NodePtr node = Find(from);
  if (node == nullptr || Find(to.parent_path()) == nullptr) return ErrnoStatus(ENOENT, "cannot rename", from);
  if (Find(to) != nullptr) return ErrnoStatus(EEXIST, "cannot rename", to);
  return Apply(to, {{from, nullptr}, {to, node}}, false);
}

absl::Status FaultFileSystem::Exchange(const fs::path& a, const fs::path& b) {
  const NodePtr at_a = Find(a), at_b = Find(b);
  if (at_a == nullptr || at_b == nullptr) return ErrnoStatus(ENOENT, "cannot exchange", a);
  return Apply(a, {{a, at_b}, {b, at_a}}, false);
}

absl::Status FaultFileSystem::RemoveFile(const fs::path& path) {
  return Find(path) == nullptr ? absl::OkStatus() : Apply(path, {{path, nullptr}}, false);
}

// One operation for each entry, as unlink and rmdir are.
absl::Status FaultFileSystem::RemoveTree(const fs::path& path) {
  const NodePtr node = Find(path);
  if (node == nullptr) return absl::OkStatus();
  const std::map<std::string, NodePtr> entries = node->entries;
  for (const auto& [name, child] : entries) {
    if (auto status = RemoveTree(path / name); !status.ok()) return status;
  }
  return Apply(path, {{path, nullptr}}, false);
}

bool FaultFileSystem::Exists(const fs::path& path) { return Find(path) != nullptr; }

absl::StatusOr<uint64_t> FaultFileSystem::FreeBytes(const fs::path&) { return full_ ? 0 : uint64_t{1} << 40; }

void FaultFileSystem::LosePower() {
  // Of the folders' updates that weren't synced: none lands, all, the first of them (as a journal has them), any.
  const uint64_t variant = seed_ % 4;
  const size_t first = pending_.empty() ? 0 : random_() % pending_.size();
  std::set<std::pair<Node*, std::string>> lost;
  for (size_t i = 0; i < pending_.size(); ++i) {
    const Update& update = pending_[i];
    bool lands = variant == 1 || (variant == 2 && i < first) || (variant == 3 && (random_() & 1) != 0);
    for (const Change& change : update.changes) lands = lands && !lost.contains({change.folder, change.name});
    for (const Change& change : update.changes) {
      if (!lands) {
        lost.emplace(change.folder, change.name);
      } else if (change.now == nullptr) {
        change.folder->durable_entries.erase(change.name);
      } else {
        change.folder->durable_entries[change.name] = change.now;
      }
    }
  }
  pending_.clear();
  std::vector<Node*> reached = {root_.get()};
  while (!reached.empty()) {
    Node& node = *reached.back();
    reached.pop_back();
    node.entries = node.durable_entries;
    for (const auto& [name, child] : node.entries) reached.push_back(child.get());
    if (node.content == node.durable_content) continue;
    const size_t from = node.content.empty() ? 0 : random_() % node.content.size();
    switch (random_() % 4) {
      case 0:  // as it was
        node.content = node.durable_content;
        break;
      case 1:  // a part
        node.content.resize(from);
        break;
      case 2: {  // the size, but not the bytes
        std::fill(node.content.begin() + static_cast<std::ptrdiff_t>(from), node.content.end(), '\0');
        break;
      }
      default:  // whole
        break;
    }
    node.durable_content = node.content;
  }
}

void FaultFileSystem::Describe(const Node& node, std::string& text) {
  text +=
      std::to_string(node.is_folder ? node.entries.size() : node.content.size()) + (node.is_folder ? "/" : ":") + node.content;
  for (const auto& [name, child] : node.entries) {
    text += name + "=";
    Describe(*child, text);
  }
}

std::string FaultFileSystem::Content(const fs::path& path) const {
  std::string text;
  if (const NodePtr node = Find(path)) Describe(*node, text);
  return text;
}

void FaultFileSystem::WriteTo(const fs::path& folder, const fs::path& path_on_disk) const {
  const NodePtr from = Find(path_on_disk);
  if (from == nullptr) return;
  std::vector<std::pair<const Node*, fs::path>> todo = {{from.get(), folder}};
  while (!todo.empty()) {
    const auto [node, path] = todo.back();
    todo.pop_back();
    if (!node->is_folder) {
      std::ofstream(path, std::ios::binary) << node->content;
      continue;
    }
    fs::create_directories(path);
    for (const auto& [name, child] : node->entries) todo.emplace_back(child.get(), path / name);
  }
}

std::vector<std::string> FaultFileSystem::names(const fs::path& folder) const {
  std::vector<std::string> names;
  if (const NodePtr node = Find(folder)) {
    for (const auto& [name, child] : node->entries) names.push_back(name);
  }
  return names;
}

}  // namespace pixelrec::storage
