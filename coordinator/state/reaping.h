// Recovery checkpoints that are given up: each is removed with the publication of the one that takes its place, and counts again
// if that fails. Orders to publish are carried out one after the other, and each by itself may fail: so an order names what goes
// with its own artifact, and nothing that another one has to replace.
#pragma once

#include <string>
#include <vector>

#include "coordinator/state/record.pb.h"

namespace pixelrec::coordinator {

using Artifacts = google::protobuf::RepeatedPtrField<v1::Artifact>;

void RemovePath(Artifacts& artifacts, const std::string& path);

bool IsGivenUp(const JobRecord& record, const std::string& path);

// Gives up all but the newest `keep` recovery checkpoints.
void GiveUpAllBut(JobRecord& record, int keep, const std::string& successor);

// Paths that may be removed once `path` is published.
std::vector<std::string> RemovedWith(const JobRecord& record, const std::string& path);

// `path` lies in its place, and what was to be removed with it is gone.
void ForgetRemovedWith(JobRecord& record, const std::string& path);

// `path` was never published.
void TakeBack(JobRecord& record, const std::string& path);

}  // namespace pixelrec::coordinator
