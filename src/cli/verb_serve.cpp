// espalier serve: networks over HTTP, by the Open Inference Protocol.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/threads.h"
#include "cli/compile_options.h"
#include "cli/output.h"
#include "cli/served_model.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "serve/server.h"

namespace espalier::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Args {
  std::vector<std::string> models;
  std::string host = "127.0.0.1";
  int port = 8000;
  int64_t max_batch = 8, instances = 1, queue = 256;
  double max_delay_ms = 0, max_wait_ms = 1000, timeout_ms = 30000;
  bool reference = false, tuned = false;
  int64_t max_body_mb = 64, max_header_kb = 16, max_elements = int64_t{1} << 24,
          max_pixels = int64_t{1} << 25, connections = 512;
};

serve::HostOptions defaults_of(const Args& args) {
  serve::HostOptions o;
  o.network.max_batch = args.max_batch;
  o.network.instances = int(args.instances);
  o.network.reference = args.reference;
  o.queue.most_waiting = args.queue;
  o.queue.max_delay = serve::milliseconds(args.max_delay_ms);
  o.queue.longest_wait = serve::milliseconds(args.max_wait_ms);
  o.timeout = serve::milliseconds(args.timeout_ms);
  return o;
}

serve::RequestLimits limits_of(const Args& args) {
  return {{args.max_elements}, uint64_t(args.max_pixels)};
}

serve::HttpOptions http_of(const Args& args) {
  serve::HttpOptions http;
  http.host = args.host;
  http.port = uint16_t(args.port);
  http.most_connections = args.connections;
  http.most_body = uint64_t(args.max_body_mb) << 20;
  http.most_header = uint32_t(args.max_header_kb) << 10;
  return http;
}

void add_model(serve::Service& service, ServedModel model, bool tuned) {
  // The threads asked for are a model's; its instances share them.
  model.options.network.threads = std::max(1, num_threads() / model.options.network.instances);
  if (tuned) model.options.network.choices = tuned_choices(model.options.network.threads);
  try {
    service.add(load_served_model(model), model.options);
  } catch (const UserError& e) {
    if (e.where().starts_with(model.file)) throw;
    throw e.within(model.file);
  }
  const serve::Network& network = service.models().at(model.options.name)->network();
  if (!network.lone_because().empty() && model.options.network.max_batch > 1)
    log_info(model.options.name + ": requests are run one by one: " + network.lone_because());
}

void announce(const Args& args, const serve::Service& service, uint16_t port,
              const Common& common) {
  Json names = Json::array();
  std::string list;
  for (const auto& [name, host] : service.models()) {
    names.push_back(name);
    list += (list.empty() ? "" : ", ") + name;
  }
  if (common.json) {
    print_json({{"host", args.host}, {"port", port}, {"models", names}});
  } else {
    const bool v6 = args.host.find(':') != std::string::npos;
    std::printf("serving %s on http://%s:%d\n", list.c_str(),
                (v6 ? "[" + args.host + "]" : args.host).c_str(), int(port));
  }
  std::fflush(stdout);
}

ExitCode serve_models(const Args& args, const Common& common) {
  serve::StopSignals signals;  // before there are other threads
  std::vector<ServedModel> models;
  for (const std::string& text : args.models)
    models.push_back(parse_served_model(text, defaults_of(args)));
  serve::Service service(limits_of(args), std::max(2, available_cpus()));
  for (ServedModel& model : models) add_model(service, std::move(model), args.tuned);
  serve::serve(service, http_of(args), signals,
               [&](uint16_t port) { announce(args, service, port, common); });
  return ExitCode::kOk;
}

void add_batching(CLI::App& app, Args& args) {
  const auto group = [](CLI::Option* option) { option->group("Models (defaults for all)"); };
  group(app.add_option("--max-batch", args.max_batch,
                       "Rows of requests that run together (default 8; 1: none do)")
            ->transform(whole_number(1, serve::kLargestBatch)));
  group(app.add_option("--max-delay", args.max_delay_ms,
                       "Milliseconds a batch waits for company when nothing runs (default 0)")
            ->check(finite_number(0, serve::kMostMilliseconds)));
  group(app.add_option("--instances", args.instances,
                       "Batches of a model that run at the same time (default 1); they share "
                       "--threads")
            ->transform(whole_number(1, serve::kMostInstances)));
  group(app.add_option("--queue", args.queue,
                       "Requests of a model that may wait; more are told 503 (default 256)")
            ->transform(whole_number(1, serve::kLongestQueue)));
  group(app.add_option("--max-wait", args.max_wait_ms,
                       "Requests that would wait for more milliseconds are told 503 (default 1000)")
            ->check(finite_number(0, serve::kMostMilliseconds)));
  group(app.add_option("--timeout", args.timeout_ms,
                       "Milliseconds after which a request that did not run yet is told 504, "
                       "unless it says less itself (default 30000; 0: never)")
            ->check(finite_number(0, serve::kMostMilliseconds)));
  group(app.add_flag("--reference", args.reference,
                     "Compute with the plain reference loops instead of kernels"));
  group(app.add_flag("--tuned", args.tuned,
                     "Use the kernels that bench --tune found to be faster on this machine"));
}

void add_limits(CLI::App& app, Args& args) {
  const auto group = [](CLI::Option* option) { option->group("Limits"); };
  group(app.add_option("--max-body", args.max_body_mb, "MiB of a request's body (default 64)")
            ->transform(whole_number(1, 4096)));
  group(app.add_option("--max-header", args.max_header_kb, "KiB of a request's header (default 16)")
            ->transform(whole_number(1, 64)));
  group(app.add_option("--max-elements", args.max_elements,
                       "Elements of a request's inputs (default 16777216)")
            ->transform(whole_number(1, int64_t{1} << 32)));
  group(app.add_option("--max-pixels", args.max_pixels, "Pixels of a picture (default 33554432)")
            ->transform(whole_number(1, int64_t{1} << 28)));
  group(app.add_option("--connections", args.connections,
                       "Connections open at the same time (default 512)")
            ->transform(whole_number(1, 65536)));
}

}  // namespace

Action serve_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("models", args->models,
                 "Networks (.onnx, .tflite, .esp, .plan, .yaml), as [NAME=]FILE[?key=value&…]")
      ->required()
      ->check(given("the file name"))
      ->option_text("M ...");
  app.add_option("--host", args->host,
                 "Address to listen at (default 127.0.0.1: this machine only)")
      ->check(given("the address"));
  app.add_option("--port", args->port, "Port to listen at (default 8000; 0: a free one)")
      ->transform(whole_number(0, 65535));
  add_batching(app, *args);
  add_limits(app, *args);
  app.footer(
      "Examples:\n"
      "  espalier serve net.onnx\n"
      "  espalier serve net.onnx other=path.plan --port 8080 --host 0.0.0.0\n"
      "  espalier serve 'net.onnx?image=x&normalize=imagenet&max_batch=16'   JPEG and PNG in\n"
      "  espalier serve 'net.onnx?instances=2&max_delay=2' --threads 4\n"
      "then\n"
      "  curl localhost:8000/v2/models/net                 what it takes\n"
      "  curl localhost:8000/v2/models/net/infer -d '{\"inputs\": [{\"name\": \"x\",\n"
      "    \"datatype\": \"FP32\", \"shape\": [1, 2], \"data\": [1, -1]}]}'\n"
      "  curl localhost:8000/metrics                       for Prometheus\n"
      "Keys of a model: max_batch, max_delay, instances, queue, max_wait, timeout as the options;\n"
      "weights=FILE.safetensors replaces parameters; shape.INPUT=1,3,224,224 fixes a shape;\n"
      "image=INPUT lets an input take pictures, with normalize, layout, resize and shrink as in\n"
      "docs/data.md; shrink=average makes large JPEGs cheap, instances as many as --threads gives\n"
      "the most answers a second.\n"
      "The header 'Stage-Times: on' asks a request where its time went (Server-Timing).\n"
      "Ctrl-C or SIGTERM finishes what was accepted and exits 0; a second one stops at once.\n"
      "The whole of it: docs/serving.md");
  return [args](const Common& common) { return serve_models(*args, common); };
}

}  // namespace espalier::cli
