#include "worker/checkpoint/torch_file/torch_file.h"

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/torch_file/element_type.h"

namespace pixelrec::checkpoint {

using Kind = PickleValue::Kind;

namespace {

constexpr size_t kMaxDimensions = 32;

// torch.save's files from before 1.6 begin with a pickled magic number, older ones are tar archives.
bool IsLegacy(absl::Span<const std::byte> file) {
  const absl::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  return absl::StartsWith(text, absl::string_view("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14)) ||
         (text.size() > 262 && text.substr(257, 5) == "ustar");
}

std::optional<int64_t> Count(const PickleValue& value) {
  if (value.kind != Kind::kInt || value.integer < 0) return std::nullopt;
  return value.integer;
}

}  // namespace

struct TorchFile::Storage {
  ElementType element;
  absl::Span<const std::byte> bytes;
};

// In elements.
struct TorchFile::Layout {
  int64_t offset = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  int64_t count = 0;  // product of the shape
  bool contiguous = true;
};

absl::StatusOr<std::unique_ptr<TorchFile>> TorchFile::Open(const std::filesystem::path& path) {
  auto map = storage::MappedFile::Open(path);
  if (!map.ok()) return map.status();
  auto file = Parse(map->bytes(), path.string());
  if (file.ok()) (*file)->map_ = std::make_unique<storage::MappedFile>(*std::move(map));
  return file;
}

absl::StatusOr<std::unique_ptr<TorchFile>> TorchFile::Parse(absl::Span<const std::byte> bytes, absl::string_view file_name) {
  std::unique_ptr<TorchFile> file(new TorchFile(bytes, file_name));
  if (auto status = file->Load(bytes); !status.ok()) return status;
  return file;
}

absl::Status TorchFile::Load(absl::Span<const std::byte> file) {
  if (IsLegacy(file)) {
    return absl::UnimplementedError(
        absl::StrCat(file_name_,
                     ": written by torch.save in its format from before torch 1.6, which is not read; convert it: python -c "
                     "\"import torch; torch.save(torch.load('OLD', map_location='cpu', weights_only=True), 'NEW')\""));
  }
  auto archive = ZipArchive::Parse(file, file_name_);
  if (!archive.ok()) return archive.status();
  archive_ = *std::move(archive);
  const absl::Span<const std::byte>* pickle = nullptr;
  for (const auto& [name, contents] : archive_.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash) != "/data.pkl") continue;
    if (pickle != nullptr) return absl::InvalidArgumentError(absl::StrCat(file_name_, ": has more than one data.pkl"));
    pickle = &contents;
    root_folder_ = name.substr(0, slash + 1);
  }
  if (pickle == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(file_name_, ": a ZIP archive without data.pkl: not a file of torch.save"));
  }
  if (archive_.entries().contains(root_folder_ + "constants.pkl")) {
    return absl::UnimplementedError(
        absl::StrCat(file_name_, ": a TorchScript program, which is not read; save the model's state_dict() with torch.save"));
  }
  const auto order = archive_.entries().find(root_folder_ + "byteorder");
  if (order != archive_.entries().end() &&
      absl::string_view(reinterpret_cast<const char*>(order->second.data()), order->second.size()) != "little") {
    return absl::UnimplementedError(
        absl::StrCat(file_name_, ": written on a big-endian machine; load and save it again with torch on another"));
  }
  pickle_name_ = absl::StrCat(file_name_, ": ", absl::CHexEscape(root_folder_), "data.pkl");
  auto parsed = Pickle::Parse(*pickle, pickle_name_);
  if (!parsed.ok()) return parsed.status();
  pickle_ = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status TorchFile::Refuse(const PickleValue& value, absl::string_view why) const {
  return absl::InvalidArgumentError(absl::StrCat(pickle_name_, ": byte ", value.offset, ": ", why));
}

namespace {

bool IsRebuildTensor(const PickleValue& callable) {
  for (const char* name : {"_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_tensor"}) {
    if (callable.IsGlobal("torch._utils", name)) return true;
  }
  return false;
}

// Calls whose first argument is the tensor itself, with attributes that don't matter here.
bool WrapsTensor(const PickleValue& callable) {
  return callable.IsGlobal("torch._utils", "_rebuild_parameter") ||
         callable.IsGlobal("torch._utils", "_rebuild_parameter_with_state");
}

}  // namespace

// The _rebuild_tensor call inside `value`; its callable is nullptr where there is none.
absl::StatusOr<TorchFile::TensorCall> TorchFile::FindTensorCall(const PickleValue& value) const {
  const PickleValue* at = &value;
  for (int wrapped = 0; wrapped < 4; ++wrapped) {
    if (at->kind != Kind::kCall) return TensorCall{};
    TensorCall call{&pickle_.child(*at, 0), &pickle_.child(*at, 1)};
    // A tensor with attributes: (the call's callable, class, the call's arguments, attributes).
    if (call.callable->IsGlobal("torch._tensor", "_rebuild_from_type_v2") && call.arguments->children.size() == 4)
      call = {&pickle_.child(*call.arguments, 0), &pickle_.child(*call.arguments, 2)};
    if (IsRebuildTensor(*call.callable)) return call;
    if (!WrapsTensor(*call.callable)) return TensorCall{};
    if (call.arguments->children.empty()) return Refuse(value, "a Parameter without its tensor");
    at = &pickle_.child(*call.arguments, 0);
  }
  return Refuse(value, "a Parameter of a Parameter of a Parameter");
}

bool TorchFile::IsTensor(const PickleValue& value) const {
  const auto call = FindTensorCall(value);
  return call.ok() && call->callable != nullptr;
}

// ('storage', type, key, location, number of elements)
absl::StatusOr<TorchFile::Storage> TorchFile::StorageOf(const PickleValue& value) const {
  if (value.kind != Kind::kPersistent) return Refuse(value, "a tensor without a storage");
  const PickleValue& id = pickle_.child(value, 0);
  if (id.kind != Kind::kTuple || id.children.size() != 5 || pickle_.child(id, 0).text != "storage" ||
      pickle_.child(id, 1).kind != Kind::kGlobal || pickle_.child(id, 2).kind != Kind::kText || !Count(pickle_.child(id, 4))) {
    return Refuse(value, "a persistent id that is not ('storage', type, key, location, number of elements)");
  }
  const PickleValue& type = pickle_.child(id, 1);
  const auto element = StorageElementType(type.text, type.name);
  if (!element) {
    return absl::UnimplementedError(absl::StrCat(pickle_name_, ": byte ", value.offset, ": storages of type ",
                                                 absl::CHexEscape(type.text.substr(0, 100)), ".",
                                                 absl::CHexEscape(type.name.substr(0, 100)), " are not read"));
  }
  const std::string key(pickle_.child(id, 2).text);
  const auto entry = archive_.entries().find(absl::StrCat(root_folder_, "data/", key));
  if (entry == archive_.entries().end())
    return Refuse(value, absl::StrCat("its data, entry data/", absl::CHexEscape(key.substr(0, 100)), ", is missing"));
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(*Count(pickle_.child(id, 4))), uint64_t{element->bytes}, &bytes) ||
      bytes != entry->second.size()) {
    return Refuse(value, absl::StrCat("its data, entry data/", absl::CHexEscape(key.substr(0, 100)), ", has ",
                                      entry->second.size(), " bytes, not ", *Count(pickle_.child(id, 4)), " x ", element->bytes));
  }
  return Storage{*element, entry->second};
}

// _rebuild_tensor_v3 names the element type of an untyped storage.
absl::Status TorchFile::ApplyDtype(const TensorCall& call, Storage& storage) const {
  const PickleValue& arguments = *call.arguments;
  if (!call.callable->IsGlobal("torch._utils", "_rebuild_tensor_v3")) return absl::OkStatus();
  if (arguments.children.size() < 7) return Refuse(arguments, "a tensor with too few facts");
  const PickleValue& dtype = pickle_.child(arguments, 6);
  const auto element = dtype.kind == Kind::kGlobal && dtype.text == "torch" ? DtypeElementType(dtype.name) : std::nullopt;
  if (!element) {
    return absl::UnimplementedError(absl::StrCat(pickle_name_, ": byte ", arguments.offset, ": tensors of type ",
                                                 absl::CHexEscape(dtype.name.substr(0, 100)), " are not read"));
  }
  storage.element = *element;
  return absl::OkStatus();
}

// Arguments 1 to 3: offset, shape, strides. Everything they reach must lie in the storage.
absl::StatusOr<TorchFile::Layout> TorchFile::LayoutOf(const PickleValue& arguments, const Storage& storage) const {
  Layout layout;
  const auto offset = Count(pickle_.child(arguments, 1));
  auto shape = Sizes(&pickle_.child(arguments, 2));
  auto strides = Sizes(&pickle_.child(arguments, 3));
  if (!offset || !shape.ok() || !strides.ok() || shape->size() != strides->size() || shape->size() > kMaxDimensions)
    return Refuse(arguments, "a tensor whose offset, shape and strides make no sense");
  layout.offset = *offset;
  layout.shape = *std::move(shape);
  layout.strides = *std::move(strides);
  layout.count = 1;
  for (const int64_t size : layout.shape) {
    if (__builtin_mul_overflow(layout.count, size, &layout.count))
      return Refuse(arguments, "a tensor whose shape leaves 64 bits");
  }
  if (layout.count == 0) return layout;
  int64_t last = layout.offset, expected = 1;
  for (size_t d = layout.shape.size(); d-- > 0;) {
    int64_t reach = 0;
    if (__builtin_mul_overflow(layout.shape[d] - 1, layout.strides[d], &reach) || __builtin_add_overflow(last, reach, &last))
      return Refuse(arguments, "a tensor whose strides leave 64 bits");
    layout.contiguous &= layout.shape[d] == 1 || layout.strides[d] == expected;
    expected *= layout.shape[d];  // at most count
  }
  const auto elements = static_cast<int64_t>(storage.bytes.size() / storage.element.bytes);
  if (last >= elements)
    return Refuse(arguments, absl::StrCat("a tensor that reaches to element ", last, " of a storage of ", elements));
  return layout;
}

absl::StatusOr<TorchTensor> TorchFile::Tensor(const PickleValue& value) {
  auto call = FindTensorCall(value);
  if (!call.ok()) return call.status();
  if (call->callable == nullptr) return Refuse(value, "not a tensor");
  const PickleValue& arguments = *call->arguments;
  if (arguments.children.size() < 4) return Refuse(arguments, "a tensor with too few facts");
  auto storage = StorageOf(pickle_.child(arguments, 0));
  if (!storage.ok()) return storage.status();
  if (auto status = ApplyDtype(*call, *storage); !status.ok()) return status;
  auto layout = LayoutOf(arguments, *storage);
  if (!layout.ok()) return layout.status();
  TorchTensor tensor{.dtype = std::string(storage->element.name), .shape = layout->shape};
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(layout->count), uint64_t{storage->element.bytes}, &bytes))
    return Refuse(arguments, "a tensor whose shape leaves 64 bits");
  tensor.bytes = static_cast<size_t>(bytes);
  if (bytes == 0) return tensor;
  if (layout->contiguous) {
    tensor.data = storage->bytes.data() + layout->offset * static_cast<int64_t>(storage->element.bytes);
    return tensor;
  }
  auto copy = CopyContiguous(arguments, *storage, *layout, tensor.bytes);
  if (!copy.ok()) return copy.status();
  tensor.data = *copy;
  return tensor;
}

// Row-major order, one element after the other.
absl::StatusOr<const std::byte*> TorchFile::CopyContiguous(const PickleValue& arguments, const Storage& storage,
                                                           const Layout& layout, size_t bytes) {
  if (bytes > copy_budget_)
    return Refuse(arguments, absl::StrCat("a tensor that repeats its values (shape and strides ask for ", bytes,
                                          " bytes, more than the file warrants); save it after .contiguous()"));
  copy_budget_ -= bytes;
  copies_.push_back(std::make_unique<std::byte[]>(bytes));
  std::byte* out = copies_.back().get();
  const size_t width = storage.element.bytes;
  std::vector<int64_t> index(layout.shape.size(), 0);
  int64_t at = layout.offset;
  for (int64_t n = 0; n < layout.count; ++n, out += width) {
    std::memcpy(out, storage.bytes.data() + static_cast<size_t>(at) * width, width);
    for (size_t d = index.size(); d-- > 0;) {
      at += layout.strides[d];
      if (++index[d] < layout.shape[d]) break;
      at -= layout.strides[d] * layout.shape[d];
      index[d] = 0;
    }
  }
  return copies_.back().get();
}

absl::StatusOr<StateDict> TorchFile::Tensors(const PickleValue& dict) {
  if (dict.kind != Kind::kDict) return Refuse(dict, "not a dictionary of tensors");
  StateDict result;
  for (size_t i = 0; i + 1 < dict.children.size(); i += 2) {
    const PickleValue &key = pickle_.child(dict, i), &value = pickle_.child(dict, i + 1);
    if (key.kind != Kind::kText) return Refuse(key, "a dictionary of tensors with a key that is no text");
    const std::string name(key.text);
    auto call = FindTensorCall(value);
    if (!call.ok()) return call.status();
    if (call->callable == nullptr) {
      result.skipped[name] = "not a tensor";
      continue;
    }
    auto tensor = Tensor(value);
    if (absl::IsUnimplemented(tensor.status())) {
      result.skipped[name] = std::string(tensor.status().message());
      continue;
    }
    if (!tensor.ok())
      return absl::Status(tensor.status().code(),
                          absl::StrCat(tensor.status().message(), " (tensor ", absl::CHexEscape(name.substr(0, 200)), ")"));
    result.tensors[name] = *std::move(tensor);
  }
  return result;
}

absl::StatusOr<std::vector<int64_t>> TorchFile::Sizes(const PickleValue* value) const {
  const PickleValue* list = value;
  if (list != nullptr && list->kind == Kind::kCall && pickle_.child(*list, 0).IsGlobal("torch", "Size") &&
      pickle_.child(*list, 1).children.size() == 1) {
    list = &pickle_.child(pickle_.child(*list, 1), 0);
  }
  if (list == nullptr || (list->kind != Kind::kTuple && list->kind != Kind::kList))
    return absl::InvalidArgumentError(absl::StrCat(pickle_name_, ": a size is missing"));
  std::vector<int64_t> sizes;
  for (const uint32_t child : list->children) {
    const auto size = Count(pickle_.at(child));
    if (!size) return Refuse(*list, "a size that is no whole number");
    sizes.push_back(*size);
  }
  return sizes;
}

}  // namespace pixelrec::checkpoint
