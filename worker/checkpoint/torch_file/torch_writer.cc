#include "worker/checkpoint/torch_file/torch_writer.h"

#include <zlib.h>

#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/storage/filesystem.h"
#include "worker/checkpoint/torch_file/element_type.h"
#include "worker/checkpoint/torch_file/pickle_opcodes.h"

namespace pixelrec::checkpoint {
namespace {

constexpr uint64_t kAlignment = 64;  // of every entry's data, so that torch.load(mmap=True) finds it aligned

using Parts = std::vector<absl::Span<const std::byte>>;

absl::Span<const std::byte> BytesOf(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

Parts PartsOf(const TorchTensor& tensor) {
  if (!tensor.parts.empty()) return tensor.parts;
  return {{tensor.data, tensor.bytes}};
}

void AppendNumber(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// --- data.pkl

class PickleWriter {
 public:
  PickleWriter() : out_("\x80\x02") {
    Global("collections", "OrderedDict");
    out_ += ")R(";  // called without arguments; a mark for SETITEMS
  }

  void AddTensor(absl::string_view name, absl::string_view storage_type, size_t storage, const TorchTensor& tensor,
                 size_t element_bytes) {
    Text(name);
    Global("torch._utils", "_rebuild_tensor_v2");
    out_ += "((";
    Text("storage");
    Global("torch", storage_type);
    Text(absl::StrCat(storage));
    Text("cpu");
    Int(static_cast<int64_t>(tensor.bytes / element_bytes));
    out_ += "tQ";
    Int(0);
    Tuple(tensor.shape);
    std::vector<int64_t> strides(tensor.shape.size(), 1);
    if (tensor.bytes > 0) {  // the shape of an empty tensor may be too large to multiply
      for (size_t d = strides.size(); d-- > 1;) strides[d - 1] = strides[d] * tensor.shape[d];
    }
    Tuple(strides);
    out_.push_back(static_cast<char>(opcode::kNewFalse));  // requires_grad
    Global("collections", "OrderedDict");                  // hooks
    out_ += ")RtR";
  }

  std::string Finish() && { return std::move(out_) + "u."; }

 private:
  void Global(absl::string_view module, absl::string_view name) { absl::StrAppend(&out_, "c", module, "\n", name, "\n"); }
  void Text(absl::string_view text) {
    out_.push_back(static_cast<char>(opcode::kBinUnicode));
    AppendNumber(out_, text.size(), 4);
    out_.append(text.data(), text.size());
  }
  void Int(int64_t value) {
    if (value < 256) {
      out_.push_back(static_cast<char>(opcode::kBinInt1));
      return AppendNumber(out_, static_cast<uint64_t>(value), 1);
    }
    if (value <= INT32_MAX) {
      out_.push_back(static_cast<char>(opcode::kBinInt));
      return AppendNumber(out_, static_cast<uint64_t>(value), 4);
    }
    out_.push_back(static_cast<char>(opcode::kLong1));
    AppendNumber(out_, 8, 1);
    AppendNumber(out_, static_cast<uint64_t>(value), 8);
  }
  void Tuple(const std::vector<int64_t>& values) {
    out_.push_back(static_cast<char>(opcode::kMark));
    for (const int64_t value : values) Int(value);
    out_.push_back(static_cast<char>(opcode::kTuple));
  }

  std::string out_;
};

// --- the archive

class ZipWriter {
 public:
  ZipWriter(std::filesystem::path path, storage::FileSystem& files) : path_(std::move(path)), files_(files) {}
  ~ZipWriter() {
    if (file_ == nullptr) return;
    file_.reset();
    (void)files_.RemoveFile(path_);
  }

  absl::Status Create() {
    auto file = files_.Create(path_, storage::FileSystem::Existing::kTruncate);
    if (file.ok()) file_ = *std::move(file);
    return file.status();
  }

  absl::Status Add(const std::string& name, const Parts& content) {
    const uint64_t header = offset_;
    uint64_t size = 0;
    for (const auto& part : content) size += part.size();
    const uint32_t crc = Crc(content);
    // The extra fields: sizes in 64 bits, then padding that brings the data to a multiple of kAlignment, as torch writes it.
    std::string extra;
    AppendNumber(extra, 1, 2);
    AppendNumber(extra, 16, 2);
    AppendNumber(extra, size, 8);
    AppendNumber(extra, size, 8);
    const uint64_t unpadded = offset_ + 30 + name.size() + extra.size() + 4;
    const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    absl::StrAppend(&extra, "FB");
    AppendNumber(extra, padding, 2);
    extra.append(padding, 'Z');

    std::string local("PK\x03\x04", 4);
    AppendCommon(local, crc, name.size(), extra.size());
    absl::StrAppend(&local, name, extra);
    if (auto status = Write(BytesOf(local)); !status.ok()) return status;
    for (const auto& part : content) {
      if (auto status = Write(part); !status.ok()) return status;
    }

    std::string wide;
    AppendNumber(wide, 1, 2);
    AppendNumber(wide, 24, 2);
    for (const uint64_t value : {size, size, header}) AppendNumber(wide, value, 8);
    directory_.append("PK\x01\x02", 4);
    AppendNumber(directory_, kVersion, 2);
    AppendCommon(directory_, crc, name.size(), wide.size());
    directory_.append(10, '\0');  // no comment, first volume, no attributes
    AppendNumber(directory_, 0xffffffff, 4);
    absl::StrAppend(&directory_, name, wide);
    ++entries_;
    return absl::OkStatus();
  }

  absl::Status Finish() {
    const uint64_t begin = offset_, end = begin + directory_.size();
    std::string tail = directory_;
    tail.append("PK\x06\x06", 4);
    AppendNumber(tail, 44, 8);
    AppendNumber(tail, kVersion, 2);
    AppendNumber(tail, kVersion, 2);
    AppendNumber(tail, 0, 8);
    for (const uint64_t value : {entries_, entries_, uint64_t{directory_.size()}, begin}) AppendNumber(tail, value, 8);
    tail.append("PK\x06\x07", 4);
    AppendNumber(tail, 0, 4);
    AppendNumber(tail, end, 8);
    AppendNumber(tail, 1, 4);
    tail.append("PK\x05\x06", 4);
    AppendNumber(tail, 0, 4);
    AppendNumber(tail, 0xffffffffffffffff, 8);  // counts: see the zip64 record
    AppendNumber(tail, 0xffffffff, 4);
    AppendNumber(tail, 0, 2);
    if (auto status = Write(BytesOf(tail)); !status.ok()) return status;
    if (auto status = file_->SyncAndClose(); !status.ok()) return status;
    file_.reset();
    return absl::OkStatus();
  }

 private:
  static constexpr uint64_t kVersion = 45;  // the first that knows zip64

  // From the version needed to the lengths of name and extra field: alike in a local header and in the directory. Sizes are in
  // the extra field.
  static void AppendCommon(std::string& out, uint32_t crc, size_t name_bytes, size_t extra_bytes) {
    AppendNumber(out, kVersion, 2);
    AppendNumber(out, 1 << 11, 2);  // names in UTF-8
    AppendNumber(out, 0, 6);        // stored; no time
    AppendNumber(out, crc, 4);
    AppendNumber(out, 0xffffffffffffffff, 8);
    AppendNumber(out, name_bytes, 2);
    AppendNumber(out, extra_bytes, 2);
  }
  static uint32_t Crc(const Parts& content) {
    uLong crc = 0;
    for (const auto& part : content) {
      if (!part.empty()) crc = ::crc32_z(crc, reinterpret_cast<const Bytef*>(part.data()), part.size());
    }
    return static_cast<uint32_t>(crc);
  }
  absl::Status Write(absl::Span<const std::byte> bytes) {
    offset_ += bytes.size();
    return file_->Append(bytes);
  }

  std::filesystem::path path_;
  storage::FileSystem& files_;
  std::unique_ptr<storage::WritableFile> file_;  // null once finished
  uint64_t offset_ = 0;
  std::string directory_;
  uint64_t entries_ = 0;
};

constexpr char kRoot[] = "archive/";

}  // namespace

absl::Status WriteTorchFile(const std::filesystem::path& path, absl::Span<const std::pair<std::string, TorchTensor>> tensors) {
  PickleWriter pickle;
  std::map<std::tuple<const std::byte*, size_t, std::string>, size_t> storages;  // bytes and type -> number
  std::vector<Parts> contents;
  for (const auto& [name, tensor] : tensors) {
    const auto storage_name = StorageName(tensor.dtype);
    const auto element = storage_name ? StorageElementType("torch", *storage_name) : std::nullopt;
    if (!element)
      return absl::InvalidArgumentError(
          absl::StrCat(path.string(), ": tensor ", name, ": torch has no storage of type ", tensor.dtype));
    const Parts parts = PartsOf(tensor);
    const auto [found, added] = storages.try_emplace({parts.front().data(), tensor.bytes, tensor.dtype}, contents.size());
    if (added) contents.push_back(parts);
    pickle.AddTensor(name, *storage_name, found->second, tensor, element->bytes);
  }
  ZipWriter archive(path, storage::RealFileSystem());
  if (auto status = archive.Create(); !status.ok()) return status;
  const auto add = [&](const std::string& name, absl::string_view content) {
    return archive.Add(kRoot + name, {BytesOf(content)});
  };
  if (auto status = add("data.pkl", std::move(pickle).Finish()); !status.ok()) return status;
  if (auto status = add("byteorder", "little"); !status.ok()) return status;
  for (size_t i = 0; i < contents.size(); ++i) {
    if (auto status = archive.Add(absl::StrCat(kRoot, "data/", i), contents[i]); !status.ok()) return status;
  }
  if (auto status = add("version", "3\n"); !status.ok()) return status;
  return archive.Finish();
}

}  // namespace pixelrec::checkpoint
