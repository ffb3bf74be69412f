#include "tests/fuzz/corpus_run.h"

TEST(DatasetCorpus, EveryInputIsSurvived) { pixelrec::SurviveCorpus("dataset", 8); }
