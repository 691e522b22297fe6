#include "tests/cli/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace espalier::testing {

HttpClient::HttpClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(uint16_t(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
  ::close(socket_);
  throw std::runtime_error("nobody listens at port " + std::to_string(port));
}

HttpClient::~HttpClient() { ::close(socket_); }

void HttpClient::send(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const auto n = ::send(socket_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return;  // the server has enough; what it says is read afterwards
    at += size_t(n);
  }
}

void HttpClient::finish() { ::shutdown(socket_, SHUT_WR); }

bool HttpClient::more() {
  char bytes[65536];
  const auto n = ::recv(socket_, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  buffer_.append(bytes, size_t(n));
  return true;
}

HttpAnswer HttpClient::read(bool head) {
  HttpAnswer answer;
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!more()) return {};
  for (size_t at = buffer_.find("\r\n") + 2; at < end + 2;) {
    const size_t line = buffer_.find("\r\n", at), colon = buffer_.find(": ", at);
    std::string name = buffer_.substr(at, colon - at);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    answer.headers[name] = buffer_.substr(colon + 2, line - colon - 2);
    at = line + 2;
  }
  const int status = std::stoi(buffer_.substr(9, 3));
  buffer_.erase(0, end + 4);
  const bool none = head || status == 100;
  const size_t length = none ? 0 : std::stoul(answer.headers.at("content-length"));
  while (buffer_.size() < length)
    if (!more()) return {};
  answer.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  answer.status = status;
  return answer;
}

HttpAnswer HttpClient::ask(const std::string& method, const std::string& path,
                           const std::string& body, const std::string& headers) {
  send(http_request(method, path, body, headers));
  return read(method == "HEAD");
}

bool HttpClient::closed() {
  while (more()) {
  }
  return buffer_.empty();
}

std::string http_request(const std::string& method, const std::string& path,
                         const std::string& body, const std::string& headers) {
  return method + " " + path + " HTTP/1.1\r\nHost: test\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace espalier::testing
