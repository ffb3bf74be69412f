#include "common/rpc/auth/token_file.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace pixelrec::rpc {
namespace {

std::string ErrorOf(absl::string_view text) { return std::string(ParseTokens(text, "tokens").status().message()); }

TEST(Token, IsLongAndNeverTheSame) {
  const std::string one = NewToken().value(), two = NewToken().value();
  EXPECT_EQ(one.size(), 47u);
  EXPECT_EQ(one.rfind("pxr_", 0), 0u);
  EXPECT_EQ(one.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), std::string::npos) << one;
  EXPECT_NE(one, two);
}

TEST(Token, IsHashedWithSha256) {
  EXPECT_EQ(HashToken("test"), "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
}

TEST(TokenFile, ALineIsReadAsItIsWritten) {
  const TokenEntry forever{.principal = {.name = "alice", .role = Role::kSubmitter, .token_hash = HashToken("a")}};
  const TokenEntry bounded{.principal = {.name = "gpu-*", .role = Role::kWorker, .token_hash = HashToken("b")},
                           .expires = absl::FromUnixSeconds(1800000000)};
  const auto read =
      ParseTokens(absl::StrCat("# who\n\n", TokenLine(forever), " # her laptop\n\t", TokenLine(bounded), "\r\n"), "tokens");
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].principal.name, "alice");
  EXPECT_EQ((*read)[0].expires, absl::InfiniteFuture());
  EXPECT_EQ((*read)[1].principal.role, Role::kWorker);
  EXPECT_EQ((*read)[1].principal.token_hash, HashToken("b"));
  EXPECT_EQ((*read)[1].expires, bounded.expires);
}

TEST(TokenFile, SaysWhatIsWrongWithWhichLine) {
  const std::string hash = HashToken("x");
  EXPECT_EQ(ErrorOf("#\nadmin alice\n"),
            "tokens:2: must be ROLE NAME SHA256 [EXPIRES], as `pixelrecctl admin token create` writes it");
  EXPECT_EQ(ErrorOf(absl::StrCat("root alice ", hash)),
            "tokens:1: no such role: root; there are admin, submitter, viewer and worker");
  EXPECT_EQ(ErrorOf("admin alice pxr_secret"),
            "tokens:1: the third word must be a SHA-256, 64 hexadecimal digits; it is not the token itself");
  EXPECT_EQ(ErrorOf(absl::StrCat("admin alice ", hash, " tomorrow")),
            "tokens:1: 'tomorrow' is not a time like 2027-01-31T00:00:00Z");
  EXPECT_EQ(ErrorOf(absl::StrCat("admin alice ", hash, " 2027-01-31T00:00:00Z more")).rfind("tokens:1: must be", 0), 0u);
  EXPECT_EQ(ErrorOf(absl::StrCat("admin local ", hash)).rfind("tokens:1: 'local' is the name", 0), 0u);
  EXPECT_EQ(ErrorOf(absl::StrCat("admin a/b ", hash)).rfind("tokens:1: 'a/b' is not a name", 0), 0u);
}

TEST(TokenFile, OnlyTheWholeHashIsFound) {
  const auto entries =
      ParseTokens(absl::StrCat("admin a ", HashToken("a"), "\nviewer b ", HashToken("b"), "\n"), "tokens").value();
  EXPECT_EQ(FindToken(entries, HashToken("a"))->principal.name, "a");
  EXPECT_EQ(FindToken(entries, HashToken("b"))->principal.name, "b");
  EXPECT_EQ(FindToken(entries, HashToken("c")), nullptr);
  EXPECT_EQ(FindToken(entries, HashToken("a").substr(0, 63)), nullptr);
  EXPECT_EQ(FindToken(entries, ""), nullptr);
  EXPECT_EQ(FindToken({}, HashToken("a")), nullptr);
}

TEST(TokenFile, ANameIsTakenOutWithAllItsTokens) {
  const std::string a = absl::StrCat("admin a ", HashToken("1")), b = absl::StrCat("viewer b ", HashToken("2")),
                    a2 = absl::StrCat("viewer a ", HashToken("3"), " # old");
  int removed = 0;
  EXPECT_EQ(WithoutTokensOf(absl::StrCat("# admin a\n", a, "\n", b, "\n", a2), "a", &removed),
            absl::StrCat("# admin a\n", b, "\n"));
  EXPECT_EQ(removed, 2);
  WithoutTokensOf(b, "a", &removed);
  EXPECT_EQ(removed, 0);
}

}  // namespace
}  // namespace pixelrec::rpc
