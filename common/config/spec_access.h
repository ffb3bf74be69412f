// Fields of a JobSpec by the paths of the table, through protobuf reflection.
//
// Threads: pure functions of the given message.
#pragma once

#include "common/config/field.h"
#include "nlohmann/json.hpp"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::config {

// What the spec holds, as JSON of the field's type; null where it is absent (an empty string, list or map, an unspecified enum
// and a message that isn't there count as absent unless the field has presence). An enum number without a name comes back as that
// number.
nlohmann::json GetField(const v1::JobSpec& spec, const Field& field);

// `value` must be of the field's type and not null.
void SetField(v1::JobSpec& spec, const Field& field, const nlohmann::json& value);

}  // namespace pixelrec::config
