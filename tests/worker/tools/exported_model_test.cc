// Exports of trained models, with an embedding token and with mean pooling, read again by what reads models.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cstring>

#include "common/storage/atomic_file.h"
#include "tests/worker/train/small_job.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/tools/export.h"
#include "worker/tools/trained_model.h"

namespace pixelrec::tools {
namespace {

using testing::HasSubstr;

class ExportedModelTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    job_.item_emb_token_n = GetParam();
    job_.learning_rate = 1e-3;
    train::RecordingLink link;
    const absl::Status status = train::RunTraining(job_, link);
    ASSERT_TRUE(status.ok()) << status;
  }
  train::fs::path path(const std::string& name) const { return folder_.path() / name; }
  int Export(const train::fs::path& source, const std::string& format, const std::string& out) const {
    ExportCommandOptions options;
    options.source = source;
    options.format = format;
    options.out = path(out);
    if (format == "embeddings") options.dataset = dataset_;
    return RunExport(options);
  }
  at::Tensor Embeddings(const train::fs::path& model) const {
    auto trained = OpenTrainedModel(model);
    EXPECT_TRUE(trained.ok()) << trained.status();
    if (!trained.ok()) return {};
    EXPECT_TRUE(OpenDatasetOf(dataset_, *trained).ok());
    return eval::EncodeAllItems(*trained->dataset, *trained->hllm, dist::ProcessGroup::Alone());
  }

  train::TestFolder folder_{"exported-model"};
  train::fs::path dataset_ = train::PrepareSmallData(folder_.path(), 600);
  train::TrainJob job_ = train::SmallJob(dataset_, folder_.path() / "out");
};

// Everything that takes best_model/ takes the export.
TEST_P(ExportedModelTest, HuggingFaceExportIsAModel) {
  for (const char* source : {"out/best_model", "out/checkpoint-epoch-1"}) {
    train::fs::remove_all(path("hf"));
    ASSERT_EQ(Export(path(source), "hf", "hf"), 0) << source;
    EXPECT_TRUE(at::equal(Embeddings(path("hf")), Embeddings(path(source)))) << source;
    EXPECT_EQ(OpenTrainedModel(path("hf"))->info.item_prompt, job_.item_prompt);
  }
  ASSERT_EQ(Export(path("hf"), "reference-bin", "flat"), 0);
  train::TrainJob next = job_;
  next.job_id = "small-2";
  next.output_dir = path("next");
  next.init_from = path("hf");
  train::RecordingLink link;
  const absl::Status status = train::RunTraining(next, link);
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(ExportedModelTest, EmbeddingsAreThoseOfTheModel) {
  ASSERT_EQ(Export(path("out/best_model"), "embeddings", "embeddings"), 0);
  const at::Tensor items = Embeddings(path("out/best_model"));  // row 0 is no item
  const at::Tensor expected = items.narrow(0, 1, items.size(0) - 1).contiguous();
  const auto bytes = storage::ReadFile(path("embeddings/item_embeddings.npy"));
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const size_t size = static_cast<size_t>(expected.numel()) * sizeof(float);
  ASSERT_GT(bytes->size(), size);
  at::Tensor got = at::empty_like(expected);
  std::memcpy(got.mutable_data_ptr(), bytes->data() + bytes->size() - size, size);
  EXPECT_LT((got - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
  ASSERT_EQ(Export(path("out/best_model"), "hf", "hf"), 0);
  ASSERT_EQ(Export(path("hf"), "embeddings", "embeddings-of-hf"), 0);
  EXPECT_EQ(*storage::ReadFile(path("embeddings-of-hf/item_embeddings.npy")), *bytes);
}

TEST_P(ExportedModelTest, WithoutItsRecordItSaysWhatIsMissing) {
  ASSERT_EQ(Export(path("out/best_model"), "hf", "hf"), 0);
  train::fs::remove(path("hf/hllm.json"));
  const absl::Status status = OpenTrainedModel(path("hf")).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("came without hllm.json, so how item texts were made"));
}

INSTANTIATE_TEST_SUITE_P(EmbeddingTokens, ExportedModelTest, testing::Values(0, 1));

}  // namespace
}  // namespace pixelrec::tools
