// The server without its sockets, for tests: a small network and one that gives pictures back.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "formats/images.h"
#include "ir/text.h"
#include "serve/service.h"

namespace espalier::serve {

inline constexpr const char* kGood =
    R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, -1]}]})";

inline constexpr const char* kNetwork = R"(graph "small"(%x: f32[N,2]) -> (%y) {
  %w = parameter f32[2,2] [1, 2, 3, 4]
  %h: f32[N,2] = MatMul(%x, %w)
  %y: f32[N,2] = LeakyRelu(%h) {alpha = 0.5}
}
)";
inline constexpr const char* kPictures = R"(graph "pictures"(%x: f32[N,3,2,4]) -> (%y) {
  %y: f32[N,3,2,4] = Identity(%x)
}
)";

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() : service(limits(), 2) {}
  static RequestLimits limits() {
    RequestLimits l;
    l.infer.most_elements = 1000;
    l.most_pixels = 100;
    return l;
  }
  static HostOptions named(const std::string& name) {
    HostOptions o;
    o.name = name;
    return o;
  }
  void add_small() { service.add(parse_graph(kNetwork), named("small")); }
  void add_pictures() {
    HostOptions o = named("pictures");
    o.pictures = {{"x", "imagenet", PictureLayout::nchw, 0, 0}};
    service.add(parse_graph(kPictures), o);
  }

  Response ask(Request request) {
    request.received = Clock::now();
    if (request.began == Time{}) request.began = request.received;
    std::promise<Response> answer;
    service.handle(std::move(request), [&](Response r) { answer.set_value(std::move(r)); });
    return answer.get_future().get();
  }
  Response ask(const std::string& method, const std::string& path, const std::string& body = "",
               std::vector<std::pair<std::string, std::string>> headers = {}) {
    Request r;
    r.method = method;
    r.path = path;
    r.body = body;
    r.headers = std::move(headers);
    return ask(std::move(r));
  }
  Response infer(const std::string& body,
                 std::vector<std::pair<std::string, std::string>> headers = {}) {
    return ask("POST", "/v2/models/small/infer", body, std::move(headers));
  }
  static std::string error_of(const Response& r) {
    return nlohmann::json::parse(r.body).at("error").get<std::string>();
  }

  Service service;
};

inline Image picture_of_noise(int width, int height) {
  Image image{width, height, 3, {}};
  for (int i = 0; i < width * height * 3; ++i) image.pixels.push_back(uint8_t(40 + 7 * i));
  return image;
}

inline std::string header_of(const Response& r, const std::string& name) {
  for (const auto& [key, value] : r.headers)
    if (key == name) return value;
  return "";
}

}  // namespace espalier::serve
