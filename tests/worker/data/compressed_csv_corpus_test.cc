#include "tests/fuzz/corpus_run.h"

TEST(CompressedCsvCorpus, EveryInputIsSurvived) { pixelrec::SurviveCorpus("compressed_csv", 10); }
