// Makes a request repeatable, so that an answer lost on the way can be asked for again.
#pragma once

#include <string>

namespace pixelrec::ctl {

// Another one each time.
std::string RandomRequestId();

}  // namespace pixelrec::ctl
