#include "ctl/render/data_output.h"

#include "ctl/render/json_output.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return "{}\n";
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

std::string ToYaml(const google::protobuf::Message& message) {
  return JsonAs(nlohmann::ordered_json::parse(ToJson(message), nullptr, /*allow_exceptions=*/false), OutputFormat::kYaml);
}

std::string ToData(const google::protobuf::Message& message, OutputFormat format) {
  return format == OutputFormat::kYaml ? ToYaml(message) : ToJson(message);
}

}  // namespace pixelrec::ctl
