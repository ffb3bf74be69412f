#include "worker/checkpoint/pieced_tensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/dtype.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

// Elements of a shape; nothing for negative or overflowing ones.
std::optional<int64_t> Count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t n : shape) {
    if (n < 0 || __builtin_mul_overflow(count, n, &count)) return std::nullopt;
  }
  return count;
}

struct Place {
  int64_t begin = 0;
  std::vector<int64_t> shape;
};

absl::StatusOr<std::map<std::string, Place>> ReadPlaces(const SafetensorsIndex& file, const std::string& file_name) {
  std::map<std::string, Place> places;
  const auto text = file.metadata.find(kPiecesKey);
  if (text == file.metadata.end()) return places;
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ": metadata ", kPiecesKey, ": ", what));
  };
  const json parsed = json::parse(text->second, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return refuse("not a JSON object");
  for (const auto& [name, entry] : parsed.items()) {
    if (!entry.is_object() || !entry.contains("begin") || !entry["begin"].is_number_integer() || !entry.contains("shape") ||
        !entry["shape"].is_array())
      return refuse(absl::StrCat(name, ": expected {\"begin\": N, \"shape\": [...]}"));
    Place place{entry["begin"].get<int64_t>(), {}};
    for (const json& n : entry["shape"]) {
      if (!n.is_number_integer()) return refuse(absl::StrCat(name, ": shape holds something else than integers"));
      place.shape.push_back(n.get<int64_t>());
    }
    if (!Count(place.shape)) return refuse(absl::StrCat(name, ": the shape is negative or too large"));
    places[name] = std::move(place);
  }
  return places;
}

}  // namespace

absl::StatusOr<FileDigest> WritePieces(const std::filesystem::path& path, absl::Span<const TensorPiece> pieces,
                                       storage::FileSystem& files) {
  std::vector<TensorInfo> tensors;
  json places = json::object();
  for (const TensorPiece& piece : pieces) {
    tensors.push_back(piece.info);
    if (piece.info.shape != piece.whole_shape) places[piece.info.name] = {{"begin", piece.begin}, {"shape", piece.whole_shape}};
  }
  std::map<std::string, std::string> metadata;
  if (!places.empty()) metadata[kPiecesKey] = places.dump();
  return WriteTensors(path, tensors, metadata, files);
}

absl::StatusOr<std::unique_ptr<PiecedTensors>> PiecedTensors::Open(const std::vector<std::filesystem::path>& files) {
  auto result = std::make_unique<PiecedTensors>();
  if (!files.empty()) result->title_ = files.front().string();
  if (files.size() > 1) absl::StrAppend(&result->title_, " and ", files.size() - 1, " more");
  for (const auto& path : files) {
    auto file = SafetensorsFile::Open(path);
    if (!file.ok()) return file.status();
    if (auto status = result->Add((*file)->index(), path.string()); !status.ok()) return status;
    result->files_.push_back(*std::move(file));
  }
  if (auto status = result->CheckComplete(); !status.ok()) return status;
  return result;
}

absl::StatusOr<std::unique_ptr<PiecedTensors>> PiecedTensors::Parse(const std::vector<absl::Span<const std::byte>>& files,
                                                                    const std::string& title) {
  auto result = std::make_unique<PiecedTensors>();
  result->title_ = title;
  for (const auto& bytes : files) {
    auto index = ParseSafetensors(bytes, title);
    if (!index.ok()) return index.status();
    if (auto status = result->Add(*index, title); !status.ok()) return status;
  }
  if (auto status = result->CheckComplete(); !status.ok()) return status;
  return result;
}

absl::Status PiecedTensors::Add(const SafetensorsIndex& file, const std::string& file_name) {
  auto places = ReadPlaces(file, file_name);
  if (!places.ok()) return places.status();
  const auto refuse = [&](const std::string& name, const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ": tensor ", name, " ", what));
  };
  for (const auto& [name, place] : *places) {
    if (!file.tensors.contains(name)) return refuse(name, "has a place in the metadata and no entry");
  }
  for (const auto& [name, info] : file.tensors) {
    const auto found = places->find(name);
    const Place place = found == places->end() ? Place{0, info.shape} : found->second;
    // An empty tensor may have sizes whose product is beyond all numbers.
    const std::optional<int64_t> elements = Count(info.shape), of = Count(place.shape);
    if (!elements || !of) return refuse(name, "has a shape that is too large");
    const int64_t count = *elements, whole = *of;
    if (place.begin < 0 || place.begin > whole || count > whole - place.begin)
      return refuse(name, absl::StrCat("begins at element ", place.begin, " with ", count, " elements, of ", whole));
    auto [entry, is_new] = tensors_.try_emplace(name, Tensor{info.dtype, place.shape, {}});
    if (!is_new && (entry->second.dtype != info.dtype || entry->second.shape != place.shape))
      return refuse(name, "has another shape or dtype than in another shard");
    entry->second.pieces.push_back({place.begin, count, info.data});
  }
  return absl::OkStatus();
}

absl::Status PiecedTensors::CheckComplete() {
  for (auto& [name, tensor] : tensors_) {
    std::sort(tensor.pieces.begin(), tensor.pieces.end(), [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    int64_t next = 0;
    for (const Piece& piece : tensor.pieces) {
      if (piece.begin < next)
        return absl::InvalidArgumentError(absl::StrCat(title_, ": element ", piece.begin, " of ", name, " is in two shards"));
      if (piece.begin > next)
        return absl::DataLossError(absl::StrCat(title_, ": element ", next, " of ", name, " is in no shard"));
      next = piece.begin + piece.count;
    }
    if (next != *Count(tensor.shape))
      return absl::DataLossError(absl::StrCat(title_, ": element ", next, " of ", name, " is in no shard"));
  }
  return absl::OkStatus();
}

std::vector<std::string> PiecedTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

absl::StatusOr<std::vector<int64_t>> PiecedTensors::Shape(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return absl::NotFoundError(absl::StrCat(title_, ": no tensor ", name));
  return found->second.shape;
}

absl::Status PiecedTensors::Read(const std::string& name, int64_t begin, absl::Span<float> out) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return absl::NotFoundError(absl::StrCat(title_, ": no tensor ", name));
  const Tensor& tensor = found->second;
  if (tensor.dtype != "F32")
    return absl::InvalidArgumentError(absl::StrCat(title_, ": ", name, " is ", tensor.dtype, ", not F32"));
  const int64_t whole = *Count(tensor.shape), end = begin + static_cast<int64_t>(out.size());
  if (begin < 0 || end > whole)
    return absl::OutOfRangeError(absl::StrCat(title_, ": ", name, " has ", whole, " elements, not ", end));
  for (const Piece& piece : tensor.pieces) {
    const int64_t first = std::max(begin, piece.begin), last = std::min(end, piece.begin + piece.count);
    if (first >= last) continue;
    std::memcpy(out.data() + (first - begin), piece.data + static_cast<size_t>(first - piece.begin) * sizeof(float),
                static_cast<size_t>(last - first) * sizeof(float));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorInfo> PiecedTensors::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return absl::NotFoundError(absl::StrCat(title_, ": no tensor ", name));
  const Tensor& tensor = found->second;
  const size_t element = *ElementBytes(tensor.dtype);
  TensorInfo info{name, tensor.dtype, tensor.shape, tensor.pieces.front().data,
                  static_cast<size_t>(*Count(tensor.shape)) * element};
  if (tensor.pieces.size() == 1) return info;
  info.data = nullptr;
  for (const Piece& piece : tensor.pieces) info.parts.emplace_back(piece.data, static_cast<size_t>(piece.count) * element);
  return info;
}

}  // namespace pixelrec::checkpoint
