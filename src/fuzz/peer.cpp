#include "fuzz/peer.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "fuzz/expected.h"
#include "onnx/export.h"

extern char** environ;

namespace espalier::fuzz {
namespace {

using Json = nlohmann::json;

/// Values go as numbers; those that JSON has none for as text.
constexpr const char* kScript = R"js('use strict';
const fs = require('fs');
const path = require('path');
const home = process.env.PEERS || path.join(require('os').homedir(), '.cache/espalier-peers');
let ort, version;
for (const place of [path.join(home, 'node_modules/onnxruntime-node'), 'onnxruntime-node']) {
  try {
    ort = require(place);
    version = require(path.join(place, 'package.json')).version;
    break;
  } catch (e) {
    if (e.code !== 'MODULE_NOT_FOUND') throw e;
  }
}
if (!ort) {
  console.log(JSON.stringify({ missing: 'onnxruntime-node is not installed: npm install --prefix ' +
    home + ' onnxruntime-node' }));
  process.exit(0);
}
const kinds = {
  f32: ['float32', Float32Array, Number], f64: ['float64', Float64Array, Number],
  i64: ['int64', BigInt64Array, BigInt], i32: ['int32', Int32Array, Number],
  i16: ['int16', Int16Array, Number], i8: ['int8', Int8Array, Number],
  u64: ['uint64', BigUint64Array, BigInt], u32: ['uint32', Uint32Array, Number],
  u16: ['uint16', Uint16Array, Number], u8: ['uint8', Uint8Array, Number],
  bool: ['bool', Uint8Array, Number],
};
const ours = Object.fromEntries(Object.entries(kinds).map(([name, [theirs]]) => [theirs, name]));
async function main(file) {
  if (!file) return { version };
  const feed = JSON.parse(fs.readFileSync(file + '.json'));
  try {
    const session = await ort.InferenceSession.create(file + '.onnx', {
      graphOptimizationLevel: 'disabled', intraOpNumThreads: 1, logSeverityLevel: 4,
    });
    const feeds = {};
    for (const { name, type, dims, data } of feed) {
      if (!kinds[type]) return { refused: 'no ' + type + ' in node' };
      const [theirs, Kind, convert] = kinds[type];
      feeds[name] = new ort.Tensor(theirs, Kind.from(data, convert), dims);
    }
    const results = await session.run(feeds);
    return { version, outputs: session.outputNames.map((key) => ({
      type: ours[results[key].type] || results[key].type, dims: results[key].dims.map(Number),
      data: Array.from(results[key].data, String),
    })) };
  } catch (e) {
    return { refused: String(e.message || e).split('\n')[0] };
  }
}
main(process.argv[2]).then((answer) => console.log(JSON.stringify(answer)));
)js";

/// What `command` writes on standard output; nothing where it cannot be started or is ended by a
/// signal.
std::optional<std::string> output_of(std::vector<std::string> command) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  std::vector<char*> words;
  for (std::string& w : command) words.push_back(w.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  if (failed == 0) {
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t n = read(ends[0], buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      text.append(buffer.data(), size_t(n));
    }
  }
  close(ends[0]);
  if (failed != 0) return std::nullopt;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status)) return std::nullopt;
  return text;
}

Json json_of(const Tensor& t, const std::string& name) {
  Json data = Json::array();
  for (int64_t i = 0; i < t.size(); ++i) {
    // 64-bit integers go as text, which BigInt reads.
    if (t.dtype() == DType::i64)
      data.push_back(std::to_string(t.int_at(i)));
    else if (t.dtype() == DType::u64)
      data.push_back(std::to_string(uint64_t(t.int_at(i))));
    else
      data.push_back(t.at(i));
  }
  return {{"name", name},
          {"type", std::string(name_of(t.dtype()))},
          {"dims", t.shape()},
          {"data", std::move(data)}};
}

double number_from(const std::string& text) {
  if (text == "true") return 1;
  if (text == "false") return 0;
  return std::strtod(text.c_str(), nullptr);  // "NaN" and "Infinity" too
}

/// Nothing for element types that node has no arrays of.
std::optional<Tensor> tensor_from(const Json& j) {
  const auto dtype = dtype_from_name(j.at("type").get<std::string>());
  if (!dtype || *dtype == DType::string) return std::nullopt;
  const Shape shape = j.at("dims").get<Shape>();
  const Json& data = j.at("data");
  if (numel(shape) != int64_t(data.size())) return std::nullopt;
  if (*dtype == DType::i64) {
    Tensor t(*dtype, shape);
    for (size_t i = 0; i < data.size(); ++i)
      t.mutable_data<int64_t>()[i] = std::strtoll(data[i].get<std::string>().c_str(), nullptr, 10);
    return t;
  }
  Tensor wide(DType::f64, shape);
  for (size_t i = 0; i < data.size(); ++i)
    wide.mutable_data<double>()[i] = number_from(data[i].get<std::string>());
  return wide.cast(*dtype);
}

}  // namespace

Peer::Peer(std::filesystem::path folder) : folder_(std::move(folder)) {
  make_folder(folder_);
  write_file_atomic(folder_ / "peer.cjs", kScript, Sync::no);
  const auto answer = output_of({"node", (folder_ / "peer.cjs").string()});
  const Json j = Json::parse(answer.value_or(""), nullptr, /*allow_exceptions=*/false);
  if (!answer)
    missing_ = "node is not installed";
  else if (!j.is_object() || (!j.contains("version") && !j.contains("missing")))
    missing_ = "node does not run";
  else if (j.contains("missing"))
    missing_ = j["missing"].get<std::string>();
  else
    version_ = j["version"].get<std::string>();
}

std::optional<Finding> Peer::compare(const Case& c, std::string* refused) const {
  const auto none = [&](const std::string& why) {
    if (refused) *refused = why;
    return std::nullopt;
  };
  if (!missing_.empty()) return none(missing_);
  const std::string file = (folder_ / "case").string();
  const std::vector<Tensor> inputs = inputs_of(c);
  Json feed = Json::array();
  for (size_t i = 0; i < inputs.size(); ++i)
    feed.push_back(json_of(inputs[i], c.graph.value(c.graph.inputs()[i]).name));
  try {
    write_file_atomic(file + ".onnx", export_onnx_bytes(c.graph), Sync::no);
  } catch (const UserError& e) {
    if (e.code() == ExitCode::kUnsupported) return none(e.what());
    return Finding{"peer", std::string("refused: ") + e.what()};
  }
  write_file_atomic(file + ".json", feed.dump(), Sync::no);
  const auto answer = output_of({"node", (folder_ / "peer.cjs").string(), file});
  const Json j = Json::parse(answer.value_or(""), nullptr, false);
  if (!answer || !j.is_object()) return none("ONNX Runtime did not survive it");
  if (j.contains("refused")) return none(j["refused"].get<std::string>());
  if (!j.contains("outputs")) return none("ONNX Runtime gave no answer");
  std::vector<Tensor> got;
  for (const Json& output : j["outputs"]) {
    auto t = tensor_from(output);
    if (!t) return none("node has no arrays for its results");
    got.push_back(std::move(*t));
  }
  if (const auto d = difference(expected(c.graph, inputs), got))
    return Finding{"peer", "in ONNX Runtime " + version_ + ", " + *d};
  return std::nullopt;
}

}  // namespace espalier::fuzz
