// npz:FILE and csv:FILE.
#include <algorithm>
#include <map>
#include <optional>

#include "base/files.h"
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

/// Whole numbers are labels as they stand; anything else names a class, in alphabetical order.
void set_class_column(RawData& raw, const CsvTable& table, size_t column, const DataSpec& spec) {
  std::map<std::string, int64_t> names;
  bool numeric = true;
  for (const auto& row : table.rows) {
    names[row[column]] = 0;
    numeric = numeric && !row[column].empty() && row[column].size() <= 9 &&
              row[column].find_first_not_of("0123456789") == std::string::npos;
  }
  Tensor labels(DType::i64, {raw.rows()});
  auto* out = labels.mutable_data<int64_t>();
  if (numeric) {
    for (size_t r = 0; r < table.rows.size(); ++r) out[r] = std::stoll(table.rows[r][column]);
  } else {
    int64_t next = 0;
    for (auto& [name, label] : names) {
      label = next++;
      raw.class_names.push_back(name);
    }
    for (size_t r = 0; r < table.rows.size(); ++r) out[r] = names.at(table.rows[r][column]);
    if (next > 1000 && next * 2 > raw.rows())
      throw bad_input(
          spec.path,
          "names " + std::to_string(next) + " classes in " + std::to_string(raw.rows()) + " lines",
          "add task=regress if the target is a number");
  }
  set_labels(raw, std::move(labels), numeric ? spec.classes : int64_t(raw.class_names.size()),
             spec.path);
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
