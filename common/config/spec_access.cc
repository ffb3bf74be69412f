#include "common/config/spec_access.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/config/job_fields.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"

namespace pixelrec::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using nlohmann::json;

std::vector<std::string> Steps(const Field& field) { return absl::StrSplit(SpecPath(field), '.'); }

// "BACKEND_" for enum Backend: what stands before UNSPECIFIED in the name of its zero.
std::string EnumPrefix(const EnumDescriptor& descriptor) {
  return std::string(absl::StripSuffix(descriptor.FindValueByNumber(0)->name(), "UNSPECIFIED"));
}

json EnumToJson(const EnumDescriptor& descriptor, int number) {
  const EnumValueDescriptor* value = descriptor.FindValueByNumber(number);
  if (value == nullptr) return number;
  return absl::AsciiStrToLower(std::string(absl::StripPrefix(value->name(), EnumPrefix(descriptor))));
}

json RepeatedToJson(const Message& message, const FieldDescriptor& descriptor) {
  const Reflection& reflection = *message.GetReflection();
  const int count = reflection.FieldSize(message, &descriptor);
  if (descriptor.is_map()) {
    json entries = json::object();
    for (int i = 0; i < count; ++i) {
      const Message& entry = reflection.GetRepeatedMessage(message, &descriptor, i);
      const Descriptor& type = *entry.GetDescriptor();
      const std::string key = entry.GetReflection()->GetString(entry, type.map_key());
      if (type.map_value()->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        entries[key] = entry.GetReflection()->GetDouble(entry, type.map_value());
      } else {
        entries[key] = entry.GetReflection()->GetString(entry, type.map_value());
      }
    }
    return entries;
  }
  json list = json::array();
  for (int i = 0; i < count; ++i) {
    if (descriptor.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      list.push_back(reflection.GetRepeatedString(message, &descriptor, i));
    } else {
      list.push_back(reflection.GetRepeatedInt32(message, &descriptor, i));
    }
  }
  return list;
}

json SingularToJson(const Message& message, const FieldDescriptor& descriptor) {
  const Reflection& reflection = *message.GetReflection();
  switch (descriptor.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(message, &descriptor);
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(message, &descriptor);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetUInt64(message, &descriptor);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.GetDouble(message, &descriptor);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &descriptor);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumToJson(*descriptor.enum_type(), reflection.GetEnumValue(message, &descriptor));
    default:
      break;
  }
  if (descriptor.message_type() == google::protobuf::Duration::descriptor()) {
    const auto& duration = static_cast<const google::protobuf::Duration&>(reflection.GetMessage(message, &descriptor));
    // Saturated: what doesn't fit is out of any range.
    constexpr int64_t kMost = INT64_MAX / 1000 - 1;
    return std::clamp(duration.seconds(), -kMost, kMost) * 1000 + duration.nanos() / 1000000;
  }
  // A message the table knows only as "set or not" (early_stopping).
  return json::object({{"set", true}});
}

void AppendRepeated(Message& message, const FieldDescriptor& descriptor, const json& value) {
  const Reflection& reflection = *message.GetReflection();
  reflection.ClearField(&message, &descriptor);
  if (descriptor.is_map()) {
    for (const auto& [key, element] : value.items()) {
      Message& entry = *reflection.AddMessage(&message, &descriptor);
      const Descriptor& type = *entry.GetDescriptor();
      entry.GetReflection()->SetString(&entry, type.map_key(), key);
      if (type.map_value()->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        entry.GetReflection()->SetDouble(&entry, type.map_value(), element.get<double>());
      } else {
        entry.GetReflection()->SetString(&entry, type.map_value(), element.get<std::string>());
      }
    }
    return;
  }
  for (const json& element : value) {
    if (descriptor.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      reflection.AddString(&message, &descriptor, element.get<std::string>());
    } else {
      reflection.AddInt32(&message, &descriptor, element.get<int32_t>());
    }
  }
}

void SetSingular(Message& message, const FieldDescriptor& descriptor, const json& value) {
  const Reflection& reflection = *message.GetReflection();
  switch (descriptor.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(&message, &descriptor, value.get<std::string>());
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.SetInt32(&message, &descriptor, value.get<int32_t>());
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.SetUInt64(&message, &descriptor, value.get<uint64_t>());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.SetDouble(&message, &descriptor, value.get<double>());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(&message, &descriptor, value.get<bool>());
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumDescriptor& type = *descriptor.enum_type();
      const EnumValueDescriptor* named = type.FindValueByName(EnumPrefix(type) + absl::AsciiStrToUpper(value.get<std::string>()));
      return reflection.SetEnum(&message, &descriptor, named);
    }
    default:
      break;
  }
  if (descriptor.message_type() == google::protobuf::Duration::descriptor()) {
    auto& duration = static_cast<google::protobuf::Duration&>(*reflection.MutableMessage(&message, &descriptor));
    duration.set_seconds(value.get<int64_t>() / 1000);
    duration.set_nanos(static_cast<int32_t>(value.get<int64_t>() % 1000 * 1000000));
  }
}

}  // namespace

json GetField(const v1::JobSpec& spec, const Field& field) {
  const Message* message = &spec;
  const std::vector<std::string> steps = Steps(field);
  for (size_t i = 0; i < steps.size(); ++i) {
    const FieldDescriptor* descriptor = message->GetDescriptor()->FindFieldByName(steps[i]);
    if (descriptor == nullptr) return nullptr;
    const Reflection& reflection = *message->GetReflection();
    if (descriptor->is_repeated()) {
      return reflection.FieldSize(*message, descriptor) == 0 ? json(nullptr) : RepeatedToJson(*message, *descriptor);
    }
    if (!reflection.HasField(*message, descriptor)) return nullptr;
    if (i + 1 == steps.size()) return SingularToJson(*message, *descriptor);
    message = &reflection.GetMessage(*message, descriptor);
  }
  return nullptr;
}

void SetField(v1::JobSpec& spec, const Field& field, const json& value) {
  Message* message = &spec;
  const std::vector<std::string> steps = Steps(field);
  for (size_t i = 0; i < steps.size(); ++i) {
    const FieldDescriptor* descriptor = message->GetDescriptor()->FindFieldByName(steps[i]);
    if (descriptor == nullptr) return;
    if (descriptor->is_repeated()) return AppendRepeated(*message, *descriptor, value);
    if (i + 1 == steps.size()) return SetSingular(*message, *descriptor, value);
    message = message->GetReflection()->MutableMessage(message, descriptor);
  }
}

}  // namespace pixelrec::config
