// `-o json` and `-o yaml`: the proto message as data, field names as in the .proto files.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace pixelrec::ctl {

enum class OutputFormat { kTable, kJson, kYaml };

// With a final line end. Numbers that are zero and booleans that are false are written out, so that a script finds its key.
std::string ToJson(const google::protobuf::Message& message);
std::string ToYaml(const google::protobuf::Message& message);

// `format` is kJson or kYaml.
std::string ToData(const google::protobuf::Message& message, OutputFormat format);

}  // namespace pixelrec::ctl
