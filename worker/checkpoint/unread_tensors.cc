#include "worker/checkpoint/unread_tensors.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/dtype.h"

namespace pixelrec::checkpoint {
namespace {

template <typename Bits>
Bits BitsAt(const std::byte* data, size_t index) {
  Bits bits;
  std::memcpy(&bits, data + index * sizeof(Bits), sizeof(Bits));
  return bits;
}

float FromHalf(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const float sign = (bits >> 15) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

// To nearest, ties to even, as every framework rounds.
float RoundedToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (!std::isfinite(value)) return value;
  return std::bit_cast<float>((bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U);
}

float ValueAt(const TensorInfo& tensor, size_t index) {
  if (tensor.dtype == "F32") return std::bit_cast<float>(BitsAt<uint32_t>(tensor.data, index));
  const auto half = BitsAt<uint16_t>(tensor.data, index);
  return tensor.dtype == "BF16" ? std::bit_cast<float>(static_cast<uint32_t>(half) << 16) : FromHalf(half);
}

}  // namespace

absl::StatusOr<TensorInfo> Decayed(const TensorInfo& tensor, double factor, bool rounded, std::unique_ptr<float[]>& storage) {
  if (tensor.dtype != "F32" && tensor.dtype != "BF16" && tensor.dtype != "F16")
    return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, ": ", tensor.dtype, " can't decay"));
  const size_t elements = tensor.bytes / ElementBytes(tensor.dtype).value_or(4);
  storage = std::make_unique<float[]>(elements);
  for (size_t i = 0; i < elements; ++i) {
    const float value = ValueAt(tensor, i);
    storage[i] = static_cast<float>((rounded ? RoundedToBf16(value) : value) * factor);
  }
  TensorInfo decayed = tensor;
  decayed.dtype = "F32";
  decayed.data = reinterpret_cast<const std::byte*>(storage.get());
  decayed.bytes = elements * sizeof(float);
  return decayed;
}

absl::StatusOr<UnreadDecay> UnreadDecayFromJson(const nlohmann::json& document, absl::string_view file_name) {
  UnreadDecay factors;
  const auto list = document.find("unread_decay");
  if (list == document.end()) return factors;
  if (!list->is_object()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": unread_decay: must be an object"));
  for (const auto& [name, value] : list->items()) {
    const double factor = value.is_number() ? value.get<double>() : NAN;
    if (!std::isfinite(factor))
      return absl::InvalidArgumentError(absl::StrCat(file_name, ": unread_decay: ", name, ": must be a number"));
    factors[name] = factor;
  }
  return factors;
}

}  // namespace pixelrec::checkpoint
