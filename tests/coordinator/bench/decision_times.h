// How long one decision of the pure machine takes with many jobs in the queue. Prints one line per kind of event.
#pragma once

namespace pixelrec::coordinator {

void BenchDecisions(int jobs);

}  // namespace pixelrec::coordinator
