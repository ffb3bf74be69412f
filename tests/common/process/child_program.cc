// What the tests of common/process spawn. argv[1] says what to do.
#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "common/process/child.h"
#include "common/process/parent.h"

extern char** environ;

namespace {

void PrintDescriptors() {
  DIR* dir = opendir("/proc/self/fd");
  for (dirent* entry; (entry = readdir(dir)) != nullptr;) {
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(dir)) printf("fd %d\n", fd);
  }
  closedir(dir);
}

// Spawns a grandchild that dies with this process, tells its pid through the inherited socket and waits to be killed.
int Middle(const char* self) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 10;
  auto child = pixelrec::process::Child::Spawn({.program = self, .arguments = {"leaf"}, .inherited_fds = {pair[1]}});
  if (!child.ok()) return 11;
  char ready;
  if (read(pair[0], &ready, 1) != 1) return 12;
  const pid_t pid = (*child)->pid();
  if (write(pixelrec::process::kInheritedFd, &pid, sizeof(pid)) != sizeof(pid)) return 13;
  pause();
  return 0;
}

int Leaf() {
  if (!pixelrec::process::DieWithPeer(pixelrec::process::kInheritedFd).ok()) return 20;
  if (write(pixelrec::process::kInheritedFd, "r", 1) != 1) return 21;
  for (;;) pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "exit") return atoi(argv[2]);
  if (what == "signal") {
    raise(atoi(argv[2]));
    return 1;
  }
  if (what == "print") {
    for (int i = 2; i < argc; ++i) printf("argument %s\n", argv[i]);
    for (char** entry = environ; *entry != nullptr; ++entry) printf("environment %s\n", *entry);
    PrintDescriptors();
    printf("group %s\n", getpgrp() == getpid() ? "own" : "shared");
    sigset_t mask;
    sigprocmask(SIG_BLOCK, nullptr, &mask);
    printf("SIGTERM %s\n", sigismember(&mask, SIGTERM) ? "blocked" : "open");
    fprintf(stderr, "to stderr\n");
    return 0;
  }
  if (what == "wait") {
    char byte;
    return read(pixelrec::process::kInheritedFd, &byte, 1) == 0 ? 7 : 8;
  }
  if (what == "middle") return Middle(argv[0]);
  if (what == "leaf") return Leaf();
  if (what == "orphan") pixelrec::process::DieWithParent(getppid() + 1);
  return 99;
}
