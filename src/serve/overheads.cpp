#include "serve/overheads.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "ir/interpret.h"
#include "serve/http.h"
#include "serve/serial_server.h"
#include "serve/service.h"

namespace espalier::serve {
namespace {

constexpr const char* kModel = "pictures";

/// A handler behind sockets, in a thread of its own.
class Listening {
 public:
  explicit Listening(HttpServer::Handle handle)
      : http_(options(), std::move(handle),
              [](int status, const std::string& message) {
                return Response{status, "text/plain", {}, message, {}};
              }),
        thread_([this] { http_.run(); }) {}
  ~Listening() {
    http_.drain();
    thread_.join();
  }
  uint16_t port() const { return http_.port(); }

 private:
  static HttpOptions options() {
    HttpOptions o;
    o.port = 0;
    return o;
  }
  HttpServer http_;
  std::thread thread_;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

HostOptions host_options(const OverheadOptions& o, Shrink shrink,
                         Duration max_wait = std::chrono::hours(1)) {
  HostOptions host;
  host.name = kModel;
  host.network.max_batch = o.max_batch;
  host.network.instances = o.instances;
  host.network.threads = std::max(1, o.threads / o.instances);
  host.queue.longest_wait = max_wait;
  PictureOptions picture = o.picture;
  picture.shrink = shrink;
  host.pictures = {picture};
  return host;
}

Graph for_one(const Graph& graph) {
  Shape shape;
  for (const Dim& d : graph.value(graph.inputs()[0]).tensor().dims)
    shape.push_back(d.known() ? d.value() : 1);
  return specialised(graph, std::vector<Shape>{shape});
}

/// Our server with one way of shrinking.
struct FusedServer {
  FusedServer(const Graph& graph, const OverheadOptions& o, Shrink shrink,
              Duration max_wait = std::chrono::hours(1))
      : service(RequestLimits{}, o.threads) {
    service.add(graph, host_options(o, shrink, max_wait));
  }
  Service service;
  Listening listening{[this](Request request, Respond respond) {
    service.handle(std::move(request), std::move(respond));
  }};
};

struct SerialServer {
  SerialServer(const Graph& graph, const OverheadOptions& o)
      : model(kModel, for_one(graph), o.picture, o.threads) {}
  SerialModel model;
  Listening listening{[this](Request request, Respond respond) {
    model.infer(std::move(request), std::move(respond));
  }};
};

LoadOptions load_of(uint16_t port, const PictureSet& set, const OverheadOptions& o, int clients,
                    Duration time) {
  LoadOptions load;
  load.port = port;
  load.path = std::string("/v2/models/") + kModel + "/infer";
  load.bodies = set.files;
  load.headers = {"Inference-Header-Content-Length: 0", "Stage-Times: on"};
  load.clients = clients;
  load.most_requests = o.most_requests;
  load.longest = time;
  return load;
}

LoadResult ask(uint16_t port, const PictureSet& set, const OverheadOptions& o, int clients,
               Duration time) {
  return ask_in_closed_loop(load_of(port, set, o, clients, time));
}

std::vector<double> outputs_of(const std::string& answer) {
  const auto reply = nlohmann::json::parse(answer);
  return reply.at("outputs").at(0).at("data").get<std::vector<double>>();
}

/// |a - b| / |b|, Euclidean.
double relative_difference(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return INFINITY;
  const auto x = outputs_of(a), y = outputs_of(b);
  if (x.size() != y.size()) return INFINITY;
  double apart = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    apart += (x[i] - y[i]) * (x[i] - y[i]);
    size += y[i] * y[i];
  }
  return size > 0 ? std::sqrt(apart / size) : std::sqrt(apart);
}

/// Everything asked of one server on one set of pictures.
struct Tally {
  uint16_t port = 0;
  ServerFigures figures;
  std::vector<double> loaded;
  std::string answer;

  void lone(const PictureSet& set, const OverheadOptions& o) {
    ask(port, set, o, 1, o.time / 4);  // warms up: caches, connections, estimates
    const LoadResult r = ask(port, set, o, 1, o.time);
    figures.lone_ms = 1e3 * median(r.latencies);
    const auto count = double(std::max<int64_t>(1, r.ok));
    for (size_t i = 0; i < kStages; ++i) figures.lone_stages[i] = 1e3 * r.stages[i] / count;
    figures.lone_total = 1e3 * r.total / count;
    answer = r.first_answer;
    add(r);
  }
  void round(const PictureSet& set, const OverheadOptions& o) {
    const LoadResult r = ask(port, set, o, o.clients, o.time);
    figures.per_second.push_back(double(r.ok) / r.seconds);
    loaded.insert(loaded.end(), r.latencies.begin(), r.latencies.end());
    add(r);
  }
  void add(const LoadResult& r) {
    figures.answers += r.ok;
    figures.failures += r.shed + r.refused + r.closed + r.unconnected;
  }
  ServerFigures done() {
    figures.median_per_second = median(figures.per_second);
    figures.loaded_ms = 1e3 * median(loaded);
    return figures;
  }
};

double median_ratio(const std::vector<double>& above, const std::vector<double>& below) {
  std::vector<double> ratios;
  for (size_t i = 0; i < above.size(); ++i) ratios.push_back(above[i] / below[i]);
  return median(std::move(ratios));
}

/// Pictures a second without pictures: full batches of one tensor on every instance at once.
double network_alone(const Graph& graph, const OverheadOptions& o) {
  NetworkOptions options = host_options(o, Shrink::sample).network;
  Network network(graph, options);
  Shape shape;
  for (const Dim& d : network.signature().inputs[0].type.dims)
    shape.push_back(d.known() ? d.value() : o.max_batch);
  const Tensors input = {Tensor(DType::f32, shape)};
  const auto form = network.form(input);
  std::vector<int64_t> rows(size_t(o.instances));
  const Time begin = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < o.instances; ++i)
    threads.emplace_back([&, i] {
      const Tensors* request = &input;
      while (Clock::now() - begin < o.time) {
        form->run(i, {&request, 1});
        rows[size_t(i)] += o.max_batch;
      }
    });
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const int64_t n : rows) sum += double(n);
  return sum / seconds(Clock::now() - begin);
}

}  // namespace

double ServerFigures::overhead_share() const {
  return lone_total > 0 ? 1 - lone_stages[size_t(Stage::compute)] / lone_total : 0;
}

OverheadReport compare_servers(const Graph& graph, const std::vector<PictureSet>& sets,
                               const OverheadOptions& o, const std::function<void()>& step) {
  ESP_CHECK(!sets.empty() && o.rounds > 0 && o.clients > 0, "there is something to measure");
  OverheadReport report;
  report.network_alone = network_alone(graph, o);
  SerialServer serial(graph, o);
  FusedServer fused(graph, o, Shrink::sample), average(graph, o, Shrink::average);
  double log_ratio = 0, log_average = 0;
  for (const PictureSet& set : sets) {
    Tally tallies[3];
    const uint16_t ports[] = {serial.listening.port(), fused.listening.port(),
                              average.listening.port()};
    for (size_t i = 0; i < 3; ++i) {
      tallies[i].port = ports[i];
      tallies[i].lone(set, o);
    }
    if (step) step();
    for (int round = 0; round < o.rounds; ++round) {
      for (Tally& tally : tallies) tally.round(set, o);
      if (step) step();
    }
    OverheadFigures figures{set.name, tallies[0].done(), tallies[1].done(), tallies[2].done()};
    figures.ratio = median_ratio(figures.fused.per_second, figures.serial.per_second);
    figures.average_ratio = median_ratio(figures.average.per_second, figures.serial.per_second);
    figures.difference = relative_difference(tallies[1].answer, tallies[0].answer);
    log_ratio += std::log(figures.ratio);
    log_average += std::log(figures.average_ratio);
    report.sets.push_back(std::move(figures));
  }
  report.geometric_mean = std::exp(log_ratio / double(sets.size()));
  report.average_geometric_mean = std::exp(log_average / double(sets.size()));
  return report;
}

std::vector<RateFigures> bear_load(const Graph& graph, const PictureSet& set,
                                   const OverheadOptions& o, const RateOptions& rates,
                                   double* capacity) {
  FusedServer server(graph, o, Shrink::sample, rates.max_wait);
  const uint16_t port = server.listening.port();
  ask(port, set, o, o.clients, o.time / 4);
  const LoadResult most = ask(port, set, o, o.clients, rates.time);
  const double carried = double(most.ok) / most.seconds;
  if (capacity) *capacity = carried;
  std::vector<RateFigures> figures;
  for (const double load : rates.loads) {
    const double rate = std::max(1.0, load * carried);
    const LoadResult r =
        ask_at_rate(load_of(port, set, o, rates.connections, rates.time), rate, rates.seed);
    const int64_t failures = r.refused + r.closed + r.unconnected + r.wrong;
    figures.push_back({load, rate, double(r.ok) / r.seconds, r.ok + r.shed + failures, r.ok, r.shed,
                       failures, 1e3 * quantile(r.latencies, 0.5),
                       1e3 * quantile(r.latencies, 0.99), 1e3 * quantile(r.latencies, 1)});
  }
  return figures;
}

}  // namespace espalier::serve
