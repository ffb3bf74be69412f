// JSON values as `-o json` and `-o yaml` print them.
#pragma once

#include <string>

#include "ctl/render/data_output.h"
#include "nlohmann/json_fwd.hpp"

namespace pixelrec::ctl {

// `format` is kJson or kYaml. With a final line end.
std::string JsonAs(const nlohmann::ordered_json& value, OutputFormat format);

}  // namespace pixelrec::ctl
