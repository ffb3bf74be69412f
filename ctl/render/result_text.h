// How a job ended, as the user reads it: losses, ranking metrics beside the popularity baseline, where the files are.
#pragma once

#include <string>

#include "google/protobuf/repeated_ptr_field.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

// Epoch, training loss, validation loss, time; the best epoch marked. Indented by two.
std::string EpochTable(const google::protobuf::RepeatedPtrField<v1::EpochResult>& epochs);

// Recall@k and NDCG@k of one split, one line per k, indented by two; those of the test split beside the baselines.
std::string MetricTable(const v1::JobResult& result, const v1::RankingMetrics& model);
// Recall and NDCG by how often the target was seen in training, and by the length of the history.
std::string GroupTable(const v1::RankingMetrics& model);

// Of a job that has a result.
std::string ResultText(const v1::Job& job);

// What `submit --follow` and `watch` print last: the result, the failure, or that it was cancelled.
std::string ClosingText(const v1::Job& job);

}  // namespace pixelrec::ctl
