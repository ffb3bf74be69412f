#include "tests/coordinator/simulator/shared_files.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pixelrec::simulator {

namespace fs = std::filesystem;

namespace {

class NoFile final : public storage::WritableFile {
 public:
  absl::Status Append(absl::Span<const std::byte>) override { return absl::OkStatus(); }
  absl::Status SyncAndClose() override { return absl::OkStatus(); }
};

absl::Status Missing(const std::string& path) { return absl::NotFoundError(absl::StrCat(path, " does not exist")); }

bool IsIn(const std::string& path, const std::string& tree) {
  return path == tree || (absl::StartsWith(path, tree) && path[tree.size()] == '/');
}

std::string Parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

void SharedFiles::MakeFolders(const std::string& path) {
  for (std::string at = path; !at.empty() && nodes_.try_emplace(at).second; at = Parent(at)) {
  }
}

void SharedFiles::Write(const std::string& folder, const Saved& saved) {
  MakeFolders(folder);
  nodes_[folder].saved = saved;
}

const Saved* SharedFiles::Read(const std::string& folder) const {
  auto it = nodes_.find(folder);
  return it == nodes_.end() || !it->second.saved.has_value() ? nullptr : &*it->second.saved;
}

void SharedFiles::Damage(const std::string& folder) {
  if (auto it = nodes_.find(folder); it != nodes_.end() && it->second.saved.has_value()) it->second.saved->damaged = true;
}

std::vector<std::string> SharedFiles::Below(const std::string& folder) const {
  std::vector<std::string> found;
  const std::string prefix = folder + "/";
  for (auto it = nodes_.lower_bound(prefix); it != nodes_.end() && absl::StartsWith(it->first, prefix); ++it) {
    if (it->first.find('/', prefix.size()) == std::string::npos) found.push_back(it->first);
  }
  return found;
}

SharedFiles::Nodes SharedFiles::TakeTree(const std::string& path) {
  Nodes tree;
  for (auto it = nodes_.lower_bound(path); it != nodes_.end() && absl::StartsWith(it->first, path);) {
    if (IsIn(it->first, path)) {
      tree.insert(nodes_.extract(it++));
    } else {
      ++it;
    }
  }
  return tree;
}

void SharedFiles::PutTree(const std::string& from, const std::string& to, Nodes tree) {
  for (auto& [path, node] : tree) nodes_[to + path.substr(from.size())] = std::move(node);
}

absl::StatusOr<std::unique_ptr<storage::WritableFile>> SharedFiles::Create(const fs::path& path, Existing) {
  if (!Exists(path.parent_path())) return Missing(path.parent_path());
  nodes_[path.string()].folder = false;
  return std::make_unique<NoFile>();
}

absl::Status SharedFiles::CreateFolder(const fs::path& path) {
  if (Exists(path)) return absl::AlreadyExistsError(path.string());
  if (!Exists(path.parent_path())) return Missing(path.parent_path());
  nodes_[path.string()];
  return absl::OkStatus();
}

absl::Status SharedFiles::SyncFolder(const fs::path& path) { return Exists(path) ? absl::OkStatus() : Missing(path); }

absl::Status SharedFiles::Rename(const fs::path& from, const fs::path& to) {
  if (!Exists(from)) return Missing(from);
  Nodes tree = TakeTree(from);
  TakeTree(to);
  PutTree(from, to, std::move(tree));
  return absl::OkStatus();
}

absl::Status SharedFiles::RenameNew(const fs::path& from, const fs::path& to) {
  if (!Exists(from)) return Missing(from);
  if (Exists(to)) return absl::AlreadyExistsError(to.string());
  if (!Exists(to.parent_path())) return Missing(to.parent_path());
  if (refused_renames_ > 0) {
    --refused_renames_;
    return absl::ResourceExhaustedError(absl::StrCat(to.string(), ": no space left on device"));
  }
  PutTree(from, to, TakeTree(from));
  return absl::OkStatus();
}

absl::Status SharedFiles::Exchange(const fs::path& a, const fs::path& b) {
  if (!Exists(a)) return Missing(a);
  if (!Exists(b)) return Missing(b);
  Nodes of_a = TakeTree(a), of_b = TakeTree(b);
  PutTree(a, b, std::move(of_a));
  PutTree(b, a, std::move(of_b));
  return absl::OkStatus();
}

absl::Status SharedFiles::RemoveFile(const fs::path& path) {
  nodes_.erase(path.string());
  return absl::OkStatus();
}

absl::Status SharedFiles::RemoveTree(const fs::path& path) {
  for (const auto& [name, node] : TakeTree(path)) {
    if (node.saved.has_value() && on_remove_ != nullptr) on_remove_(name, *node.saved);
  }
  return absl::OkStatus();
}

bool SharedFiles::Exists(const fs::path& path) { return path == "/" || nodes_.contains(path.string()); }

absl::StatusOr<uint64_t> SharedFiles::FreeBytes(const fs::path&) { return uint64_t{1} << 40; }

}  // namespace pixelrec::simulator
