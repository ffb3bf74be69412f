#include "tests/fuzz/corpus_run.h"

TEST(CsvCorpus, EveryInputIsSurvived) { pixelrec::SurviveCorpus("csv", 8); }
