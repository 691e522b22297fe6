// npz:FILE and csv:FILE.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/log.h"
#include "data/source.h"
#include "formats/csv.h"
#include "formats/npy.h"

namespace espalier {
namespace {

class Arrays {
 public:
  explicit Arrays(const std::string& path) : path_(path), members_(load_npz(path)) {}

  bool has(const std::string& name) const { return find(name) != nullptr; }
  const Tensor& get(const std::string& name) const {
    if (const NamedTensor* found = find(name)) return found->tensor;
    std::string known;
    for (const NamedTensor& m : members_) known += (known.empty() ? "" : ", ") + m.name;
    throw bad_input(path_, "has no array '" + name + "'", "arrays are " + known);
  }

 private:
  const NamedTensor* find(const std::string& name) const {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const NamedTensor& m) { return m.name == name; });
    return found == members_.end() ? nullptr : &*found;
  }
  std::string path_;
  std::vector<NamedTensor> members_;
};

/// [N, H, W, C] to [N, C, H, W].
template <class T>
Tensor channels_first(const Tensor& in) {
  const Shape& s = in.shape();
  Tensor out(in.dtype(), {s[0], s[3], s[1], s[2]});
  const T* from = in.data<T>();
  T* to = out.mutable_data<T>();
  const int64_t pixels = s[1] * s[2], channels = s[3];
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < channels; ++c)
        to[(n * channels + c) * pixels + p] = from[(n * pixels + p) * channels + c];
  return out;
}

Tensor as_pictures(const Tensor& samples, const std::string& stored, const std::string& where) {
  if (stored.empty()) return samples;
  const std::map<std::string, int64_t> ranks = {{"nchw", 4}, {"nhwc", 4}, {"nhw", 3}};
  const auto found = ranks.find(stored);
  if (found == ranks.end()) throw usage_error("stored=" + stored, "is not one of nchw, nhwc, nhw");
  const Shape& s = samples.shape();
  if (samples.rank() != found->second)
    throw bad_input(where, "has samples of shape " + to_string(s) + ", not " + stored);
  if (stored == "nhw") return samples.reshaped({s[0], 1, s[1], s[2]});
  if (stored == "nchw") return samples;
  return samples.dtype() == DType::u8 ? channels_first<uint8_t>(samples)
                                      : channels_first<float>(samples);
}

std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> items;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    items.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return items;
}

CsvTable read_table(const DataSpec& spec) {
  const std::string header = spec.option("header");
  if (!header.empty() && header != "yes" && header != "no")
    throw usage_error("header=" + header, "is not one of yes, no");
  std::string separator = spec.option("separator", ",");
  if (separator == "tab") separator = "\t";
  if (separator.size() != 1) throw usage_error("separator=" + separator, "is not one character");
  return load_csv(spec.path,
                  header.empty()    ? CsvHeader::guess
                  : header == "yes" ? CsvHeader::present
                                    : CsvHeader::absent,
                  separator[0]);
}

/// The whole numbers in a column, or nothing when it holds anything else. UserError where all cells
/// are numbers but not all whole: those are no labels.
std::optional<std::vector<int64_t>> whole_numbers(const CsvTable& table, size_t column,
                                                  const std::string& where) {
  constexpr double kExact = 9007199254740992;  // up to 2^53 a double tells whole numbers apart
  std::vector<int64_t> numbers;
  size_t fraction = table.rows.size();
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto value = csv_number(table.rows[r][column]);
    if (!value) return std::nullopt;
    if (*value == std::floor(*value) && std::abs(*value) <= kExact)
      numbers.push_back(int64_t(*value));
    else
      fraction = std::min(fraction, r);
  }
  if (fraction < table.rows.size())
    throw bad_input(where + ": line " + std::to_string(table.lines[fraction]),
                    "the target " + table.rows[fraction][column] + " is no class label",
                    "labels are whole numbers or words; add task=regress to predict numbers");
  return numbers;
}

void check_class_count(size_t classes, int64_t rows, const std::string& where) {
  if (classes > 1000 && int64_t(classes) * 2 > rows)
    throw bad_input(
        where,
        "names " + std::to_string(classes) + " classes in " + std::to_string(rows) + " lines",
        "add task=regress if the target is a number");
}

/// "-1 is class 0, 0 is class 1, 1 is class 2".
std::string numbering(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t k = 0; k < std::min(names.size(), kShown); ++k)
    text += (k ? ", " : "") + names[k] + " is class " + std::to_string(k);
  return text + (names.size() > kShown ? ", …" : "");
}

/// Labels for `values`, numbered in their order; `name` says how a value is written.
template <class T, class Name>
Tensor numbered(const std::vector<T>& values, RawData& raw, Name name) {
  std::map<T, int64_t> labels;
  for (const T& v : values) labels[v] = 0;
  for (auto& [v, label] : labels) {
    label = int64_t(raw.class_names.size());
    raw.class_names.push_back(name(v));
  }
  Tensor result(DType::i64, {int64_t(values.size())});
  for (size_t r = 0; r < values.size(); ++r)
    result.mutable_data<int64_t>()[r] = labels.at(values[r]);
  return result;
}

/// Whether the numbers are 0..n-1, every one of them. Where the number of classes is given, some
/// may be missing.
bool are_labels(const std::vector<int64_t>& numbers, int64_t classes) {
  const std::set<int64_t> distinct(numbers.begin(), numbers.end());
  return *distinct.begin() >= 0 && (classes > 0 || *distinct.rbegin() < int64_t(distinct.size()));
}

/// Labels 0..n-1 stand for themselves; other whole numbers, and words, are numbered in sorted
/// order.
void set_class_column(RawData& raw, const CsvTable& table, size_t column, const DataSpec& spec) {
  const auto numbers = whole_numbers(table, column, spec.path);
  if (numbers && are_labels(*numbers, spec.classes)) {
    Tensor labels(DType::i64, {raw.rows()});
    std::copy(numbers->begin(), numbers->end(), labels.mutable_data<int64_t>());
    return set_labels(raw, std::move(labels), spec.classes, spec.path);
  }
  Tensor labels;
  if (numbers) {
    labels = numbered(*numbers, raw, [](int64_t v) { return std::to_string(v); });
  } else {
    std::vector<std::string> words;
    for (size_t r = 0; r < table.rows.size(); ++r) {
      words.push_back(table.rows[r][column]);
      if (words.back().empty())
        throw bad_input(spec.path + ": line " + std::to_string(table.lines[r]),
                        "has an empty target", "every sample needs a label");
    }
    labels = numbered(words, raw, [](const std::string& word) { return word; });
  }
  check_class_count(raw.class_names.size(), raw.rows(), spec.path);
  const auto found = int64_t(raw.class_names.size());
  if (spec.classes > 0 && spec.classes != found)
    throw bad_input(
        spec.path,
        "names " + std::to_string(found) + " classes, not " + std::to_string(spec.classes),
        "classes=N goes with labels that are numbered from 0");
  if (numbers)
    log_info(spec.path + ": labels are renumbered in their order: " + numbering(raw.class_names));
  set_labels(raw, std::move(labels), found, spec.path);
}

}  // namespace

RawData load_npz_source(const DataSpec& spec) {
  const Arrays arrays(spec.path);
  RawData raw;
  std::vector<Tensor> samples, targets;
  const auto add = [&](const std::string& x, const std::string& y, int64_t& count) {
    samples.push_back(arrays.get(x));
    targets.push_back(arrays.get(y));
    if (samples.back().rank() == 0 || targets.back().rank() == 0 ||
        samples.back().shape()[0] != targets.back().shape()[0])
      throw bad_input(spec.path, x + " has shape " + to_string(samples.back().shape()) + " and " +
                                     y + " has shape " + to_string(targets.back().shape()));
    count = samples.back().shape()[0];
  };
  const bool named = spec.extra.contains("x") || spec.extra.contains("y");
  if (!named && arrays.has("x_train")) {
    add("x_train", "y_train", raw.train);
    if (arrays.has("x_val")) add("x_val", "y_val", raw.val);
    if (arrays.has("x_test")) add("x_test", "y_test", raw.test);
  } else {
    add(spec.option("x", "x"), spec.option("y", "y"), raw.train);
  }
  raw.samples = concat_rows(samples, spec.path);
  if (raw.samples.dtype() != DType::u8) raw.samples = finite_f32(raw.samples, spec.path);
  raw.samples = as_pictures(raw.samples, spec.option("stored"), spec.path);
  Tensor target = concat_rows(targets, spec.path);
  if (is_int(target.dtype())) {
    if (target.size() == raw.rows()) target = target.reshaped({raw.rows()});  // [N, 1] of Keras
    set_labels(raw, target, spec.classes, spec.path);
  } else {
    raw.targets = finite_f32(target, spec.path);
  }
  return raw;
}

RawData load_csv_source(const DataSpec& spec) {
  const CsvTable table = read_table(spec);
  const std::string task = spec.option("task", "classify");
  if (task != "classify" && task != "regress")
    throw usage_error("task=" + task, "is not one of classify, regress");
  if (table.width() < 2) throw bad_input(spec.path, "has one column, inputs and target need two");
  const size_t target =
      table.column(spec.option("target", std::to_string(table.width() - 1)), spec.path);
  std::vector<size_t> inputs;
  if (spec.extra.contains("columns")) {
    for (const std::string& name : split_list(spec.option("columns")))
      inputs.push_back(table.column(name, spec.path));
  } else {
    for (size_t c = 0; c < table.width(); ++c)
      if (c != target) inputs.push_back(c);
  }
  RawData raw;
  raw.train = int64_t(table.rows.size());
  raw.samples = finite_f32(numeric_columns(table, inputs, spec.path), spec.path);
  if (task == "regress") {
    raw.targets = finite_f32(numeric_columns(table, {target}, spec.path), spec.path);
  } else {
    set_class_column(raw, table, target, spec);
  }
  return raw;
}

}  // namespace espalier
