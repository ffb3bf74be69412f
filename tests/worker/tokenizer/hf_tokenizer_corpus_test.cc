#include "tests/fuzz/corpus_run.h"

TEST(HfTokenizerCorpus, EveryInputIsSurvived) { pixelrec::SurviveCorpus("hf_tokenizer", 8); }
