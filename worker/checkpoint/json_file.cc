#include "worker/checkpoint/json_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::checkpoint {
namespace {

constexpr int kMaxDepth = 32;

// Notes the first duplicate key or too deep value, and lets the parser drop everything after it.
class StructureCheck {
 public:
  std::string problem;

  bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (!problem.empty()) return false;
    if (depth >= kMaxDepth) {
      problem = absl::StrCat("more than ", kMaxDepth, " levels of nesting");
      return false;
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(value.get_ref<const std::string&>()).second) {
      problem = absl::StrCat("key \"", value.get_ref<const std::string&>(), "\" occurs twice");
      return false;
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> keys_;
};

std::string LineAndColumn(absl::string_view text, size_t byte) {
  const absl::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  return absl::StrCat(line, ":", before.size() - (newline == absl::string_view::npos ? 0 : newline + 1) + 1);
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& path, size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return storage::ErrnoStatus(errno, "cannot read", path);
  const auto close_file = absl::MakeCleanup([fd] { ::close(fd); });
  struct stat about;
  if (::fstat(fd, &about) != 0) return storage::ErrnoStatus(errno, "cannot read", path);
  if (!S_ISREG(about.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": not a regular file"));
  if (static_cast<uint64_t>(about.st_size) > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": ", about.st_size, " bytes, at most ", max_bytes, " are read"));
  }
  std::string text(static_cast<size_t>(about.st_size), '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return storage::ErrnoStatus(errno, "cannot read", path);
    if (got == 0) break;  // shortened meanwhile
    filled += static_cast<size_t>(got);
  }
  text.resize(filled);
  return text;
}

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view file_name) {
  StructureCheck check;
  try {
    nlohmann::json value = nlohmann::json::parse(text.begin(), text.end(), std::ref(check));
    if (!check.problem.empty()) return absl::InvalidArgumentError(absl::StrCat(file_name, ": ", check.problem));
    return value;
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ":", LineAndColumn(text, error.byte), ": not valid JSON"));
  } catch (const nlohmann::json::exception& error) {  // a number that leaves the range of double
    return absl::InvalidArgumentError(absl::StrCat(file_name, ": ", error.what()));
  }
}

JsonFields::JsonFields(const nlohmann::json& object, absl::string_view file_name) : object_(object), file_name_(file_name) {
  if (!object.is_object()) status_ = absl::InvalidArgumentError(absl::StrCat(file_name, ": must be a JSON object"));
}

void JsonFields::Fail(absl::string_view field, absl::string_view why) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(file_name_, ": ", field, ": ", why));
}

bool JsonFields::Has(const char* name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

bool JsonFields::IsNull(const char* name) const {
  const auto found = object_.find(name);
  return found != object_.end() && found->is_null();
}

const nlohmann::json* JsonFields::Find(const char* name, bool required) {
  if (Has(name)) return &*object_.find(name);
  if (required) Fail(name, "missing");
  return nullptr;
}

int64_t JsonFields::Int(const char* name, int64_t low, int64_t high, std::optional<int64_t> fallback) {
  const nlohmann::json* value = Find(name, !fallback);
  if (value == nullptr) return fallback.value_or(low);
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
  if (!fits || value->get<int64_t>() < low || value->get<int64_t>() > high) {
    Fail(name, absl::StrCat("must be a whole number from ", low, " to ", high));
    return low;
  }
  return value->get<int64_t>();
}

uint64_t JsonFields::Unsigned(const char* name, std::optional<uint64_t> fallback) {
  const nlohmann::json* value = Find(name, !fallback);
  if (value == nullptr) return fallback.value_or(0);
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  Fail(name, "must be a whole number of at least 0");
  return 0;
}

double JsonFields::Number(const char* name, double low, double high, std::optional<double> fallback) {
  const nlohmann::json* value = Find(name, !fallback);
  if (value == nullptr) return fallback.value_or(low);
  if (value->is_number() && value->get<double>() >= low && value->get<double>() <= high) return value->get<double>();
  Fail(name, absl::StrCat("must be a number from ", low, " to ", high));
  return low;
}

bool JsonFields::Bool(const char* name, std::optional<bool> fallback) {
  const nlohmann::json* value = Find(name, !fallback);
  if (value == nullptr) return fallback.value_or(false);
  if (value->is_boolean()) return value->get<bool>();
  Fail(name, "must be true or false");
  return false;
}

std::string JsonFields::String(const char* name, std::optional<std::string> fallback) {
  const nlohmann::json* value = Find(name, !fallback);
  if (value == nullptr) return fallback.value_or("");
  if (value->is_string()) return value->get<std::string>();
  Fail(name, "must be a string");
  return "";
}

}  // namespace pixelrec::checkpoint
