#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "train/log.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Folder {
  fs::path path =
      fs::temp_directory_path() / ("espalier_checkpoint_" + std::to_string(::getpid()) + "_" +
                                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

Checkpoint sample(int64_t step = 123) {
  Checkpoint c;
  c.states["conv1.weight"] = Tensor::from<float>({2, 2}, {1, 2, -3, 0.1f});
  c.states["conv1.weight:velocity"] = Tensor::from<float>({2, 2}, {0, 0, 1e-30f, 5});
  c.hooks["0/order"] = Tensor::from<int64_t>({3}, {2, 0, 1});
  c.step = step;
  c.epoch = 2;
  c.position = 7;
  c.loss_sum = 0.1 + 0.2;
  c.correct = 1234;
  c.seed = ~uint64_t{0};
  c.threads = 2;
  c.options = "epochs=3;batch=4";
  c.log_bytes = 99;
  c.history.push_back({1, 60, 0.1, 1.0 / 3, 0.5, 0.7, 0.25, 3.5, 0.5});
  return c;
}

std::string error_of(const std::string& bytes) {
  try {
    decode_checkpoint(bytes, "file");
  } catch (const UserError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Checkpoint, RoundTripsExactly) {
  const Checkpoint c = sample();
  const Checkpoint back = decode_checkpoint(encode_checkpoint(c), "file");
  ASSERT_EQ(back.states.size(), 2u);
  for (const auto& [name, t] : c.states) EXPECT_TRUE(back.states.at(name).identical(t)) << name;
  EXPECT_TRUE(back.hooks.at("0/order").identical(c.hooks.at("0/order")));
  EXPECT_EQ(back.step, c.step);
  EXPECT_EQ(back.epoch, c.epoch);
  EXPECT_EQ(back.position, c.position);
  EXPECT_EQ(back.loss_sum, c.loss_sum);
  EXPECT_EQ(back.correct, c.correct);
  EXPECT_EQ(back.seed, c.seed);
  EXPECT_EQ(back.threads, c.threads);
  EXPECT_EQ(back.options, c.options);
  EXPECT_EQ(back.log_bytes, c.log_bytes);
  ASSERT_EQ(back.history.size(), 1u);
  EXPECT_TRUE(back.history[0].same_results(c.history[0]));
}

TEST(Checkpoint, DamageIsNamed) {
  const std::string bytes = encode_checkpoint(sample());
  for (size_t n = 0; n < bytes.size(); n += 13)
    EXPECT_THAT(error_of(bytes.substr(0, n)), HasSubstr("file:")) << n;
  std::string flipped = bytes;
  flipped.back() = char(flipped.back() ^ 1);
  EXPECT_THAT(error_of(flipped), HasSubstr("is damaged: its checksum does not fit"));
  std::string epoch = bytes;
  const size_t at = epoch.find("position\\\":7");
  ASSERT_NE(at, std::string::npos);
  epoch[at + 11] = '8';
  EXPECT_THAT(error_of(epoch), HasSubstr("is damaged: its checksum does not fit"));
  const Rng rng(3, stream_of("damage"));
  for (uint64_t i = 0; i < 500; ++i) {
    std::string damaged = bytes;
    damaged[rng.below(2 * i, damaged.size())] ^= char(1 + rng.below(2 * i + 1, 255));
    EXPECT_THAT(error_of(damaged), HasSubstr("file")) << i;
  }
}

TEST(Checkpoint, OtherFilesAndVersionsAreRefused) {
  TensorFile file;
  file.tensors["x"] = Tensor(DType::f32, {1});
  EXPECT_THAT(error_of(encode_safetensors(file)), HasSubstr("file: is no checkpoint"));
  file.metadata["espalier.checkpoint"] = R"({"version":9})";
  file.metadata["checksum"] = "0";
  EXPECT_THAT(error_of(encode_safetensors(file)),
              HasSubstr("is a checkpoint of version 9, this program reads version 1"));
}

TEST(CheckpointFolder, KeepsTheTwoNewestAndReadsTheNewest) {
  const Folder folder;
  const CheckpointFolder run(folder.path / "checkpoints");
  EXPECT_FALSE(run.newest());
  for (int64_t step : {9, 10, 100}) run.save(sample(step));
  ASSERT_EQ(run.files().size(), 2u);
  EXPECT_EQ(run.files()[0].filename(), "step-000000010.safetensors");
  EXPECT_EQ(run.newest()->step, 100);
  const std::string bytes = read_file(run.files()[1]);
  std::ofstream(run.files()[1], std::ios::trunc) << bytes.substr(0, bytes.size() / 2);
  try {
    run.newest();
    FAIL() << "a truncated checkpoint was read";
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("step-000000100.safetensors"));
  }
}

TEST(RunLog, ContinuesAfterWhatACheckpointKnows) {
  const Folder folder;
  const fs::path path = folder.path / "log.jsonl";
  int64_t known = 0;
  {
    RunLog log(path, 0);
    log.line("{\"a\":1}");
    known = log.bytes();
    log.line("{\"lost\":1}");
  }
  RunLog log(path, known);
  log.line("{\"b\":2}");
  EXPECT_EQ(read_file(path), "{\"a\":1}\n{\"b\":2}\n");
  EXPECT_THROW(RunLog(path, 1000), UserError);
  EXPECT_THROW(RunLog(folder.path / "no" / "log.jsonl", 0), UserError);
}

}  // namespace
}  // namespace espalier
