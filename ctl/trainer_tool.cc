#include "ctl/trainer_tool.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ostream>

#include "common/storage/atomic_file.h"
#include "ctl/local/detached.h"

namespace pixelrec::ctl {

int BecomeTrainer(const Session& session, const std::vector<std::string>& arguments) {
  const std::filesystem::path program = TrainerProgram();
  std::vector<std::string> words = {program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  session.out.flush();
  execv(program.c_str(), pointers.data());
  return session.Fail(storage::ErrnoStatus(errno, "can't run", program));
}

}  // namespace pixelrec::ctl
