// Durable state to and from journal records.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "coordinator/state/state.h"

namespace pixelrec::coordinator {

// Applies one journal record (a serialized Record). DATA_LOSS: it can't be parsed or doesn't follow from those before.
absl::Status ApplyRecord(State& state, absl::string_view bytes);

// After the last record: workers that hold ranks get one lease to register again, start deadlines begin anew.
void FinishReplay(State& state, Now now);

// Records that recreate the durable state, in a canonical order: two states are equal if these bytes are.
std::vector<std::string> SnapshotRecords(const State& state);

// Deterministic bytes of a message (maps sorted).
std::string CanonicalBytes(const google::protobuf::MessageLite& message);

}  // namespace pixelrec::coordinator
