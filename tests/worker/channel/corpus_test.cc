#include "tests/fuzz/corpus_run.h"

TEST(ChannelCorpusTest, EveryInputIsSurvived) { pixelrec::SurviveCorpus("channel", 8); }
