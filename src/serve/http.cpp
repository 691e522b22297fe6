#include "serve/http.h"

#include <sys/socket.h>

#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace espalier::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

/// Bytes read ahead of a body; more than any header may have.
constexpr size_t kBuffer = size_t{128} << 10;
/// How long a closed connection is read on, so that the client sees the answer before the reset.
constexpr std::chrono::seconds kLinger(2);
constexpr size_t kLingerBytes = size_t{16} << 20;

class Connection;

struct Shared {
  HttpOptions options;
  HttpServer::Handle handle;
  HttpServer::Reject reject;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer pause{io};
  // Requests that are being answered keep run() going though no socket does anything.
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::set<std::shared_ptr<Connection>> connections;
  std::atomic<int64_t> count{0};
  bool draining = false;

  void accept();
  void enter(const std::shared_ptr<Connection>& c);
  void leave(const std::shared_ptr<Connection>& c);
  void drain();
};

std::string text_of(beast::string_view view) { return {view.data(), view.size()}; }

/// A client's socket through all its requests. Everything runs on the one thread of the loop.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, Shared& shared) : stream_(std::move(socket)), shared_(shared) {}

  /// Waits for the first byte of the next request.
  void wait() {
    parser_.emplace();
    parser_->header_limit(shared_.options.most_header);
    parser_->body_limit(shared_.options.most_body);
    if (buffer_.size() > 0) return read_header();
    if (shared_.draining) return close();
    idle_ = true;
    stream_.expires_after(shared_.options.idle);
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = shared_from_this()](error_code error, size_t n) {
                              self->idle_ = false;
                              if (error) return self->close();
                              self->buffer_.commit(n);
                              self->read_header();
                            });
  }

  bool idle() const { return idle_; }

  void close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
    shared_.leave(shared_from_this());
  }

  /// Answers what is no request and ends the connection.
  void reject(int status, const std::string& message) {
    keep_ = false;
    head_ = false;
    send(shared_.reject(status, message));
  }

 private:
  void read_header() {
    began_ = Clock::now();
    stream_.expires_after(shared_.options.receive);
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](error_code error, size_t) {
                              if (error) return self->unreadable(error);
                              self->check_header();
                            });
  }

  void check_header() {
    const auto& header = parser_->get();
    const bool chunked = parser_->chunked();
    if (!chunked && header.count(http::field::transfer_encoding) > 0)
      return reject(501, "Transfer-Encoding: only chunked is understood");
    if (chunked && !beast::iequals(header[http::field::transfer_encoding], "chunked"))
      return reject(501, "Transfer-Encoding: only chunked is understood");
    if (header.version() >= 11 && header.count(http::field::host) != 1)
      return reject(400, "Host: HTTP/1.1 wants it once");
    const auto expect = header[http::field::expect];
    if (expect.empty() || header.version() < 11) return read_body();
    if (!beast::iequals(expect, "100-continue"))
      return reject(417, "Expect: only 100-continue is understood");
    static const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(stream_, asio::buffer(kContinue),
                      [self = shared_from_this()](error_code error, size_t) {
                        if (error) return self->close();
                        self->read_body();
                      });
  }

  void read_body() {
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) {
                       if (error) return self->unreadable(error);
                       self->hand_over();
                     });
  }

  /// Why no request could be read.
  void unreadable(error_code error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return reject(431, "the header is longer than " +
                             std::to_string(shared_.options.most_header) + " bytes");
    if (error == http::error::body_limit)
      return reject(
          413, "the body is longer than " + std::to_string(shared_.options.most_body) + " bytes");
    const bool syntax =
        error.category() == http::make_error_code(http::error::bad_method).category();
    if (!syntax || error == http::error::end_of_stream || error == http::error::partial_message)
      return close();
    reject(400, "this is no HTTP request: " + error.message());
  }

  void hand_over() {
    auto message = parser_->release();
    keep_ = message.keep_alive();
    head_ = message.method() == http::verb::head;
    version_ = message.version();
    Request request;
    request.method = text_of(message.method_string());
    request.path = text_of(message.target().substr(0, message.target().find('?')));
    for (const auto& field : message)
      request.headers.emplace_back(text_of(field.name_string()), text_of(field.value()));
    request.body = std::move(message.body());
    request.began = began_;
    request.received = Clock::now();
    gone_ = std::make_shared<std::atomic<bool>>(false);
    request.gone = [gone = gone_] { return gone->load(std::memory_order_relaxed); };
    stream_.expires_never();
    answering_ = true;
    watch();
    shared_.handle(std::move(request), [self = shared_from_this()](Response response) {
      auto shared = std::make_shared<Response>(std::move(response));
      asio::post(self->stream_.get_executor(), [self, shared] {
        self->answering_ = false;
        error_code ignored;
        self->stream_.socket().cancel(ignored);  // the watch
        self->send(std::move(*shared));
      });
    });
  }

  /// Notes when the client hangs up before it has its answer.
  void watch() {
    stream_.socket().async_wait(
        tcp::socket::wait_read, [self = shared_from_this(), gone = gone_](error_code error) {
          if (error || !self->answering_ || gone != self->gone_) return;
          char byte;
          const auto n =
              ::recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
          // More bytes are its next request; they wait.
          if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            gone->store(true, std::memory_order_relaxed);
        });
  }

  void send(Response response) {
    keep_ = keep_ && !shared_.draining;
    response_ = {};
    response_.version(version_);
    response_.result(unsigned(response.status));
    response_.set(http::field::server, "espalier");
    response_.set(http::field::content_type, response.type);
    for (const auto& [name, value] : response.headers) response_.set(name, value);
    response_.keep_alive(keep_);
    response_.content_length(response.body.size());
    if (!head_) response_.body() = std::move(response.body);
    sent_ = std::move(response.sent);
    stream_.expires_after(shared_.options.send);
    http::async_write(stream_, response_, [self = shared_from_this()](error_code error, size_t) {
      self->response_ = {};
      const auto sent = std::exchange(self->sent_, nullptr);
      if (error) return self->close();
      if (sent) sent();
      if (!self->keep_) return self->linger();
      self->wait();
    });
  }

  /// Closing while bytes of the client are unread would reset the connection and might take the
  /// answer with it.
  void linger() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kLinger);
    discard();
  }
  void discard() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kBuffer),
                            [self = shared_from_this()](error_code error, size_t n) {
                              self->discarded_ += n;
                              if (error || self->discarded_ > kLingerBytes) return self->close();
                              self->discard();
                            });
  }

  beast::tcp_stream stream_;
  Shared& shared_;
  beast::flat_buffer buffer_{kBuffer};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::function<void()> sent_;
  std::shared_ptr<std::atomic<bool>> gone_;
  Time began_{};
  size_t discarded_ = 0;
  unsigned version_ = 11;
  bool idle_ = false, answering_ = false, keep_ = true, head_ = false;
};

void Shared::enter(const std::shared_ptr<Connection>& c) {
  connections.insert(c);
  count = int64_t(connections.size());
}

void Shared::leave(const std::shared_ptr<Connection>& c) {
  connections.erase(c);
  count = int64_t(connections.size());
  if (draining && connections.empty()) work.reset();
}

void Shared::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (draining || error == asio::error::operation_aborted) return;
    if (error) {
      // No descriptors are left, most likely: some will be, soon.
      pause.expires_after(std::chrono::milliseconds(50));
      pause.async_wait([this](error_code stopped) {
        if (!stopped && !draining) accept();
      });
      return;
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const bool full = count >= options.most_connections;
    // Those that are told so linger for a moment; beyond as many again, nobody is told.
    if (count < 2 * options.most_connections) {
      const auto connection = std::make_shared<Connection>(std::move(socket), *this);
      enter(connection);
      if (full)
        connection->reject(
            503, "there are " + std::to_string(options.most_connections) + " connections already");
      else
        connection->wait();
    }
    accept();
  });
}

void Shared::drain() {
  if (draining) return;
  draining = true;
  error_code ignored;
  acceptor.close(ignored);
  pause.cancel();
  const auto all = connections;  // close() takes them out
  for (const auto& connection : all)
    if (connection->idle()) connection->close();
  if (connections.empty()) work.reset();
}

}  // namespace

struct HttpServer::Impl : Shared {};

HttpServer::HttpServer(const HttpOptions& options, Handle handle, Reject reject)
    : impl_(std::make_unique<Impl>()) {
  impl_->options = options;
  impl_->handle = std::move(handle);
  impl_->reject = std::move(reject);
  const std::string where = options.host + ":" + std::to_string(options.port);
  error_code error;
  tcp::resolver resolver(impl_->io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port), error);
  if (error || found.empty())
    throw bad_input("--host " + options.host, "is no address of this machine",
                    "127.0.0.1 for this machine alone, 0.0.0.0 for everybody");
  const tcp::endpoint endpoint = *found.begin();
  tcp::acceptor& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error)
    throw bad_input(where, "cannot be listened at: " + error.message(),
                    error == asio::error::address_in_use ? "--port 0 takes a free port" : "");
  impl_->accept();
}

HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }
int64_t HttpServer::connections() const { return impl_->count; }
void HttpServer::run() {
  while (true) {
    try {
      impl_->io.run();
      return;
    } catch (const std::exception& e) {
      log_warning(std::string("a connection failed: ") + e.what());
    }
  }
}
void HttpServer::drain() {
  asio::post(impl_->io, [impl = impl_.get()] { impl->drain(); });
}

}  // namespace espalier::serve
