#include "ctl/trainer_tool.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "ctl/local/detached.h"

namespace pixelrec::ctl {
namespace {

// argv of a program; the words must outlive it.
std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Words(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {TrainerProgram().string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

std::string Written(const storage::UniqueFd& memory) {
  std::string text;
  char part[4096];
  off_t offset = 0;
  for (ssize_t size; (size = pread(memory.get(), part, sizeof(part), offset)) > 0; offset += size)
    text.append(part, static_cast<size_t>(size));
  return text;
}

// -> wait status.
absl::StatusOr<int> RunTrainer(const std::vector<std::string>& arguments, int out, int err) {
  std::vector<std::string> words = Words(arguments);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, words.front().c_str(), &actions, nullptr, Pointers(words).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return storage::ErrnoStatus(error, "can't run", words.front());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return storage::ErrnoStatus(errno, "can't wait for", words.front());
  }
  return status;
}

}  // namespace

int BecomeTrainer(const Session& session, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = Words(arguments);
  session.out.flush();
  execv(words.front().c_str(), Pointers(words).data());
  return session.Fail(storage::ErrnoStatus(errno, "can't run", words.front()));
}

absl::StatusOr<std::string> AskTrainer(const std::vector<std::string>& arguments) {
  const storage::UniqueFd out(memfd_create("stdout", MFD_CLOEXEC)), err(memfd_create("stderr", MFD_CLOEXEC));
  if (out.get() < 0 || err.get() < 0) return absl::ResourceExhaustedError("no memory for the trainer's output");
  const absl::StatusOr<int> status = RunTrainer(arguments, out.get(), err.get());
  if (!status.ok()) return status.status();
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return Written(out);
  const std::string said = Written(err);
  const std::string message(absl::StripPrefix(absl::StripSuffix(said, "\n"), "error: "));
  if (!WIFEXITED(*status))
    return absl::InternalError(absl::StrCat("pixelrec-trainer was ended by signal ", WTERMSIG(*status), ": ", message));
  return WEXITSTATUS(*status) == 3 ? absl::NotFoundError(message) : absl::UnknownError(message);
}

}  // namespace pixelrec::ctl
