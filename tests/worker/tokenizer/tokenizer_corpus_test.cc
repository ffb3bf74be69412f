#include "tests/fuzz/corpus_run.h"

TEST(TokenizerCorpus, EveryInputIsSurvived) { pixelrec::SurviveCorpus("tokenizer", 8); }
