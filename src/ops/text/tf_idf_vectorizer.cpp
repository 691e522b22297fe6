// TfIdfVectorizer, ONNX opset 9: counts of n-grams in sequences [C] or [N, C] of strings or
// integers. The pool lists the n-grams to count, those of length n from ngram_counts[n - 1] on;
// ngram_indexes says which result each is. The items of an n-gram may stand up to max_skip_count
// others apart, evenly. Results are counts (TF), weights of what occurs (IDF), or counts times
// weights (TFIDF).
#include <map>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct TfIdfVectorizer {
  int64_t max_gram_length = 1;
  int64_t max_skip_count = 0;
  int64_t min_gram_length = 1;
  std::string mode = "TF";
  std::vector<int64_t> ngram_counts = {};
  std::vector<int64_t> ngram_indexes = {};
  std::vector<int64_t> pool_int64s = {};
  std::vector<std::string> pool_strings = {};
  std::vector<float> weights = {};
};
using Vectorizer = TfIdfVectorizer;

int64_t pool_size(const Vectorizer& a) {
  return int64_t(a.pool_strings.empty() ? a.pool_int64s.size() : a.pool_strings.size());
}
/// Where the n-grams of length n stand in the pool.
std::pair<int64_t, int64_t> pool_range(const Vectorizer& a, size_t n) {
  return {a.ngram_counts[n - 1], n < a.ngram_counts.size() ? a.ngram_counts[n] : pool_size(a)};
}

void check_pool(const Vectorizer& a, const TypesIn& in) {
  if (a.mode != "TF" && a.mode != "IDF" && a.mode != "TFIDF")
    in.fail("mode '" + a.mode + "' is not known", "known: TF, IDF, TFIDF");
  if (a.min_gram_length < 1 || a.max_gram_length < a.min_gram_length || a.max_skip_count < 0)
    in.fail("n-grams of lengths " + std::to_string(a.min_gram_length) + " to " +
            std::to_string(a.max_gram_length) + " with " + std::to_string(a.max_skip_count) +
            " skips cannot be counted");
  if (a.pool_strings.empty() == a.pool_int64s.empty())
    in.fail("one of pool_strings and pool_int64s must be given");
  if ((in[0].dtype == DType::string) != a.pool_int64s.empty())
    in.fail("the pool is for " + std::string(a.pool_int64s.empty() ? "strings" : "integers") +
            ", the operand is " + to_string(in[0]));
  if (int64_t(a.ngram_counts.size()) < a.max_gram_length)
    in.fail("ngram_counts " + to_string(a.ngram_counts) + " says nothing of n-grams of length " +
            std::to_string(a.max_gram_length));
  int64_t grams = 0;
  for (size_t n = 1; n <= a.ngram_counts.size(); ++n) {
    const auto [first, last] = pool_range(a, n);
    if (first < 0 || last < first || last > pool_size(a) || (last - first) % int64_t(n) != 0)
      in.fail("ngram_counts " + to_string(a.ngram_counts) + " does not divide a pool of " +
              std::to_string(pool_size(a)) + " items");
    grams += (last - first) / int64_t(n);
  }
  if (a.ngram_counts[0] != 0) in.fail("ngram_counts does not begin at 0");
  if (int64_t(a.ngram_indexes.size()) != grams)
    in.fail("ngram_indexes has " + std::to_string(a.ngram_indexes.size()) + " entries for " +
            std::to_string(grams) + " n-grams");
  for (int64_t i : a.ngram_indexes)
    if (i < 0 || i >= (int64_t{1} << 40))
      in.fail("ngram_indexes has the entry " + std::to_string(i));
  if (!a.weights.empty() && int64_t(a.weights.size()) != grams)
    in.fail(std::to_string(a.weights.size()) + " weights are given for " + std::to_string(grams) +
            " n-grams");
}

int64_t result_size(const Vectorizer& a) {
  return a.ngram_indexes.empty()
             ? 0
             : 1 + *std::max_element(a.ngram_indexes.begin(), a.ngram_indexes.end());
}

Types infer(const Vectorizer& a, const TypesIn& in) {
  const DType dtype = in[0].dtype;
  if (dtype != DType::string && dtype != DType::i32 && dtype != DType::i64)
    in.fail("operand 0 is " + to_string(in[0]) + ", strings, i32 or i64 are needed");
  if (in[0].rank() < 1 || in[0].rank() > 2)
    in.fail("operand 0 is " + to_string(in[0]) + ", rank 1 or 2 is needed");
  check_pool(a, in);
  Dims dims = in[0].dims;
  dims.back() = Dim(result_size(a));
  return {TensorType(DType::f32, std::move(dims))};
}

/// Adds to y what the n-grams of one row are worth, for rows of items of type T.
template <class T>
class Counter {
 public:
  Counter(const Vectorizer& a, const std::vector<T>& pool) : a_(a) {
    size_t gram = 0;
    for (size_t n = 1; n <= a.ngram_counts.size(); ++n) {
      const auto [first, last] = pool_range(a, n);
      for (int64_t at = first; at < last; at += int64_t(n), ++gram)
        if (int64_t(n) >= a.min_gram_length && int64_t(n) <= a.max_gram_length)
          grams_[std::vector<T>(pool.begin() + at, pool.begin() + at + int64_t(n))] = gram;
    }
  }

  template <class Item>
  void count(std::span<const Item> row, auto y) const {
    const auto items = int64_t(row.size());
    std::vector<T> gram;
    for (int64_t n = a_.min_gram_length; n <= a_.max_gram_length; ++n) {
      // One item has nothing between its items to skip.
      const int64_t skips = n == 1 ? 0 : a_.max_skip_count;
      for (int64_t skip = 0; skip <= skips && skip < std::max<int64_t>(items, 1); ++skip)
        for (int64_t first = 0; first + (n - 1) * (skip + 1) < items; ++first) {
          gram.clear();
          for (int64_t k = 0; k < n; ++k) gram.push_back(T(row[size_t(first + k * (skip + 1))]));
          if (const auto found = grams_.find(gram); found != grams_.end()) add(found->second, y);
        }
    }
  }

 private:
  void add(size_t gram, auto y) const {
    auto& here = y[size_t(a_.ngram_indexes[gram])];
    using Real = std::remove_cvref_t<decltype(here)>;
    const Real weight = a_.weights.empty() ? Real(1) : Real(a_.weights[gram]);
    if (a_.mode == "IDF")
      here = weight;
    else
      here += a_.mode == "TF" ? Real(1) : weight;
  }

  const Vectorizer& a_;
  std::map<std::vector<T>, size_t> grams_;
};

template <class T, class Item, class Real>
void count_rows(const Vectorizer& a, const std::vector<T>& pool, std::span<const Item> x,
                std::span<Real> y) {
  std::fill(y.begin(), y.end(), Real(0));
  const auto width = size_t(result_size(a));
  if (width == 0 || y.empty()) return;
  const size_t rows = y.size() / width, items = x.size() / rows;
  const Counter<T> counter(a, pool);
  for (size_t row = 0; row < rows; ++row)
    counter.count(x.subspan(row * items, items), y.subspan(row * width, width));
}

template <class Real>
void reference(const Vectorizer& a, Ref<Real>& r) {
  if (r.dtype(0) == DType::string)
    count_rows(a, a.pool_strings, r.tensor(0).template span<std::string>(), r.out_real(0));
  else
    count_rows(a, a.pool_int64s, r.ints(0), r.out_real(0));
}

Cost cost(const Vectorizer& a, const TypesIn& in, const Types& out) {
  const double grams = double(a.max_gram_length - a.min_gram_length + 1);
  return {0, grams * (double(a.max_skip_count) + 1) * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const Vectorizer&, const TypesIn& in, const Types&) {
  AxisMap map;
  if (in[0].rank() == 2 && in[0].dims[0].known())
    map.ties.push_back({in[0].dims[0].value(), {AxisPlace::in(0, 0), AxisPlace::out(0, 0)}, false});
  return map;
}

}  // namespace

const Room& tf_idf_vectorizer() {
  const auto items = [](Shape shape) {
    return OperandSpec::ranged(std::move(shape), 1, 8, DType::i64);
  };
  const Vectorizer pool = {.max_gram_length = 2,
                           .ngram_counts = {0, 4},
                           .ngram_indexes = {0, 1, 2, 3, 4, 5, 6},
                           .pool_int64s = {2, 3, 5, 4, 5, 6, 7, 8, 6, 7}};
  Vectorizer skipping = pool, idf = pool, weighed = pool;
  skipping.max_skip_count = 5;
  idf.mode = "IDF";
  weighed.mode = "TFIDF";
  weighed.weights = {1, 2, 3, 4, 5, 6, 0.5f};
  const Vectorizer words = {
      .mode = "TF", .ngram_counts = {0}, .ngram_indexes = {1, 0}, .pool_strings = {"a", "b"}};
  static const Room room = make_room<Vectorizer>({
      .onnx = {"TfIdfVectorizer", 9},
      .arity = {1, 1},
      .attributes = {required("max_gram_length", &Vectorizer::max_gram_length),
                     required("max_skip_count", &Vectorizer::max_skip_count),
                     required("min_gram_length", &Vectorizer::min_gram_length),
                     required("mode", &Vectorizer::mode),
                     required("ngram_counts", &Vectorizer::ngram_counts),
                     required("ngram_indexes", &Vectorizer::ngram_indexes),
                     {"pool_int64s", &Vectorizer::pool_int64s},
                     {"pool_strings", &Vectorizer::pool_strings},
                     {"weights", &Vectorizer::weights}},
      .infer = infer,
      .reference = ESP_REFERENCE(Vectorizer, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{pool, {items({12})}},
                  {skipping, {items({2, 9})}},
                  {idf, {items({9})}},
                  {weighed, {items({3, 9})}},
                  {pool, {items({0, 9})}},
                  {words, {OperandSpec::fixed(Tensor::from<std::string>({3}, {"b", "c", "b"}))}}},
  });
  return room;
}

}  // namespace espalier::ops
