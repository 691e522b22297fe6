#include "data/source.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"
#include "formats/cifar.h"
#include "formats/gzip.h"
#include "formats/idx.h"
#include "formats/npy.h"
#include "tests/data/fixtures.h"

namespace espalier {
namespace {

Tensor bytes(const Shape& shape, uint64_t seed = 1) {
  Tensor t(DType::u8, shape);
  const Rng rng(seed, 2);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<uint8_t>()[i] = uint8_t(rng.bits(uint64_t(i)));
  return t;
}

Tensor turns(int64_t count, int64_t classes) {
  Tensor t(DType::u8, {count});
  for (int64_t i = 0; i < count; ++i) t.mutable_data<uint8_t>()[i] = uint8_t(i % classes);
  return t;
}

void write_idx_folder(const TemporaryFolder& folder, int64_t train, int64_t test) {
  save_idx(folder / "train-images-idx3-ubyte.gz", bytes({train, 4, 5}));
  save_idx(folder / "train-labels-idx1-ubyte", turns(train, 3));
  if (test == 0) return;
  save_idx(folder / "t10k-images-idx3-ubyte", bytes({test, 4, 5}, 9));
  save_idx(folder / "t10k-labels-idx1-ubyte.gz", turns(test, 3));
}

std::set<int64_t> rows(const Dataset& data) {
  const auto& array = dynamic_cast<const ArrayDataset&>(data);
  std::set<int64_t> all;
  for (int64_t i = 0; i < data.size(); ++i) all.insert(array.row(i));
  EXPECT_EQ(int64_t(all.size()), data.size());
  return all;
}

DataSource open(const std::string& text) { return DataSource(DataSpec::parse(text)); }
std::string opening(const std::string& text) {
  return user_error([&] { open(text); });
}

TEST(Idx, FolderHoldsTrainAndTest) {
  TemporaryFolder folder;
  write_idx_folder(folder, 100, 20);
  const DataSource source = open("idx:" + folder.path().string());
  const auto train = source.split(Split::train), test = source.split(Split::test);
  EXPECT_EQ(train->size(), 90);
  EXPECT_EQ(test->size(), 20);
  EXPECT_EQ(train->classes(), 3);
  EXPECT_EQ(train->sample_shape(), (Shape{1, 4, 5}));
  const std::vector<int64_t> first = {0};
  const Batch batch = test->fetch(first);
  EXPECT_EQ(batch.inputs.shape(), (Shape{1, 1, 4, 5}));
  const Tensor expected = bytes({20, 4, 5}, 9);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(batch.inputs.at(i), float(expected.int_at(i) / 255.0));
  EXPECT_EQ(test->targets().int_at(4), 1);
  EXPECT_EQ(test->description(), "idx:" + folder.path().string() + "?split=test, 20 samples");
}

TEST(Idx, ErrorsNameTheFile) {
  TemporaryFolder folder;
  const std::string text = "idx:" + folder.path().string();
  EXPECT_NE(opening(text).find("has no train-images or t10k-images file"), std::string::npos);
  save_idx(folder / "train-images-idx3-ubyte", bytes({5, 2, 2}));
  EXPECT_NE(opening(text).find("has train-images-idx3-ubyte but no train-labels file"),
            std::string::npos);
  save_idx(folder / "train-labels-idx1-ubyte", turns(4, 2));
  EXPECT_NE(opening(text).find("has shape [4] beside images of shape [5,1,2,2]"),
            std::string::npos);
  EXPECT_NE(opening("idx:/nonexistent").find("/nonexistent: does not exist"), std::string::npos);
}

TEST(Splits, AreDisjointAndCoverTheSource) {
  TemporaryFolder folder;
  write_idx_folder(folder, 103, 20);
  for (const char* keys : {"", "?val=0.25", "?val=0.9"}) {
    const DataSource source = open("idx:" + folder.path().string() + keys);
    std::set<int64_t> seen;
    int64_t total = 0;
    for (Split split : {Split::train, Split::val, Split::test}) {
      const auto part = rows(*source.split(split));
      total += int64_t(part.size());
      seen.insert(part.begin(), part.end());
    }
    EXPECT_EQ(total, 123);
    EXPECT_EQ(seen.size(), 123u);
  }
}

TEST(Splits, AreTheSameEveryTimeAndWithoutTestFilesAPartIsHeldOut) {
  TemporaryFolder folder;
  write_idx_folder(folder, 200, 0);
  const std::string text = "idx:" + folder.path().string() + "?test=0.2";
  const DataSource a = open(text), b = open(text);
  EXPECT_EQ(a.split(Split::test)->size(), 40);
  EXPECT_EQ(a.split(Split::val)->size(), 16);
  EXPECT_EQ(a.split(Split::train)->size(), 144);
  for (Split split : {Split::train, Split::val, Split::test})
    EXPECT_EQ(rows(*a.split(split)), rows(*b.split(split)));
  // Another validation fraction does not move the test part.
  EXPECT_EQ(rows(*open(text + "&val=0.5").split(Split::test)), rows(*a.split(Split::test)));
}

TEST(Splits, AnEmptySplitIsAnError) {
  TemporaryFolder folder;
  write_idx_folder(folder, 20, 5);
  const DataSource source = open("idx:" + folder.path().string() + "?val=0");
  EXPECT_EQ(source.split(Split::train)->size(), 20);
  EXPECT_NE(user_error([&] {
              source.split(Split::val);
            }).find("holds no samples | val=0 holds out nothing; try val=0.1"),
            std::string::npos);
}

TEST(Splits, LimitDrawsFromTheWholeSplit) {
  TemporaryFolder folder;
  write_idx_folder(folder, 300, 0);
  const auto data = open("idx:" + folder.path().string() + "?limit=50").split(Split::all);
  const auto kept = rows(*data);
  EXPECT_EQ(kept.size(), 50u);
  EXPECT_GT(*kept.rbegin(), 200);
  const DataSpec spec = DataSpec::parse("idx:" + folder.path().string() + "?split=val&limit=7");
  EXPECT_EQ(load_dataset(spec, Split::train)->size(), 7);
}

TEST(Cifar, FilesAndFoldersAreRead) {
  TemporaryFolder folder;
  const Tensor pictures = bytes({6, 3, 32, 32});
  const Tensor labels = Tensor::from<int64_t>({6}, {0, 1, 2, 3, 4, 9});
  folder.write("data_batch_1.bin", write_cifar(pictures, labels));
  folder.write("data_batch_2.bin.gz", gzip(write_cifar(pictures, labels)));
  folder.write("test_batch.bin", write_cifar(pictures, labels));
  const DataSource all = open("cifar:" + folder.path().string() + "?val=0");
  EXPECT_EQ(all.split(Split::train)->size(), 12);
  EXPECT_EQ(all.split(Split::test)->size(), 6);
  EXPECT_EQ(all.split(Split::test)->class_names()[9], "truck");
  const DataSource one = open("cifar:" + (folder / "test_batch.bin"));
  EXPECT_EQ(one.split(Split::test)->size(), 6);
  EXPECT_NE(user_error([&] { one.split(Split::train); }).find("holds no samples"),
            std::string::npos);
  const DataSource train = open("cifar:" + (folder / "data_batch_1.bin") + "?split=all");
  EXPECT_EQ(train.split(Split::all)->size(), 6);
}

TEST(Pictures, LayoutAndSizeAreAsAsked) {
  TemporaryFolder folder;
  const Tensor pictures = bytes({4, 3, 32, 32});
  folder.write("a.bin", write_cifar(pictures, Tensor::from<int64_t>({4}, {0, 1, 2, 3})));
  const std::string text = "cifar:" + (folder / "a.bin") + "?normalize=raw";
  const std::vector<int64_t> third = {2};
  const Batch nchw = open(text).split(Split::all)->fetch(third);
  const Batch nhwc = open(text + "&layout=nhwc").split(Split::all)->fetch(third);
  EXPECT_EQ(nhwc.inputs.shape(), (Shape{1, 32, 32, 3}));
  for (int64_t p = 0; p < 1024; ++p)
    for (int64_t c = 0; c < 3; ++c)
      ASSERT_EQ(nhwc.inputs.at(p * 3 + c), nchw.inputs.at(c * 1024 + p));
  const Batch small = open(text + "&resize=8x16").split(Split::all)->fetch(third);
  EXPECT_EQ(small.inputs.shape(), (Shape{1, 3, 8, 16}));
}

TEST(Npz, NamedPartsAndPictures) {
  TemporaryFolder folder;
  save_npz(folder / "keras.npz", {{"x_train", bytes({6, 4, 4, 3})},
                                  {"y_train", turns(6, 2).cast(DType::i64).reshaped({6, 1})},
                                  {"x_test", bytes({3, 4, 4, 3}, 5)},
                                  {"y_test", turns(3, 2).cast(DType::i64).reshaped({3, 1})}});
  const DataSource source = open("npz:" + (folder / "keras.npz") + "?stored=nhwc&normalize=raw");
  const auto test = source.split(Split::test);
  EXPECT_EQ(test->sample_shape(), (Shape{3, 4, 4}));
  const std::vector<int64_t> first = {0};
  EXPECT_EQ(test->fetch(first).inputs.at(16), bytes({3, 4, 4, 3}, 5).int_at(1));
}

TEST(Npz, NumbersAsTargets) {
  TemporaryFolder folder;
  save_npz(folder / "a.npz", {{"x", Tensor::from<double>({2, 2}, {1, 2, 3, 4})},
                              {"y", Tensor::from<double>({2}, {0.5, -1})}});
  const auto data = open("npz:" + (folder / "a.npz")).split(Split::all);
  EXPECT_EQ(data->classes(), 0);
  const std::vector<int64_t> both = {1, 0};
  const Batch batch = data->fetch(both);
  EXPECT_EQ(batch.targets.dtype(), DType::f32);
  EXPECT_EQ(batch.targets.at(0), -1);
  EXPECT_EQ(batch.inputs.at(0), 3);
  EXPECT_NE(
      opening("npz:" + (folder / "a.npz") + "?x=z").find("has no array 'z' | arrays are x, y"),
      std::string::npos);
  EXPECT_NE(opening("npz:" + (folder / "a.npz") + "?stored=nhwc").find("not nhwc"),
            std::string::npos);
}

TEST(Npz, ValuesThatAreNotFiniteAreRefused) {
  TemporaryFolder folder;
  save_npz(folder / "a.npz",
           {{"x", Tensor::from<float>({2, 2}, {1, 2, 3, std::numeric_limits<float>::quiet_NaN()})},
            {"y", turns(2, 2)}});
  EXPECT_NE(opening("npz:" + (folder / "a.npz")).find("sample 1 holds a value that is not finite"),
            std::string::npos);
}

TEST(Csv, NamedClassesAndChosenColumns) {
  TemporaryFolder folder;
  folder.write("iris.csv", "a,b,kind\n1,2,rose\n3,4,iris\n5,6,rose\n");
  const auto data = open("csv:" + (folder / "iris.csv") + "?columns=b").split(Split::all);
  EXPECT_EQ(data->sample_shape(), (Shape{1}));
  EXPECT_EQ(data->class_names(), (std::vector<std::string>{"iris", "rose"}));
  EXPECT_EQ(data->targets().to_i64(), (std::vector<int64_t>{1, 0, 1}));
  const auto standard =
      open("csv:" + (folder / "iris.csv") + "?normalize=standard&val=0&test=0").split(Split::all);
  const std::vector<int64_t> middle = {1};
  EXPECT_NEAR(standard->fetch(middle).inputs.at(0), 0, 1e-6);
}

TEST(Csv, LabelsFromZeroStandForThemselvesAndOthersAreNumbered) {
  TemporaryFolder folder;
  const auto labels = [&](const std::string& column, const std::string& keys = "") {
    std::string rows;
    for (size_t at = 0; at < column.size();) {
      const size_t end = std::min(column.find(' ', at), column.size());
      rows += "1," + column.substr(at, end - at) + "\n";
      at = end + 1;
    }
    folder.write("a.csv", rows);
    return open("csv:" + (folder / "a.csv") + keys).split(Split::all)->targets().to_i64();
  };
  using Labels = std::vector<int64_t>;
  LogLines log;
  EXPECT_EQ(labels("1 0 2 2"), (Labels{1, 0, 2, 2}));
  EXPECT_EQ(labels("0 1.0 +2"), (Labels{0, 1, 2}));
  EXPECT_EQ(labels("9 0 1", "?classes=10"), (Labels{9, 0, 1}));
  EXPECT_EQ(labels("b a b"), (Labels{1, 0, 1}));
  EXPECT_TRUE(log.lines.empty());
  EXPECT_EQ(labels("1 -1 0 1"), (Labels{2, 0, 1, 2}));
  ASSERT_EQ(log.lines.size(), 1u);
  EXPECT_NE(log.lines[0].find("a.csv: labels are renumbered in their order: -1 is class 0, 0 is "
                              "class 1, 1 is class 2"),
            std::string::npos);
  EXPECT_EQ(labels("0 1 1000000000"), (Labels{0, 1, 2}));
  EXPECT_EQ(labels("10 9 10"), (Labels{1, 0, 1}));
  EXPECT_EQ(user_error([&] { labels("0 0.5 1"); }),
            (folder / "a.csv") +
                ": line 2: the target 0.5 is no class label | labels are whole numbers or words; "
                "add task=regress to predict numbers");
  EXPECT_NE(user_error([&] { labels("a  b"); }).find("line 2: has an empty target"),
            std::string::npos);
  EXPECT_NE(user_error([&] { labels("0 7", "?classes=5"); }).find("the label 7, beyond 5 classes"),
            std::string::npos);
}

TEST(Csv, RegressionAndErrors) {
  TemporaryFolder folder;
  folder.write("a.csv", "x,y\n1,0.5\n2,1.5\n");
  EXPECT_EQ(open("csv:" + (folder / "a.csv") + "?task=regress").split(Split::all)->targets().at(1),
            1.5);
  EXPECT_NE(opening("csv:" + (folder / "a.csv") + "?target=z").find("has no column 'z'"),
            std::string::npos);
  EXPECT_NE(opening("csv:" + (folder / "a.csv") + "?task=rank").find("is not one of classify"),
            std::string::npos);
  folder.write("b.csv", "1,5\n2,-3\n");
  folder.write("c.csv", "1,5\n2,x\n");
  EXPECT_NE(opening("csv:" + (folder / "c.csv") + "?task=regress")
                .find("line 2: 'x' in column 1 is not a number"),
            std::string::npos);
  EXPECT_NE(opening("csv:" + (folder / "c.csv") + "?target=0&classes=2").find("not a number"),
            std::string::npos);
}

TEST(Labels, BeyondTheClassesAreRefused) {
  TemporaryFolder folder;
  save_npz(folder / "a.npz", {{"x", bytes({3, 2})}, {"y", turns(3, 3)}});
  EXPECT_NE(opening("npz:" + (folder / "a.npz") + "?classes=2")
                .find("gives sample 2 the label 2, beyond 2 classes"),
            std::string::npos);
  EXPECT_EQ(open("npz:" + (folder / "a.npz") + "?classes=7").split(Split::all)->classes(), 7);
}

TEST(Labels, OfFewSamplesCannotNameMillionsOfClasses) {
  TemporaryFolder folder;
  const auto save = [&](int64_t label) {
    save_npz(folder / "a.npz",
             {{"x", bytes({2, 2})}, {"y", Tensor::from<int64_t>({2}, {0, label})}});
  };
  const std::string text = "npz:" + (folder / "a.npz");
  save(1'000'000'000'000);
  EXPECT_NE(
      opening(text).find("gives sample 1 the label 1000000000000, more classes than 2 samples "
                         "can show | number labels from 0, or say classes=N"),
      std::string::npos);
  save(21840);
  EXPECT_EQ(open(text).split(Split::all)->classes(), 21841);
  save(1'000'000);
  EXPECT_EQ(open(text + "?classes=1000001").split(Split::all)->classes(), 1'000'001);
}

TEST(Files, AreFoundBelowTheDataFolder) {
  TemporaryFolder folder;
  folder.write("set/a.csv", "1,0\n2,1\n");
  const char* before = std::getenv("ESPALIER_DATA");
  const std::string kept = before ? before : "";
  ::setenv("ESPALIER_DATA", folder.path().c_str(), 1);
  EXPECT_EQ(open("csv:set/a.csv").spec().path, folder / "set/a.csv");
  const std::string message = opening("csv:set/b.csv");
  EXPECT_NE(message.find("set/b.csv: does not exist | looked for in the current folder, in "
                         "ESPALIER_DATA (" +
                         folder.path().string()),
            std::string::npos)
      << message;
  ::unsetenv("ESPALIER_DATA");
  EXPECT_NE(opening("csv:set/a.csv").find("ESPALIER_DATA may name a further folder"),
            std::string::npos);
  if (before) ::setenv("ESPALIER_DATA", kept.c_str(), 1);
}

TEST(RealData, MnistCounts) {
  const std::string path = real_data("mnist");
  if (path.empty()) GTEST_SKIP() << "MNIST is not here";
  const DataSource source = open("idx:" + path);
  EXPECT_EQ(source.split(Split::train)->size(), 54000);
  EXPECT_EQ(source.split(Split::val)->size(), 6000);
  const auto test = source.split(Split::test);
  EXPECT_EQ(test->size(), 10000);
  EXPECT_EQ(test->classes(), 10);
  EXPECT_EQ(test->sample_shape(), (Shape{1, 28, 28}));
  EXPECT_EQ(test->targets().int_at(0), 7);  // the first test digit
}

TEST(RealData, LosslessCifarCounts) {
  const std::string path = real_data("cifar10/lossless_test_first1000.bin.gz");
  if (path.empty()) GTEST_SKIP() << "CIFAR-10 is not here";
  const auto test = open("cifar:" + path).split(Split::test);
  EXPECT_EQ(test->size(), 1000);
  EXPECT_EQ(test->class_names()[size_t(test->targets().int_at(0))], "cat");
}

}  // namespace
}  // namespace espalier
