#include "common/config/spec_paths.h"

#include "common/config/job_fields.h"
#include "common/config/spec_access.h"

namespace pixelrec::config {

std::vector<NamedPath> PathsOf(const v1::JobSpec& spec) {
  std::vector<NamedPath> paths;
  for (const Field& field : JobFields()) {
    if (field.type != FieldType::kPath) continue;
    const nlohmann::json value = GetField(spec, field);
    if (!value.is_null()) paths.push_back(NamedPath{&field, value.get<std::string>()});
  }
  return paths;
}

}  // namespace pixelrec::config
