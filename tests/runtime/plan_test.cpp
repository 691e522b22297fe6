#include "runtime/plan.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "kernels/primitive.h"
#include "runtime/session.h"

namespace espalier {
namespace {

Graph small_network() {
  Graph g;
  g.name = "small";
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(32)}));
  Tensor w(DType::f32, {32, 8});
  for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] = float(i % 7) - 3;
  Builder b(g);
  g.add_output(b.matmul(x, g.add_constant("w", w, Role::kParameter)));
  return g;
}

class Plan : public ::testing::Test {
 protected:
  std::filesystem::path path_ = std::filesystem::temp_directory_path() /
                                ("espalier_plan_test" + std::to_string(getpid()) + ".plan");
  void TearDown() override { std::filesystem::remove(path_); }
};

TEST_F(Plan, RoundTripsWithMappedAlignedWeights) {
  const Graph g = small_network();
  save_plan(g, path_);
  const Graph back = load_plan(path_);
  EXPECT_EQ(print(back), print(g));
  const Tensor& w = *back.value(back.find("w")).constant;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(w.raw()) % 64, 0u);
  Tensor x(DType::f32, {3, 32});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = float(i);
  EXPECT_TRUE(interpret(back, std::span(&x, 1))[0].identical(interpret(g, std::span(&x, 1))[0]));
}

TEST_F(Plan, StoredFormsAreUsedInsteadOfPacking) {
  const Graph g = small_network();
  const CompileOptions options{.threads = 1};
  const auto size_of_plan = [&](std::span<const CompileOptions> prepare) {
    save_plan(g, path_, prepare);
    return std::filesystem::file_size(path_);
  };
  const auto bare = size_of_plan({});
  const auto prepared = size_of_plan(std::span(&options, 1));
  if (!kernels::has_bf16()) GTEST_SKIP() << "without AVX-512 kernels take this weight as it is";
  ASSERT_GT(prepared, bare);
  Tensor x(DType::f32, {1, 32});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = float(i);
  const auto run = [&](Graph network) { return Model(std::move(network), options).run({x})[0]; };
  const Tensor want = run(g);
  EXPECT_TRUE(run(load_plan(path_)).identical(want));

  // The weight as it is, spoiled in the file: nobody reads it.
  std::string whole = read_file(path_);
  const Tensor& w = *g.value(g.find("w")).constant;
  const size_t at = whole.find(std::string(static_cast<const char*>(w.raw()), w.bytes()));
  ASSERT_NE(at, whole.npos);
  std::fill_n(whole.begin() + long(at), w.bytes(), '\x55');
  write_file_atomic(path_, whole);
  EXPECT_TRUE(run(load_plan(path_)).identical(want));
}

TEST_F(Plan, FormsLastAsLongAsProgramsThatUseThem) {
  const CompileOptions options{.threads = 1};
  save_plan(small_network(), path_, std::span(&options, 1));
  std::optional<Session> session;
  {
    const Graph g = load_plan(path_);
    session.emplace(compile(specialised(g, std::vector<Shape>{{2, 32}}), options));
  }
  std::filesystem::remove(path_);
  const Tensor x(DType::f32, {2, 32});
  EXPECT_EQ(session->run({x})[0].shape(), (Shape{2, 8}));
}

TEST_F(Plan, WhatCannotBeCompiledIsStoredAsItIs) {
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(31)}));
  Builder b(g);
  g.add_output(b.reshape(x, {-1, 62}));  // not for one row
  const CompileOptions options{.threads = 1};
  save_plan(g, path_, std::span(&options, 1));
  EXPECT_EQ(print(load_plan(path_)), print(g));
}

TEST_F(Plan, EveryTruncationAndHeaderFlipIsRefused) {
  save_plan(small_network(), path_);
  const std::string whole = read_file(path_);
  const auto put = [&](const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  };
  for (size_t n = 0; n < whole.size(); n += n < 300 ? 1 : 37) {
    put(whole.substr(0, n));
    EXPECT_THROW(load_plan(path_), UserError) << n;
  }
  // Header, index of one weight, text.
  uint64_t text_bytes = 0;
  std::memcpy(&text_bytes, whole.data() + 8, sizeof text_bytes);
  for (size_t n = 0; n < 48 + 32 + text_bytes; ++n) {
    std::string flipped = whole;
    flipped[n] = char(flipped[n] ^ 0x10);
    put(flipped);
    EXPECT_THROW(load_plan(path_), UserError) << n;
  }
}

}  // namespace
}  // namespace espalier
