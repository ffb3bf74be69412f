#include "tests/fuzz/corpus_run.h"

TEST(DeepSpeedCorpus, EveryInputIsSurvived) { pixelrec::SurviveCorpus("deepspeed_json", 28); }
