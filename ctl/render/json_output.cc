#include "ctl/render/json_output.h"

#include "nlohmann/json.hpp"
#include "yaml-cpp/emitter.h"

namespace pixelrec::ctl {
namespace {

using Json = nlohmann::ordered_json;

void Emit(YAML::Emitter& out, const Json& value) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, element] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      Emit(out, element);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    out << YAML::BeginSeq;
    for (const Json& element : value) Emit(out, element);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    out << YAML::DoubleQuoted << value.get<std::string>();
  } else {
    out << value.dump();
  }
}

}  // namespace

std::string JsonAs(const Json& value, OutputFormat format) {
  if (format == OutputFormat::kJson) return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  YAML::Emitter out;
  Emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace pixelrec::ctl
