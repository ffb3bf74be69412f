#include "worker/checkpoint/deepspeed_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/deepspeed_files.h"
#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/tensor_file.h"

namespace pixelrec::checkpoint {
namespace {

using Kind = PickleValue::Kind;
using Bytes = absl::Span<const std::byte>;

constexpr size_t kMasterBytes = 4;  // masters are F32

// Bytes that follow each other in different places.
class Pieces {
 public:
  void Add(Bytes bytes) {
    if (bytes.empty()) return;
    parts_.push_back(bytes);
    size_ += bytes.size();
  }
  void Append(const Pieces& other) {
    for (const Bytes part : other.parts_) Add(part);
  }
  size_t size() const { return size_; }
  const std::vector<Bytes>& parts() const { return parts_; }
  // [begin, begin + bytes), which must lie inside.
  Pieces Slice(size_t begin, size_t bytes) const {
    Pieces slice;
    for (const Bytes part : parts_) {
      if (bytes == 0) break;
      if (begin >= part.size()) {
        begin -= part.size();
        continue;
      }
      const size_t taken = std::min(bytes, part.size() - begin);
      slice.Add(part.subspan(begin, taken));
      bytes -= taken;
      begin = 0;
    }
    return slice;
  }

 private:
  std::vector<Bytes> parts_;
  size_t size_ = 0;
};

class Consolidation {
 public:
  explicit Consolidation(DeepSpeedCheckpoint& out) : out_(out) {}

  absl::Status Run() {
    if (auto status = OpenModelFiles(); !status.ok()) return status;
    if (auto status = OpenOptimizerFiles(); !status.ok()) return status;
    if (ranks_.empty()) return TakeModule();
    if (auto status = TakeBuffers(); !status.ok()) return status;
    if (auto status = TakeFrozen(); !status.ok()) return status;
    auto status = out_.stage == 3 ? TakeByParameter() : TakeByGroup();
    if (!status.ok()) return status;
    ShareParameters();
    return absl::OkStatus();
  }

 private:
  struct Rank {
    TorchFile* file = nullptr;
    const PickleValue* state = nullptr;  // optimizer_state_dict
    std::vector<Bytes> groups;           // flat masters
  };

  absl::StatusOr<TorchFile*> OpenFile(const std::filesystem::path& path) {
    auto file = TorchFile::Open(path);
    if (!file.ok()) return file.status();
    out_.files.push_back(*std::move(file));
    return out_.files.back().get();
  }
  absl::Status Refuse(const TorchFile& file, absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(file.file_name(), ": ", why));
  }
  const PickleValue* ModelField(absl::string_view name) const {
    return models_[0]->pickle().Get(models_[0]->pickle().root(), name);
  }

  absl::Status OpenModelFiles() {
    for (const auto& [rank, path] : DeepSpeedFilesByRank(out_.folder, kDeepSpeedModelStates)) {
      auto file = OpenFile(path);
      if (!file.ok()) return file.status();
      models_.push_back(*file);
    }
    const PickleValue* const steps = ModelField("global_steps");
    if (steps != nullptr && steps->kind == Kind::kInt) out_.global_steps = steps->integer;
    const PickleValue* const version = ModelField("ds_version");
    if (version != nullptr && version->kind == Kind::kText) out_.version = std::string(version->text);
    return absl::OkStatus();
  }

  absl::Status OpenOptimizerFiles() {
    for (const auto& [rank, path] : DeepSpeedFilesByRank(out_.folder, kDeepSpeedOptimStates)) {
      if (rank != static_cast<int>(ranks_.size()))
        return absl::InvalidArgumentError(absl::StrCat(out_.folder.string(), ": the file of rank ", ranks_.size(), " (*",
                                                       kDeepSpeedOptimStates, ") is missing"));
      auto file = OpenFile(path);
      if (!file.ok()) return file.status();
      auto loaded = LoadRank(**file);
      if (!loaded.ok()) return loaded.status();
      ranks_.push_back(*std::move(loaded));
    }
    out_.world_size = static_cast<int>(ranks_.size());
    if (ranks_.empty()) return absl::OkStatus();
    const auto partitions = PartitionCount(ranks_[0]);
    if (partitions && *partitions != out_.world_size) {
      return absl::InvalidArgumentError(absl::StrCat(out_.folder.string(), ": the weights lie in ", *partitions,
                                                     " parts, and there are ", out_.world_size, " files *",
                                                     kDeepSpeedOptimStates));
    }
    for (const Rank& rank : ranks_) {
      if (rank.groups.size() != ranks_[0].groups.size())
        return Refuse(*rank.file, "has another number of parameter groups than rank 0");
    }
    if (out_.stage == 3 && models_.size() != ranks_.size())
      return absl::InvalidArgumentError(absl::StrCat(out_.folder.string(), ": ", ranks_.size(), " files *", kDeepSpeedOptimStates,
                                                     ", but ", models_.size(), " *", kDeepSpeedModelStates));
    return absl::OkStatus();
  }

  absl::StatusOr<Rank> LoadRank(TorchFile& file) {
    const Pickle& pickle = file.pickle();
    const PickleValue* const state = pickle.Get(pickle.root(), "optimizer_state_dict");
    const PickleValue* const slices = state == nullptr ? nullptr : pickle.Get(*state, "single_partition_of_fp32_groups");
    const PickleValue* const shards = state == nullptr ? nullptr : pickle.Get(*state, "fp32_flat_groups");
    const PickleValue* const groups = slices != nullptr ? slices : shards;
    if (groups == nullptr || groups->kind != Kind::kList)
      return Refuse(file, "holds no optimizer_state_dict with single_partition_of_fp32_groups or fp32_flat_groups: not of ZeRO");
    const int stage = slices != nullptr ? ZeroStage(pickle, *state).value_or(2) : 3;
    if (stage < 1 || stage > 3 || (stage == 3) != (slices == nullptr))
      return Refuse(file, "zero_stage and the groups contradict each other");
    if (out_.stage != 0 && out_.stage != stage)
      return Refuse(file, absl::StrCat("is of ZeRO stage ", stage, ", rank 0 is of ", out_.stage));
    out_.stage = stage;
    Rank rank{&file, state, {}};
    for (const uint32_t child : groups->children) {
      auto tensor = file.Tensor(pickle.at(child));
      if (!tensor.ok()) return tensor.status();
      if (tensor->dtype != "F32") return Refuse(file, absl::StrCat("master weights of type ", tensor->dtype, ", expected F32"));
      rank.groups.emplace_back(tensor->data, tensor->bytes);
    }
    return rank;
  }

  // A whole number, or DeepSpeed's enumeration of it.
  static std::optional<int> ZeroStage(const Pickle& pickle, const PickleValue& state) {
    const PickleValue* value = pickle.Get(state, "zero_stage");
    if (value != nullptr && value->kind == Kind::kCall && pickle.child(*value, 1).children.size() == 1)
      value = &pickle.child(pickle.child(*value, 1), 0);
    if (value == nullptr || value->kind != Kind::kInt || value->integer < 0 || value->integer > 3) return std::nullopt;
    return static_cast<int>(value->integer);
  }
  static std::optional<int64_t> PartitionCount(const Rank& rank) {
    const Pickle& pickle = rank.file->pickle();
    const PickleValue* const value = pickle.Get(*rank.state, "partition_count");
    if (value == nullptr) return std::nullopt;
    if (value->kind == Kind::kInt) return value->integer;
    std::optional<int64_t> most;
    for (const uint32_t child : value->children) {
      if (value->kind == Kind::kList && pickle.at(child).kind == Kind::kInt)
        most = std::max(most.value_or(0), pickle.at(child).integer);
    }
    return most;
  }

  // --- tensors

  void Keep(const std::string& name, absl::string_view dtype, const std::vector<int64_t>& shape, const Pieces& pieces) {
    TensorInfo info{.name = name, .dtype = std::string(dtype), .shape = shape, .data = nullptr, .bytes = pieces.size()};
    if (pieces.parts().size() == 1) {
      info.data = pieces.parts()[0].data();
    } else if (pieces.size() > 0) {
      out_.copies.push_back(std::make_unique<std::byte[]>(pieces.size()));
      std::byte* to = out_.copies.back().get();
      info.data = to;
      for (const Bytes part : pieces.parts()) to = std::copy(part.begin(), part.end(), to);
    }
    out_.tensors[name] = std::move(info);
  }

  // Without ZeRO the module's own weights are all there is.
  absl::Status TakeModule() {
    const PickleValue* const module = ModelField("module");
    if (module == nullptr) return Refuse(*models_[0], "holds no module");
    auto state = models_[0]->Tensors(*module);
    if (!state.ok()) return state.status();
    for (const auto& [name, tensor] : state->tensors) out_.tensors[name] = InfoOf(name, tensor);
    out_.world_size = 1;
    return absl::OkStatus();
  }

  absl::Status TakeBuffers() {
    const Pickle& pickle = models_[0]->pickle();
    const PickleValue *const names = ModelField("buffer_names"), *const module = ModelField("module");
    if (names == nullptr || names->kind != Kind::kList || module == nullptr) return absl::OkStatus();
    for (const uint32_t child : names->children) {
      const std::string name(pickle.at(child).text);
      const PickleValue* const value = pickle.Get(*module, name);
      if (value == nullptr) return Refuse(*models_[0], absl::StrCat("buffer ", name, " is not in its module"));
      auto tensor = models_[0]->Tensor(*value);
      if (absl::IsUnimplemented(tensor.status())) continue;  // no part of a model that is read here
      if (!tensor.ok()) return tensor.status();
      out_.tensors[name] = InfoOf(name, *tensor);
    }
    return absl::OkStatus();
  }

  // Frozen parameters have no master: stage 1 and 2 keep them whole, stage 3 a fragment in each rank's model file.
  absl::Status TakeFrozen() {
    const Pickle& pickle = models_[0]->pickle();
    const PickleValue* const shapes = ModelField("frozen_param_shapes");
    if (shapes == nullptr || shapes->kind != Kind::kDict) return absl::OkStatus();
    for (size_t i = 0; i + 1 < shapes->children.size(); i += 2) {
      const std::string name(pickle.child(*shapes, i).text);
      auto shape = models_[0]->Sizes(&pickle.child(*shapes, i + 1));
      if (!shape.ok()) return shape.status();
      if (auto status = TakeFrozenParameter(name, *shape); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::Status TakeFrozenParameter(const std::string& name, const std::vector<int64_t>& shape) {
    Pieces pieces;
    std::string dtype;
    for (size_t rank = 0; rank < (out_.stage == 3 ? models_.size() : 1); ++rank) {
      TorchFile& file = *models_[rank];
      const PickleValue* const fragments = file.pickle().Get(file.pickle().root(), "frozen_param_fragments");
      const PickleValue* const fragment = fragments == nullptr ? nullptr : file.pickle().Get(*fragments, name);
      if (fragment == nullptr) return Refuse(file, absl::StrCat("frozen parameter ", name, " is missing"));
      auto tensor = file.Tensor(*fragment);
      if (!tensor.ok()) return tensor.status();
      if (rank > 0 && tensor->dtype != dtype)
        return Refuse(file, absl::StrCat("frozen parameter ", name, ": another type than in rank 0"));
      dtype = tensor->dtype;
      pieces.Add({tensor->data, tensor->bytes});
    }
    const auto bytes = TensorBytes(shape, ElementBytes(dtype).value_or(0));
    if (!bytes || *bytes > pieces.size())
      return Refuse(*models_[0], absl::StrCat("frozen parameter ", name, ": its parts are too small for its shape"));
    Keep(name, dtype, shape, pieces.Slice(0, *bytes));
    return absl::OkStatus();
  }

  struct Shape {
    std::string name;
    std::vector<int64_t> shape;
    uint64_t bytes = 0;
  };
  // param_shapes: per group, name -> torch.Size.
  absl::StatusOr<std::vector<std::vector<Shape>>> ParameterShapes() const {
    const TorchFile& file = *models_[0];
    const Pickle& pickle = file.pickle();
    const PickleValue* const groups = ModelField("param_shapes");
    if (groups == nullptr || groups->kind != Kind::kList) return Refuse(file, "holds no list param_shapes");
    std::vector<std::vector<Shape>> result;
    for (const uint32_t child : groups->children) {
      const PickleValue& group = pickle.at(child);
      if (group.kind != Kind::kDict) return Refuse(file, "param_shapes is no list of dictionaries");
      result.emplace_back();
      for (size_t i = 0; i + 1 < group.children.size(); i += 2) {
        auto sizes = file.Sizes(&pickle.child(group, i + 1));
        if (!sizes.ok()) return sizes.status();
        const auto bytes = TensorBytes(*sizes, kMasterBytes);
        if (!bytes) return Refuse(file, absl::StrCat("parameter ", pickle.child(group, i).text, ": its shape leaves 64 bits"));
        result.back().push_back({std::string(pickle.child(group, i).text), *std::move(sizes), *bytes});
      }
    }
    return result;
  }
  // Elements of padding behind each parameter (newer releases); empty: none.
  std::vector<uint64_t> AlignmentPaddings(size_t group) const {
    const Pickle& pickle = ranks_[0].file->pickle();
    const PickleValue* const all = pickle.Get(*ranks_[0].state, "param_alignment_paddings");
    if (all == nullptr || all->kind != Kind::kList || group >= all->children.size()) return {};
    std::vector<uint64_t> paddings;
    for (const uint32_t child : pickle.child(*all, group).children)
      paddings.push_back(static_cast<uint64_t>(std::clamp<int64_t>(pickle.at(child).integer, 0, int64_t{1} << 40)));
    return paddings;
  }

  // Stage 1 and 2: the ranks' slices of a group, one behind the other, are its parameters in order, padded to 2 x world elements.
  absl::Status TakeByGroup() {
    auto shapes = ParameterShapes();
    if (!shapes.ok()) return shapes.status();
    if (shapes->size() != ranks_[0].groups.size())
      return Refuse(*models_[0],
                    absl::StrCat("param_shapes has ", shapes->size(), " groups, the optimizer ", ranks_[0].groups.size()));
    for (size_t group = 0; group < shapes->size(); ++group) {
      Pieces flat;
      for (const Rank& rank : ranks_) flat.Add(rank.groups[group]);
      const std::vector<uint64_t> paddings = AlignmentPaddings(group);
      if (!paddings.empty() && paddings.size() != (*shapes)[group].size())
        return Refuse(*ranks_[0].file,
                      absl::StrCat("param_alignment_paddings of group ", group, " has another length than its parameters"));
      uint64_t used = 0;
      for (size_t i = 0; i < (*shapes)[group].size(); ++i) {
        const Shape& parameter = (*shapes)[group][i];
        if (parameter.bytes > flat.size() - used) return TooShort(parameter.name, group);
        Keep(parameter.name, "F32", parameter.shape, flat.Slice(used, parameter.bytes));
        used += parameter.bytes;
        if (!paddings.empty()) used = std::min<uint64_t>(used + paddings[i] * kMasterBytes, flat.size());
      }
      const uint64_t alignment = uint64_t{2} * ranks_.size() * kMasterBytes;
      if (Aligned(used, alignment) != Aligned(flat.size(), alignment)) return Unused(flat.size() - used);
    }
    return absl::OkStatus();
  }
  static uint64_t Aligned(uint64_t bytes, uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

  // Stage 3: every rank holds ceil(elements / world) elements of each parameter; the last ones are padding.
  absl::Status TakeByParameter() {
    auto shapes = ParameterShapes();
    if (!shapes.ok()) return shapes.status();
    std::vector<Pieces> flat(ranks_.size());
    for (size_t r = 0; r < ranks_.size(); ++r) {
      for (const Bytes group : ranks_[r].groups) flat[r].Add(group);
      if (flat[r].size() != flat[0].size()) return Refuse(*ranks_[r].file, "holds another number of elements than rank 0");
    }
    uint64_t used = 0;
    for (size_t group = 0; group < shapes->size(); ++group) {
      for (const Shape& parameter : (*shapes)[group]) {
        const uint64_t elements = parameter.bytes / kMasterBytes;
        const uint64_t part = (elements / ranks_.size() + (elements % ranks_.size() != 0)) * kMasterBytes;
        if (part > flat[0].size() - used) return TooShort(parameter.name, group);
        Pieces pieces;
        for (const Pieces& rank : flat) pieces.Append(rank.Slice(used, part));
        Keep(parameter.name, "F32", parameter.shape, pieces.Slice(0, parameter.bytes));
        used += part;
      }
    }
    return used == flat[0].size() ? absl::OkStatus() : Unused(flat[0].size() - used);
  }

  absl::Status TooShort(const std::string& name, size_t group) const {
    return absl::InvalidArgumentError(
        absl::StrCat(out_.folder.string(), ": parameter ", name, ": the flat master weights of group ", group,
                     " end before it; files of different checkpoints, or of a run with expert parallelism?"));
  }
  absl::Status Unused(uint64_t bytes) const {
    return absl::InvalidArgumentError(
        absl::StrCat(out_.folder.string(), ": ", bytes, " bytes of master weights belong to no parameter of param_shapes"));
  }

  // Name -> name of the parameter whose weights it shares.
  void ShareParameters() {
    const PickleValue* const shared = ModelField("shared_params");
    if (shared == nullptr || shared->kind != Kind::kDict) return;
    const Pickle& pickle = models_[0]->pickle();
    for (size_t i = 0; i + 1 < shared->children.size(); i += 2) {
      const std::string name(pickle.child(*shared, i).text);
      const auto original = out_.tensors.find(std::string(pickle.child(*shared, i + 1).text));
      if (original == out_.tensors.end()) continue;
      TensorInfo info = original->second;
      info.name = name;
      out_.tensors[name] = std::move(info);
    }
  }

  DeepSpeedCheckpoint& out_;
  std::vector<TorchFile*> models_;
  std::vector<Rank> ranks_;
};

}  // namespace

absl::StatusOr<DeepSpeedCheckpoint> OpenDeepSpeedCheckpoint(const std::filesystem::path& dir) {
  auto folder = DeepSpeedTagFolder(dir);
  if (!folder.ok()) return folder.status();
  DeepSpeedCheckpoint checkpoint;
  checkpoint.folder = *std::move(folder);
  if (auto status = Consolidation(checkpoint).Run(); !status.ok()) return status;
  return checkpoint;
}

}  // namespace pixelrec::checkpoint
