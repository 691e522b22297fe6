#include "serve/service.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "serve/failures.h"

namespace espalier::serve {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> segments_of(const std::string& path) {
  std::vector<std::string> segments;
  for (size_t at = 0; at < path.size();) {
    const size_t begin = at + 1, end = std::min(path.find('/', begin), path.size());
    segments.push_back(path.substr(begin, end - begin));
    at = end;
  }
  if (!segments.empty() && segments.back().empty()) segments.pop_back();  // "/v2/" is "/v2"
  return segments;
}

/// /v2/models/NAME/versions/1/… is /v2/models/NAME/…: there is one version.
void drop_version(std::vector<std::string>& path) {
  if (path.size() < 5 || path[1] != "models" || path[3] != "versions") return;
  if (path[4] != "1") throw Rejection(404, "model '" + path[2] + "' has the version 1 only");
  path.erase(path.begin() + 3, path.begin() + 5);
}

bool is_infer(const std::vector<std::string>& path) {
  return path.size() == 4 && path[0] == "v2" && path[1] == "models" && path[3] == "infer";
}

class WrongMethod : public Rejection {
 public:
  explicit WrongMethod(std::string allowed)
      : Rejection(405, "this address takes " + allowed), allowed_(std::move(allowed)) {}
  const std::string& allowed() const { return allowed_; }

 private:
  std::string allowed_;
};

Response json(const Json& value, int status = 200) {
  return {status, "application/json", {}, value.dump()};
}

}  // namespace

Service::Service(const RequestLimits& limits, int threads) : limits_(limits), pool_(threads) {}
Service::~Service() { drain(); }

void Service::add(Graph graph, const HostOptions& options) {
  if (models_.contains(options.name))
    throw usage_error("model '" + options.name + "'", "is named twice",
                      "NAME=FILE gives a network another name");
  models_[options.name] =
      std::make_unique<HostedModel>(std::move(graph), options, limits_, metrics_, pool_);
}

HostedModel& Service::model(const std::string& name) {
  const auto found = models_.find(name);
  if (found == models_.end()) throw Rejection(404, "there is no model '" + name + "'");
  return *found->second;
}

void Service::count(const Response& response) {
  metrics_
      .counter("espalier_http_responses_total", "Responses, by status",
               {{"code", std::to_string(response.status)}})
      .add();
}

Response Service::reject(int status, const std::string& message) {
  Response response = failure(status, message);
  if (status == 503) response = overloaded(message, {});
  count(response);
  return response;
}

void Service::handle(Request request, Respond respond) {
  const auto counted = [this, respond = std::move(respond)](Response response) {
    count(response);
    respond(std::move(response));
  };
  try {
    std::vector<std::string> path = segments_of(request.path);
    drop_version(path);
    if (is_infer(path)) {
      HostedModel& host = model(path[2]);
      if (request.method != "POST") throw WrongMethod("POST");
      return host.infer(std::move(request), counted);
    }
    counted(answer(request));
  } catch (const WrongMethod& e) {
    Response response = failure(e.status(), e.what());
    response.headers.emplace_back("Allow", e.allowed());
    counted(std::move(response));
  } catch (...) {
    counted(failure_of(std::current_exception()));
  }
}

Response Service::answer(const Request& request) {
  std::vector<std::string> path = segments_of(request.path);
  drop_version(path);
  const auto is = [&](std::initializer_list<const char*> wanted) {
    return std::equal(path.begin(), path.end(), wanted.begin(), wanted.end());
  };
  const auto get = [&](Response response) {
    if (request.method != "GET" && request.method != "HEAD") throw WrongMethod("GET, HEAD");
    return response;
  };
  if (is({"metrics"}))
    return get({200, "text/plain; version=0.0.4; charset=utf-8", {}, metrics_.text()});
  if (is({"v2"}))
    return get(json({{"name", "espalier"},
                     {"version", ESPALIER_VERSION},
                     {"extensions", {"binary_tensor_data"}}}));
  if (is({"v2", "health", "live"})) return get(json({{"live", true}}));
  if (is({"v2", "health", "ready"})) return get(json({{"ready", !leaving_}}, leaving_ ? 503 : 200));
  if (is({"v2", "models"})) {
    Json names = Json::array();
    for (const auto& [name, host] : models_) names.push_back(name);
    return get(json({{"models", names}}));
  }
  if (path.size() >= 3 && path[0] == "v2" && path[1] == "models") {
    const HostedModel& host = model(path[2]);
    if (path.size() == 3) return get({200, "application/json", {}, host.metadata()});
    if (path.size() == 4 && path[3] == "ready")
      return get(json({{"name", host.name()}, {"ready", !leaving_}}, leaving_ ? 503 : 200));
  }
  throw Rejection(404, "there is nothing here; models answer at /v2/models/NAME/infer");
}

void Service::leave() {
  leaving_ = true;
  for (auto& [name, host] : models_) host->hurry();
}

void Service::drain() {
  // Models before the pool: what they admitted is decoded there, what they computed encoded.
  for (auto& [name, host] : models_) host->drain();
  pool_.finish();
}

}  // namespace espalier::serve
