#include "common/rpc/status.h"

#include <gtest/gtest.h>

#include "common/rpc/google_rpc.pb.h"
#include "common/rpc/reasons.h"

namespace pixelrec::rpc {
namespace {

TEST(Status, EveryCodeSurvivesTheWire) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    const grpc::Status wire = ToGrpc(status);
    EXPECT_EQ(static_cast<int>(wire.error_code()), code);
    EXPECT_EQ(wire.error_message(), "why");
    EXPECT_EQ(FromGrpc(wire), status);
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(Status, TheReasonTravelsAsErrorInfo) {
  const grpc::Status wire = ToGrpc(Refuse(absl::StatusCode::kNotFound, kJobNotFound, "no job 'x'"));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), 5);
  EXPECT_EQ(details.message(), "no job 'x'");
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(info.domain(), "pixelrec");
  EXPECT_EQ(ReasonOf(FromGrpc(wire)), kJobNotFound);
}

TEST(Status, DetailsOfOthersAreNotTakenForOurs) {
  google::rpc::ErrorInfo info;
  info.set_reason("QUOTA");
  info.set_domain("googleapis.com");
  google::rpc::Status details;
  details.add_details()->PackFrom(info);
  EXPECT_EQ(ReasonOf(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "x", details.SerializeAsString()))), "");
  EXPECT_EQ(ReasonOf(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "x", "\xff\xff not a message"))), "");
}

}  // namespace
}  // namespace pixelrec::rpc
