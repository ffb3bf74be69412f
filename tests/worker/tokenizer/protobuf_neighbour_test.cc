// The trainer tokenises and speaks protobuf in one process. libsentencepiece brings an old protobuf of its own and can't live
// there (docs/adr/sentencepiece-encoder.md): the product must never load it.
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tokenizer {
namespace {

TEST(ProtobufNeighbour, BothWorkInOneProcess) {
  v1::TrainerCommand command;
  command.set_job_id("job");
  command.mutable_plan()->set_data_hash("hash");
  v1::TrainerCommand parsed;
  ASSERT_TRUE(parsed.ParseFromString(command.SerializeAsString()));
  const auto tokenizer = LoadTokenizer(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_GT((*tokenizer)->Encode(parsed.plan().data_hash())->size(), 1u);
}

TEST(ProtobufNeighbour, TheLibraryIsNotLoaded) {
  std::ifstream maps("/proc/self/maps");
  ASSERT_TRUE(maps.good());
  for (std::string line; std::getline(maps, line);) EXPECT_EQ(line.find("libsentencepiece"), std::string::npos) << line;
}

}  // namespace
}  // namespace pixelrec::tokenizer
