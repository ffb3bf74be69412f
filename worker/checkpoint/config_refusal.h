// The one form of "this value of this field is not done here". Private to this folder.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pixelrec::checkpoint {

inline absl::Status Unsupported(absl::string_view file_name, absl::string_view field, const nlohmann::json& value,
                                absl::string_view supported) {
  const std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 200);
  return absl::UnimplementedError(absl::StrCat(file_name, ": ", field, ": ", text, " is not supported; supported: ", supported));
}

}  // namespace pixelrec::checkpoint
