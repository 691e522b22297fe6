#include "cli/served_model.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "cli/model_file.h"
#include "data/spec.h"
#include "ir/interpret.h"
#include "recipe/weights.h"

namespace espalier::cli {
namespace {

constexpr const char* kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
constexpr const char* kKeys =
    "keys are max_batch, max_delay, instances, queue, max_wait, timeout, weights, shape.INPUT, "
    "image, normalize, layout, resize, shrink";

bool is_name(const std::string& text) {
  return !text.empty() && text.find_first_not_of(kNameCharacters) == std::string::npos;
}

template <class T>
T number(const std::string& key, const std::string& value, T least, T most, const char* what) {
  T parsed{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (error != std::errc() || end != value.data() + value.size() || !(parsed >= least) ||
      !(parsed <= most))
    throw usage_error(key + "=" + value, std::string("is not ") + what);
  return parsed;
}

int64_t count(const std::string& key, const std::string& value, int64_t most) {
  return number<int64_t>(key, value, 1, most,
                         ("a whole number between 1 and " + std::to_string(most)).c_str());
}

serve::Duration waiting_time(const std::string& key, const std::string& value) {
  return serve::milliseconds(
      number<double>(key, value, 0, serve::kMostMilliseconds, "a number of milliseconds"));
}

class Parser {
 public:
  Parser(const std::string& text, const serve::HostOptions& defaults)
      : where_("model '" + text + "'") {
    model_.options = defaults;
    const size_t question = text.find('?');
    take_file(text.substr(0, question));
    if (question != text.npos) take_keys(text.substr(question + 1));
    if (!picture_.input.empty())
      model_.options.pictures.push_back(picture_);
    else if (!picture_key_.empty())
      throw usage_error(where_, "has '" + picture_key_ + "' without image=INPUT",
                        "image= names the input that takes pictures");
  }
  ServedModel take() && { return std::move(model_); }

 private:
  void take_file(const std::string& text) {
    const size_t equals = text.find('=');
    // "a/b=c.onnx" is a file with '=' in its name: names have no '/'.
    const bool named = equals != text.npos && text.find('/') > equals;
    model_.file = named ? text.substr(equals + 1) : text;
    if (model_.file.empty()) throw usage_error(where_, "names no file");
    model_.options.name =
        named ? text.substr(0, equals) : std::filesystem::path(text).stem().string();
    if (!is_name(model_.options.name))
      throw usage_error(where_, "'" + model_.options.name + "' is no name for a model",
                        "NAME=FILE names it, in letters, digits and _.-");
  }

  void take_keys(std::string rest) {
    std::set<std::string> seen;
    while (!rest.empty()) {
      const size_t end = rest.find('&');
      const std::string pair = rest.substr(0, end);
      const size_t equals = pair.find('=');
      if (equals == pair.npos || equals == 0)
        throw usage_error(where_, "'" + pair + "' is not key=value", kKeys);
      const std::string key = pair.substr(0, equals);
      if (!seen.insert(key).second) throw usage_error(where_, "gives '" + key + "' twice");
      take_key(key, pair.substr(equals + 1));
      rest = end == rest.npos ? "" : rest.substr(end + 1);
    }
  }

  void take_key(const std::string& key, const std::string& value) {
    serve::HostOptions& o = model_.options;
    if (key == "max_batch") {
      o.network.max_batch = count(key, value, serve::kLargestBatch);
    } else if (key == "max_delay") {
      o.queue.max_delay = waiting_time(key, value);
    } else if (key == "instances") {
      o.network.instances = int(count(key, value, serve::kMostInstances));
    } else if (key == "queue") {
      o.queue.most_waiting = count(key, value, serve::kLongestQueue);
    } else if (key == "max_wait") {
      o.queue.longest_wait = waiting_time(key, value);
    } else if (key == "timeout") {
      o.timeout = waiting_time(key, value);
    } else if (key == "weights") {
      model_.weights = value;
      if (value.empty()) throw usage_error(where_, "weights= names no file");
    } else if (key.starts_with("shape.")) {
      model_.shapes[key.substr(6)] = parse_shape(value, key + "=" + value);
    } else if (key == "image") {
      picture_.input = value;
      if (value.empty()) throw usage_error(where_, "image= names no input");
    } else if (key == "normalize" || key == "layout" || key == "resize" || key == "shrink") {
      picture_key_ = key;
      take_picture_key(key, value);
    } else {
      throw usage_error(where_, "has no key '" + key + "'", kKeys);
    }
  }

  /// These keys are those of data sets.
  void take_picture_key(const std::string& key, const std::string& value) {
    if (key == "shrink") {
      picture_.shrink = shrink_named(value);
      return;
    }
    DataSpec spec;
    spec.set(key, value);
    if (key == "normalize") picture_.normalize = spec.normalize;
    if (key == "layout") picture_.layout = spec.layout;
    if (key == "resize") {
      picture_.height = spec.height;
      picture_.width = spec.width;
    }
  }

  std::string where_;
  ServedModel model_;
  serve::PictureOptions picture_;
  std::string picture_key_;
};

}  // namespace

Graph load_served_model(const ServedModel& model) {
  Graph graph = load_model(model.file, model.shapes);
  if (!model.weights.empty()) load_weights(graph, model.weights);
  for (const auto& [name, shape] : model.shapes) {
    const ValueId v = graph.find(name);
    const std::string where = "shape." + name;
    if (v == kNoValue || std::ranges::find(graph.inputs(), v) == graph.inputs().end())
      throw usage_error(where, "the network has no input named '" + name + "'");
    const Type& type = graph.value(v).type;
    const auto dtype = element_type_of(type);
    if (!dtype || !refines(TensorType(*dtype, shape), type))
      throw usage_error(where, "input '" + name + "' is " + to_string(type) + ", which cannot be " +
                                   to_string(shape));
    graph.mutable_value(v).type = TensorType(*dtype, shape);
  }
  if (!model.shapes.empty()) reinfer(graph);
  return graph;
}

ServedModel parse_served_model(const std::string& text, const serve::HostOptions& defaults) {
  return Parser(text, defaults).take();
}

}  // namespace espalier::cli
