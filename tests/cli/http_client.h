// A client of HTTP that can be wrong on purpose.
#pragma once

#include <map>
#include <string>

namespace espalier::testing {

struct HttpAnswer {
  int status = 0;                              ///< 0: the connection ended without a response
  std::map<std::string, std::string> headers;  ///< by lower-case name
  std::string body;
};

class HttpClient {
 public:
  explicit HttpClient(int port);  ///< throws std::runtime_error when nobody listens
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Bytes as they are.
  void send(const std::string& bytes);
  /// Says that no more bytes will come.
  void finish();
  /// The next response; `head`: of a request that has no body in its response.
  HttpAnswer read(bool head = false);
  /// A whole request and its response.
  HttpAnswer ask(const std::string& method, const std::string& path, const std::string& body = "",
                 const std::string& headers = "");
  /// Waits for the server to close; whether it sent nothing before.
  bool closed();

 private:
  bool more();
  int socket_ = -1;
  std::string buffer_;
};

/// The text of a request, with its Content-Length.
std::string http_request(const std::string& method, const std::string& path,
                         const std::string& body, const std::string& headers = "");

}  // namespace espalier::testing
