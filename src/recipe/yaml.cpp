#include "recipe/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/files.h"

namespace espalier {
namespace {

/// A value takes up to some 600 bytes while a text is read.
constexpr int kMaxValues = 100'000;
constexpr size_t kMaxBytes = 200'000;
constexpr int kMaxDepth = 200;
const std::vector<std::string> kBooleans = {"false", "true"};

/// A hint at the key of `map`, none of `known`, that may be meant to be `key`.
std::string misspelt(const Yaml& map, std::string_view key, const std::vector<std::string>& known) {
  if (!map.is_map()) return "";
  for (const auto& [given, value] : map.entries())
    if (std::find(known.begin(), known.end(), given.text()) == known.end() &&
        edit_distance(given.text(), key) <= std::min(misspelling_tolerance(key), key.size() / 2))
      return "is '" + given.text() + "' at " + given.where() + " meant to be it?";
  return "";
}

}  // namespace

/// Turns yaml-cpp's tree into ours.
class YamlReader {
 public:
  explicit YamlReader(const std::string& file) : file_(std::make_shared<const std::string>(file)) {}

  Yaml read(std::string_view text) {
    if (text.size() > kMaxBytes)
      throw bad_input(*file_, "is longer than the " + std::to_string(kMaxBytes) +
                                  " bytes that a recipe or definition may have");
    try {
      return convert(YAML::Load(std::string(text)), 0);
    } catch (const YAML::Exception& e) {
      const std::string line = e.mark.is_null() ? "" : ":" + std::to_string(e.mark.line + 1);
      throw bad_input(*file_ + line, "is not valid YAML: " + e.msg);
    }
  }

  static void emit(const Yaml& value, YAML::Emitter& out) {
    switch (value.kind_) {
      case Yaml::Kind::kNull: out << YAML::Null; return;
      case Yaml::Kind::kScalar:
        if (value.quoted_) out << YAML::DoubleQuoted;
        out << value.text_;
        return;
      case Yaml::Kind::kList: {
        const bool flat = std::all_of(value.items_.begin(), value.items_.end(),
                                      [](const Yaml& v) { return v.is_scalar(); });
        out << (flat ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
        for (const Yaml& item : value.items_) emit(item, out);
        out << YAML::EndSeq;
        return;
      }
      case Yaml::Kind::kMap:
        out << YAML::Block << YAML::BeginMap;
        for (const auto& [key, entry] : value.entries_) {
          out << YAML::Key;
          emit(key, out);
          out << YAML::Value;
          emit(entry, out);
        }
        out << YAML::EndMap;
        return;
    }
  }

 private:
  Yaml convert(const YAML::Node& node, int depth) {
    Yaml v;
    v.file_ = file_;
    v.line_ = node.Mark().is_null() ? 1 : node.Mark().line + 1;
    if (++values_ > kMaxValues) v.fail("its aliases unfold into too many values");
    if (depth > kMaxDepth) v.fail("is nested too deeply", "an alias may not contain itself");
    if (node.IsScalar()) {
      v.kind_ = Yaml::Kind::kScalar;
      v.text_ = node.Scalar();
      v.quoted_ = node.Tag() == "!";
    } else if (node.IsSequence()) {
      v.kind_ = Yaml::Kind::kList;
      for (const auto& item : node) v.items_.push_back(convert(item, depth + 1));
    } else if (node.IsMap()) {
      v.kind_ = Yaml::Kind::kMap;
      std::set<std::string> seen;
      for (const auto& entry : node) {
        Yaml key = convert(entry.first, depth + 1);
        if (!key.is_scalar()) key.fail("a key must be a plain word");
        if (!seen.insert(key.text_).second) key.fail("the key '" + key.text_ + "' is given twice");
        v.entries_.emplace_back(std::move(key), convert(entry.second, depth + 1));
      }
    }
    return v;
  }

  std::shared_ptr<const std::string> file_;
  int values_ = 0;
};

Yaml Yaml::load(const std::filesystem::path& path) { return parse(read_file(path), path.string()); }

Yaml Yaml::parse(std::string_view text, const std::string& file) {
  return YamlReader(file).read(text);
}

Yaml Yaml::scalar(std::string text, const Yaml& place) {
  Yaml v;
  v.kind_ = Kind::kScalar;
  v.text_ = std::move(text);
  v.line_ = place.line_;
  v.file_ = place.file_;
  v.argument_ = place.argument_;
  return v;
}

Yaml Yaml::argument(std::string text, const std::string& argument, const Yaml& place) {
  Yaml v = scalar(std::move(text), place);
  v.argument_ = std::make_shared<const std::string>(argument);
  return v;
}

Yaml Yaml::empty_map(const Yaml& place) {
  Yaml v = scalar("", place);
  v.kind_ = Kind::kMap;
  return v;
}

std::string Yaml::where() const {
  if (argument_) return *argument_;
  return (file_ ? *file_ : std::string("<recipe>")) + ":" + std::to_string(line_);
}

void Yaml::fail(std::string what, std::string hint) const {
  throw UserError(is_argument() ? ExitCode::kUsage : ExitCode::kBadInput, where(), std::move(what),
                  std::move(hint));
}

const std::string& Yaml::text() const {
  if (!is_scalar()) fail("a single value is needed here");
  return text_;
}

int64_t Yaml::integer() const {
  int64_t value = 0;
  const std::string& t = text();
  const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), value);
  if (error != std::errc() || end != t.data() + t.size()) fail("'" + t + "' is no whole number");
  return value;
}

double Yaml::number() const {
  double value = 0;
  const std::string& t = text();
  const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), value);
  if (error != std::errc() || end != t.data() + t.size() || !std::isfinite(value))
    fail("'" + t + "' is no number");
  return value;
}

bool Yaml::boolean() const {
  const std::string& t = text();
  if (t != kBooleans[0] && t != kBooleans[1]) fail("'" + t + "' is neither true nor false");
  return t == kBooleans[1];
}

const std::vector<Yaml>& Yaml::items() const {
  if (!is_list()) fail("a list is needed here");
  return items_;
}

std::vector<Yaml>& Yaml::items() {
  if (!is_list()) fail("a list is needed here");
  return items_;
}

const std::vector<std::pair<Yaml, Yaml>>& Yaml::entries() const {
  if (!is_map()) fail("keys and values are needed here");
  return entries_;
}

std::vector<std::pair<Yaml, Yaml>>& Yaml::entries() {
  if (!is_map()) fail("keys and values are needed here");
  return entries_;
}

const Yaml* Yaml::find(std::string_view key) const {
  for (const auto& [k, v] : entries())
    if (k.text_ == key) return &v;
  return nullptr;
}

void Yaml::set(std::string_view key, Yaml value) {
  for (auto& [k, v] : entries()) {
    if (k.text_ != key) continue;
    v = std::move(value);
    return;
  }
  Yaml name = scalar(std::string(key), value.file_ ? value : *this);
  entries().emplace_back(std::move(name), std::move(value));
}

void Yaml::set(std::string_view key, std::string text) { set(key, scalar(std::move(text), *this)); }

std::string Yaml::dump() const {
  YAML::Emitter out;
  YamlReader::emit(*this, out);
  return std::string(out.c_str()) + "\n";
}

Fields::Fields(const Yaml& map, std::string what) : map_(map), what_(std::move(what)) {
  if (!map.is_null() && !map.is_map())
    map.fail(what_ + " takes keys and values", "write it as {key: value, ...}");
}

const Yaml* Fields::find(std::string_view key) {
  asked_.emplace_back(key);
  return map_.is_null() ? nullptr : map_.find(key);
}

const Yaml& Fields::require(std::string_view key) {
  const Yaml* v = find(key);
  if (!v) map_.fail(what_ + " lacks '" + std::string(key) + "'", misspelt(map_, key, asked_));
  return *v;
}

namespace {

int64_t within(const Yaml& v, std::string_view key, int64_t lo, int64_t hi) {
  const int64_t value = v.integer();
  if (value < lo || value > hi)
    v.fail(std::string(key) + " is " + std::to_string(value) + ", it must be " +
           (hi == Fields::kMaxInt
                ? "at least " + std::to_string(lo)
                : "between " + std::to_string(lo) + " and " + std::to_string(hi)));
  return value;
}

std::string shortest(double v) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  return std::string(buffer, end);
}

}  // namespace

int64_t Fields::integer(std::string_view key, int64_t fallback, int64_t lo, int64_t hi) {
  const Yaml* v = find(key);
  return v ? within(*v, key, lo, hi) : fallback;
}

int64_t Fields::require_integer(std::string_view key, int64_t lo, int64_t hi) {
  return within(require(key), key, lo, hi);
}

double Fields::number(std::string_view key, double fallback, double lo, double hi) {
  const Yaml* v = find(key);
  if (!v) return fallback;
  const double value = v->number();
  if (value < lo || value > hi)
    v->fail(std::string(key) + " is " + shortest(value) + ", it must be " +
            (std::isinf(hi) ? "at least " + shortest(lo)
                            : "between " + shortest(lo) + " and " + shortest(hi)));
  return value;
}

bool Fields::boolean(std::string_view key, bool fallback) {
  const Yaml* v = find(key);
  return v ? v->boolean() : fallback;
}

std::string Fields::string(std::string_view key, std::string fallback) {
  const Yaml* v = find(key);
  return v ? v->text() : fallback;
}

std::string Fields::require_string(std::string_view key) { return require(key).text(); }

size_t Fields::choice(std::string_view key, size_t fallback,
                      const std::vector<std::string>& choices) {
  const Yaml* v = find(key);
  if (!v) return fallback;
  const auto it = std::find(choices.begin(), choices.end(), v->text());
  if (it == choices.end())
    v->fail(std::string(key) + " cannot be '" + v->text() + "'", suggestion(v->text(), choices));
  return size_t(it - choices.begin());
}

void Fields::done() const {
  if (map_.is_null()) return;
  for (const auto& [key, value] : map_.entries())
    if (std::find(asked_.begin(), asked_.end(), key.text()) == asked_.end())
      key.fail(what_ + " has no key '" + key.text() + "'", suggestion(key.text(), asked_));
}

}  // namespace espalier
