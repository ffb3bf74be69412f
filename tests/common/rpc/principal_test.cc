#include "common/rpc/auth/principal.h"

#include <gtest/gtest.h>

namespace pixelrec::rpc {
namespace {

TEST(Role, NamesAreReadAsTheyAreWritten) {
  for (Role role : {Role::kAdmin, Role::kSubmitter, Role::kViewer, Role::kWorker}) EXPECT_EQ(ParseRole(RoleName(role)), role);
  for (const char* bad : {"", "Admin", "admin ", "root", "*"}) EXPECT_EQ(ParseRole(bad), std::nullopt) << bad;
}

TEST(PrincipalOfUri, IsRoleAndName) {
  const auto alice = PrincipalOfUri("pixelrec://submitter/alice@example.org");
  ASSERT_TRUE(alice.ok()) << alice.status();
  EXPECT_EQ((*alice)->name, "alice@example.org");
  EXPECT_EQ((*alice)->role, Role::kSubmitter);
  EXPECT_EQ((*alice)->token_hash, "");
}

TEST(PrincipalOfUri, AnotherSchemeNamesNobody) {
  for (const char* other : {"", "spiffe://x/y", "https://admin/root", "PIXELREC://admin/root", "pixelrec:admin/root"}) {
    const auto nobody = PrincipalOfUri(other);
    ASSERT_TRUE(nobody.ok()) << other;
    EXPECT_FALSE(nobody->has_value()) << other;
  }
}

TEST(PrincipalOfUri, OneOfTheSchemeMustBeWhole) {
  for (const char* bad :
       {"pixelrec://", "pixelrec://admin", "pixelrec://admin/", "pixelrec://root/alice", "pixelrec://admin/a/b",
        "pixelrec://admin/a b", "pixelrec://admin/%61", "pixelrec://admin/a*", "pixelrec://worker/a*b", "pixelrec://admin/local",
        "pixelrec:///alice", "pixelrec://admin/alice?x", "pixelrec://admin/alice#x", "pixelrec://admin/../alice"}) {
    EXPECT_EQ(PrincipalOfUri(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(PrincipalOfUri("pixelrec://viewer/" + std::string(64, 'a')).ok());
  EXPECT_TRUE(PrincipalOfUri("pixelrec://viewer/" + std::string(63, 'a')).ok());
}

TEST(Principal, AWorkerIsHeldToItsId) {
  const Principal one{.name = "gpu-1", .role = Role::kWorker}, some{.name = "gpu-*", .role = Role::kWorker},
      any{.name = "*", .role = Role::kWorker};
  EXPECT_TRUE(CheckPrincipal(some).ok());
  EXPECT_TRUE(CheckPrincipal(any).ok());
  EXPECT_TRUE(one.MayRegisterAs("gpu-1"));
  EXPECT_FALSE(one.MayRegisterAs("gpu-10"));
  EXPECT_FALSE(one.MayRegisterAs("GPU-1"));
  EXPECT_FALSE(one.MayRegisterAs(""));
  EXPECT_TRUE(some.MayRegisterAs("gpu-10"));
  EXPECT_FALSE(some.MayRegisterAs("cpu-1"));
  EXPECT_TRUE(any.MayRegisterAs("cpu-1"));
}

TEST(Principal, OthersAreNoWorkers) {
  EXPECT_FALSE((Principal{.name = "gpu-1", .role = Role::kSubmitter}).MayRegisterAs("gpu-1"));
  EXPECT_FALSE((Principal{.name = "gpu-1", .role = Role::kViewer}).MayRegisterAs("gpu-1"));
  EXPECT_TRUE(LocalAdmin().MayRegisterAs("gpu-1"));
}

}  // namespace
}  // namespace pixelrec::rpc
