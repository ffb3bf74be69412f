#include "worker/trainer_position.h"

#include "pixelrec/v1/trainer_channel.pb.h"

namespace pixelrec {

// The page carries the number of a section, and its reader takes it for one of the contract.
static_assert(static_cast<int>(dist::Section::kLoad) == v1::TRAINER_SECTION_LOAD);
static_assert(static_cast<int>(dist::Section::kData) == v1::TRAINER_SECTION_DATA);
static_assert(static_cast<int>(dist::Section::kForward) == v1::TRAINER_SECTION_FORWARD);
static_assert(static_cast<int>(dist::Section::kBackward) == v1::TRAINER_SECTION_BACKWARD);
static_assert(static_cast<int>(dist::Section::kReduce) == v1::TRAINER_SECTION_REDUCE);
static_assert(static_cast<int>(dist::Section::kOptimize) == v1::TRAINER_SECTION_OPTIMIZE);
static_assert(static_cast<int>(dist::Section::kCopyCheckpoint) == v1::TRAINER_SECTION_COPY_CHECKPOINT);
static_assert(static_cast<int>(dist::Section::kWriteCheckpoint) == v1::TRAINER_SECTION_WRITE_CHECKPOINT);
static_assert(static_cast<int>(dist::Section::kWriteModel) == v1::TRAINER_SECTION_WRITE_MODEL);
static_assert(static_cast<int>(dist::Section::kAwaitCommit) == v1::TRAINER_SECTION_AWAIT_COMMIT);
static_assert(static_cast<int>(dist::Section::kEncode) == v1::TRAINER_SECTION_ENCODE);
static_assert(static_cast<int>(dist::Section::kValidate) == v1::TRAINER_SECTION_VALIDATE);
static_assert(static_cast<int>(dist::Section::kRank) == v1::TRAINER_SECTION_RANK);
static_assert(static_cast<int>(dist::Section::kReport) == v1::TRAINER_SECTION_REPORT);
static_assert(static_cast<int>(dist::Section::kPrepare) == v1::TRAINER_SECTION_PREPARE);

channel::Position ToPosition(const dist::Whereabouts::Place& place) {
  return {.section = static_cast<int32_t>(place.section),
          .step = place.step,
          .collective = place.collective,
          .waits = place.waits,
          .since = place.since,
          .typical = place.typical};
}

}  // namespace pixelrec
