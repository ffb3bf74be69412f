// What a large fleet costs a coordinator that runs as a process of its own. Prints one line.
#pragma once

#include <sys/types.h>

#include <string>

namespace pixelrec::coordinator {

// So many sessions, each with a beat a second for half a minute; the coordinator's CPU time against the wall clock's.
void BenchFleet(const std::string& address, pid_t coordinator, int workers);

}  // namespace pixelrec::coordinator
