// The table method x role against the services as they are, and against a real server.
#include "coordinator/service/access/method_rules.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/test_coordinator.h"
#include "tests/coordinator/service/bare_call.h"

namespace pixelrec::coordinator {
namespace {

using rpc::Role;

constexpr Role kRoles[] = {Role::kAdmin, Role::kSubmitter, Role::kViewer, Role::kWorker};

// Of the services that this repository defines.
std::set<std::string> OwnMethods() {
  std::set<std::string> methods;
  for (const google::protobuf::Descriptor* message : {v1::SubmitJobRequest::descriptor(), v1::SessionRequest::descriptor()}) {
    const google::protobuf::FileDescriptor& file = *message->file();
    for (int s = 0; s < file.service_count(); ++s) {
      for (int m = 0; m < file.service(s)->method_count(); ++m) {
        methods.insert(absl::StrCat("/", file.service(s)->full_name(), "/", file.service(s)->method(m)->name()));
      }
    }
  }
  return methods;
}

TEST(MethodRules, EveryMethodHasOne) {
  const std::set<std::string> methods = OwnMethods();
  EXPECT_GE(methods.size(), 14u);
  for (const std::string& method : methods) EXPECT_NE(FindRule(method), nullptr) << method << ": who may call it?";
}

TEST(MethodRules, EveryOneIsOfAMethod) {
  const std::set<std::string> own = OwnMethods();
  std::set<std::string> seen;
  for (const MethodRule& rule : MethodRules()) {
    EXPECT_TRUE(seen.insert(std::string(rule.method)).second) << rule.method << " stands there twice";
    EXPECT_EQ(absl::StartsWith(rule.method, "/pixelrec."), own.contains(std::string(rule.method))) << rule.method;
  }
}

// A method's request is named after it, which is how a handler knows its own rule.
TEST(MethodRules, RequestsAreNamedAfterTheirMethods) {
  EXPECT_EQ(MethodOf<v1::SubmitJobRequest>(), "/pixelrec.v1.JobService/SubmitJob");
  EXPECT_EQ(MethodOf<v1::SessionRequest>(), "/pixelrec.v1.WorkerService/Session");
}

TEST(MethodRules, WhatIsNotThereIsForNobody) {
  EXPECT_EQ(FindRule("/pixelrec.v1.JobService/NoSuch"), nullptr);
  EXPECT_EQ(FindRule("/pixelrec.v1.JobService/SubmitJob/"), nullptr);
  EXPECT_EQ(FindRule(""), nullptr);
}

TEST(MethodRules, ThePageSaysTheSame) {
  const std::string page = storage::ReadFile(PIXELREC_SOURCE_DIR "/docs/security.md").value();
  EXPECT_TRUE(absl::StrContains(page, MethodRulesMarkdown())) << "docs/security.md must hold this table:\n"
                                                              << MethodRulesMarkdown();
}

class GuardedServer : public testing::Test {
 protected:
  GuardedServer() {
    std::string tokens;
    for (Role role : kRoles) {
      const std::string name(rpc::RoleName(role)), token = rpc::NewToken().value();
      token_files_[role] = dir_.Write(name + ".token", token);
      absl::StrAppend(&tokens, name, " the-", name, " ", rpc::HashToken(token), "\n");
    }
    authenticator_ = rpc::Authenticator::Create({.token_file = dir_.Write("tokens", tokens)}).value();
    TestCoordinator::Options options;
    options.authenticator = authenticator_.get();
    options.reflection = true;
    coordinator_ = std::make_unique<TestCoordinator>(dir_.path(), options);
  }
  absl::Status Call(const std::filesystem::path& token_file, absl::string_view method) {
    return CallBare(rpc::OpenChannel(coordinator_->address(), {.token_file = token_file}).value(), std::string(method));
  }

  TemporaryFolder dir_;
  std::map<Role, std::filesystem::path> token_files_;
  std::unique_ptr<rpc::Authenticator> authenticator_;
  std::unique_ptr<TestCoordinator> coordinator_;
};

// Calls each method of the descriptors, and each of the table, as each role and as nobody. What the table allows gets as far as
// the handler, which finds the empty request wanting; anything else ends at the gate.
TEST_F(GuardedServer, HoldsEveryRoleToTheTable) {
  std::set<std::string> methods = OwnMethods();
  for (const MethodRule& rule : MethodRules()) methods.insert(std::string(rule.method));
  for (const std::string& method : methods) {
    const MethodRule* rule = FindRule(method);
    ASSERT_NE(rule, nullptr) << method;
    for (Role role : kRoles) {
      const absl::Status status = Call(token_files_[role], method);
      EXPECT_NE(status.code(), absl::StatusCode::kUnimplemented) << method;
      EXPECT_NE(status.code(), absl::StatusCode::kUnauthenticated) << method << " as " << rpc::RoleName(role) << ": " << status;
      EXPECT_EQ(!absl::IsPermissionDenied(status), rule->Allows(role))
          << method << " as " << rpc::RoleName(role) << ": " << status;
      EXPECT_EQ(rpc::ReasonOf(status) == rpc::kRoleTooLow, !rule->Allows(role)) << status;
    }
    EXPECT_EQ(!absl::IsUnauthenticated(Call("", method)), rule->anyone) << method;
    const absl::Status wrong = Call(dir_.Write("wrong.token", "pxr_wrong"), method);
    EXPECT_EQ(!absl::IsUnauthenticated(wrong), rule->anyone) << method << ": " << wrong;
  }
}

TEST_F(GuardedServer, SaysWhoMay) {
  const absl::Status viewer = Call(token_files_[Role::kViewer], "/pixelrec.v1.JobService/DrainWorker");
  EXPECT_EQ(viewer.message(), "the-viewer has the role viewer, which may not DrainWorker: that takes admin");
  const absl::Status worker = Call(token_files_[Role::kWorker], "/pixelrec.v1.JobService/CancelJob");
  EXPECT_EQ(worker.message(), "the-worker has the role worker, which may not CancelJob: that takes admin or submitter");
}

}  // namespace
}  // namespace pixelrec::coordinator
