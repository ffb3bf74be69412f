// Completion as a shell does it: bash runs the printed script and is asked what could follow.
#include <gmock/gmock.h>

#include <fstream>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsSupersetOf;
using testing::Not;

class Completion : public ServedCtl {
 protected:
  void SetUp() override {
    ServedCtl::SetUp();
    service_.list = [](const v1::ListJobsRequest&) -> absl::StatusOr<v1::ListJobsResponse> {
      v1::ListJobsResponse response;
      *response.add_jobs() = FinishedJob();
      return response;
    };
  }

  // What bash offers after `words`, the last of which is the one under the cursor.
  std::vector<std::string> Offers(const std::vector<std::string>& words) {
    const CtlRun script = Run({"completion", "bash"});
    EXPECT_EQ(script.exit_code, 0) << script.output;
    std::ofstream(dir_ / "ask.sh") << "PATH=" << PIXELREC_BIN_DIR << ":$PATH\n"
                                   << script.output << "COMP_WORDS=(pixelrecctl " << absl::StrJoin(words, " ")
                                   << ")\nCOMP_CWORD=" << words.size() << "\n_pixelrecctl\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    const CtlRun run = RunProgram("/bin/bash", {(dir_ / "ask.sh").string()});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    return absl::StrSplit(run.output, '\n', absl::SkipEmpty());
  }
};

TEST_F(Completion, OffersCommandsAndTheirSubcommands) {
  EXPECT_THAT(Offers({"des"}), ElementsAre("describe"));
  EXPECT_THAT(Offers({"\"\""}), IsSupersetOf({"submit", "explain", "completion", "--server"}));
  EXPECT_THAT(Offers({"local", "\"\""}), IsSupersetOf({"up", "down", "status"}));
}

TEST_F(Completion, OffersOptionsAndWhatTheyTake) {
  EXPECT_THAT(Offers({"submit", "--p"}), ElementsAre("--plan"));
  EXPECT_THAT(Offers({"list", "-o", "\"\""}), ElementsAre("table", "json", "yaml"));
  EXPECT_THAT(Offers({"list", "--output", "y"}), ElementsAre("yaml"));
}

TEST_F(Completion, OffersJobsWhereACommandTakesOne) {
  EXPECT_THAT(Offers({"describe", "q"}), ElementsAre("quickstart-1a2b"));
  EXPECT_THAT(Offers({"list", "\"\""}), Not(Contains("quickstart-1a2b")));
  EXPECT_THAT(Offers({"describe", "-o", "q"}), ElementsAre());
}

TEST_F(Completion, KeepsWhatIsNotForUsersToItself) {
  EXPECT_THAT(Offers({"local", "\"\""}), Not(Contains("supervise")));
  EXPECT_EQ(Run({"completion"}).exit_code, 2);
  EXPECT_EQ(Run({"completion", "tcsh"}).exit_code, 2);
  EXPECT_THAT(Run({"completion", "zsh"}).output, testing::StartsWith("#compdef pixelrecctl\n"));
}

}  // namespace
}  // namespace pixelrec::ctl
