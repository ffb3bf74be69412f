// Several at once, no space, and sudden death: what is visible in the cache is always a whole dataset.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"

namespace pixelrec::data {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> Entries(const std::filesystem::path& folder, bool hidden) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if ((name[0] == '.') == hidden) names.push_back(name);
  }
  return names;
}

// A pipe between a test and its child: each says "go" by closing its end or writing a byte.
struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0); }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  void Signal() const { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  void Await() const {
    char byte;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
  }
  int ends[2];
};

int ExitCode(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(PrepareAtOnce, Threads) {
  SmallDataset data = Synthetic(30, 300, [](int) { return 20; });
  std::vector<absl::StatusOr<PrepareReport>> reports(6, absl::UnknownError("not run"));
  {
    std::vector<std::jthread> threads;
    for (auto& report : reports) threads.emplace_back([&] { report = Prepare(data.options); });
  }
  for (const auto& report : reports) {
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->data_hash, reports[0]->data_hash);
    EXPECT_EQ(report->tokens, reports[0]->tokens);
    EXPECT_TRUE(Dataset::Open(report->path).ok());
  }
  EXPECT_THAT(Entries(data.options.cache_dir, true), IsEmpty());
  EXPECT_THAT(Entries(data.options.cache_dir, false), SizeIs(1));
}

TEST(PrepareAtOnce, ProcessesThatAllReachTheWritingBeforeAnyPublishes) {
  SmallDataset data = Synthetic(30, 300, [](int) { return 20; });
  Pipe arrived;
  Pipe go;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      data.options.progress = [&](const std::string& section, double fraction) {
        if (section != "write" || fraction == 1.0) return;
        arrived.Signal();
        go.Await();
      };
      const auto report = Prepare(data.options);
      _exit(report.ok() && Dataset::Open(report->path).ok() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (size_t i = 0; i < children.size(); ++i) arrived.Await();
  EXPECT_THAT(Entries(data.options.cache_dir, true), SizeIs(4));
  EXPECT_THAT(Entries(data.options.cache_dir, false), IsEmpty());
  for (size_t i = 0; i < children.size(); ++i) go.Signal();
  for (pid_t child : children) EXPECT_EQ(ExitCode(child), 0);
  EXPECT_THAT(Entries(data.options.cache_dir, true), IsEmpty());
  EXPECT_THAT(Entries(data.options.cache_dir, false), SizeIs(1));
}

TEST(PrepareKilled, NothingIsVisibleAndTheNextOneSweepsUp) {
  SmallDataset data = Synthetic(30, 300, [](int) { return 20; });
  for (const std::string stage : {"tokenize", "write"}) {
    Pipe arrived;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      data.options.progress = [&](const std::string& section, double) {
        if (section != stage) return;
        arrived.Signal();
        for (;;) pause();
      };
      const auto report = Prepare(data.options);
      _exit(1);
    }
    arrived.Await();
    kill(child, SIGKILL);
    EXPECT_EQ(ExitCode(child), 128 + SIGKILL);
    EXPECT_THAT(Entries(data.options.cache_dir, false), IsEmpty());
    EXPECT_THAT(Entries(data.options.cache_dir, true), SizeIs(1)) << "only the last one's leftovers";
  }
  ASSERT_NE(data.Open(), nullptr);
  EXPECT_FALSE(data.report.reused);
  EXPECT_THAT(Entries(data.options.cache_dir, true), IsEmpty());
}

// Runs Prepare in a child after `limit` has made space scarce there; returns the status code.
int PrepareWith(const SmallDataset& data, const std::function<bool()>& limit) {
  const pid_t child = fork();
  EXPECT_GE(child, 0);
  if (child == 0) {
    if (!limit()) _exit(100);
    _exit(static_cast<int>(Prepare(data.options).status().code()));
  }
  return ExitCode(child);
}

TEST(PrepareNoSpace, FileSizeLimit) {
  SmallDataset data = Synthetic(60, 500, [](int) { return 30; });
  const int code = PrepareWith(data, [] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    return setrlimit(RLIMIT_FSIZE, &limit) == 0;
  });
  EXPECT_NE(code, 0);
  EXPECT_THAT(Entries(data.options.cache_dir, false), IsEmpty());
  EXPECT_THAT(Entries(data.options.cache_dir, true), IsEmpty());
  EXPECT_NE(data.Open(), nullptr) << "and with space it works";
}

// Root, or whoever a namespace of its own makes root there, may mount.
bool BecomeAbleToMount() {
  const uid_t user = getuid();
  const gid_t group = getgid();
  if (unshare(CLONE_NEWNS) == 0) return true;
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  auto write = [](const char* file, const std::string& text) { return (std::ofstream(file) << text << std::flush).good(); };
  return write("/proc/self/setgroups", "deny") && write("/proc/self/uid_map", absl::StrCat("0 ", user, " 1")) &&
         write("/proc/self/gid_map", absl::StrCat("0 ", group, " 1"));
}

TEST(PrepareNoSpace, FullDisk) {
  SmallDataset data = Synthetic(60, 500, [](int) { return 30; });
  std::filesystem::create_directories(data.options.cache_dir);
  const int code = PrepareWith(data, [&] {
    return BecomeAbleToMount() && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("tmpfs", data.options.cache_dir.c_str(), "tmpfs", 0, "size=16k") == 0;
  });
  if (code == 100) GTEST_SKIP() << "mounting a small file system needs root or user namespaces";
  EXPECT_EQ(code, static_cast<int>(absl::StatusCode::kResourceExhausted));
}

TEST(PrepareStaging, FoldersOfLivingProcessesStay) {
  SmallDataset data = Synthetic(30, 300, [](int) { return 20; });
  bool checked = false;
  data.options.progress = [&](const std::string& section, double fraction) {
    if (section != "write" || fraction == 1.0 || checked) return;
    checked = true;
    PrepareOptions other = data.options;
    other.max_text_length = 9;
    other.progress = nullptr;
    EXPECT_TRUE(Prepare(other).ok());
    EXPECT_THAT(Entries(data.options.cache_dir, true), SizeIs(1));
  };
  EXPECT_NE(data.Open(), nullptr);
  EXPECT_TRUE(checked);
}

TEST(PrepareSources, AFileThatChangesBetweenHashingAndReadingIsRefused) {
  SmallDataset data = Synthetic(30, 300, [](int) { return 20; });
  // Both files are small enough for one portion each: the first call comes from hashing the interactions, the second from the
  // texts.
  int calls = 0;
  data.options.progress = [&](const std::string&, double) {
    if (++calls == 2) std::ofstream(data.options.interaction_data, std::ios::app) << "late,i1\n";
  };
  const auto report = Prepare(data.options);
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition) << report.status();
  EXPECT_THAT(std::string(report.status().message()), testing::HasSubstr("interactions.csv: the file changed while it was read"));
  EXPECT_THAT(Entries(data.options.cache_dir, false), IsEmpty());
  EXPECT_THAT(Entries(data.options.cache_dir, true), IsEmpty());
}

}  // namespace
}  // namespace pixelrec::data
