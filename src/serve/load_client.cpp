#include "serve/load_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/rng.h"

namespace espalier::serve {
namespace {

struct Answer {
  int status = 0;
  std::string timing, body;
};

/// One connection; closed as soon as anything about it is wrong.
class Connection {
 public:
  Connection(uint16_t port, Duration patience) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(patience).count();
    const timeval limit{us / 1000000, us % 1000000};
    const int on = 1;
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool open() const { return open_; }

  /// Nothing when the connection ended before the answer was whole.
  std::optional<Answer> ask(const std::string& head, const std::string& body) {
    if (!send(head) || !send(body)) return lost();
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!receive()) return lost();
    Answer answer;
    answer.status = number(std::string_view(buffer_).substr(9, 3));
    size_t length = 0;
    for (size_t at = buffer_.find("\r\n") + 2; at < end + 2;) {
      const size_t line = buffer_.find("\r\n", at);
      const std::string_view field(buffer_.data() + at, line - at);
      if (starts(field, "Content-Length: ")) length = size_t(number(field.substr(16)));
      if (starts(field, "Server-Timing: ")) answer.timing = field.substr(15);
      if (starts(field, "Connection: close")) open_ = false;
      at = line + 2;
    }
    while (buffer_.size() < end + 4 + length)
      if (!receive()) return lost();
    answer.body = buffer_.substr(end + 4, length);
    buffer_.erase(0, end + 4 + length);
    return answer;
  }

 private:
  static bool starts(std::string_view field, std::string_view name) {
    return field.size() >= name.size() && strncasecmp(field.data(), name.data(), name.size()) == 0;
  }
  static int number(std::string_view text) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  std::optional<Answer> lost() {
    open_ = false;
    return std::nullopt;
  }
  bool send(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const auto n = ::send(socket_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += size_t(n);
    }
    return true;
  }
  bool receive() {
    char bytes[65536];
    const auto n = ::recv(socket_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer_.append(bytes, size_t(n));
    return true;
  }

  int socket_;
  bool open_ = false;
  std::string buffer_;
};

/// Adds what "receive;dur=0.1, …, total;dur=3" says, in milliseconds.
void add_timing(std::string_view text, LoadResult& result) {
  while (!text.empty()) {
    const size_t comma = std::min(text.find(", "), text.size());
    const std::string_view entry = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 2, text.size()));
    const size_t mark = entry.find(";dur=");
    if (mark == entry.npos) continue;
    double ms = 0;
    std::from_chars(entry.data() + mark + 5, entry.data() + entry.size(), ms);
    const std::string_view name = entry.substr(0, mark);
    const auto stage = std::ranges::find(kStageNames, name);
    if (stage != kStageNames.end()) result.stages[size_t(stage - kStageNames.begin())] += ms / 1e3;
    if (name == "total") result.total += ms / 1e3;
  }
}

void add(const LoadResult& from, LoadResult& to) {
  to.ok += from.ok;
  to.shed += from.shed;
  to.refused += from.refused;
  to.wrong += from.wrong;
  to.closed += from.closed;
  to.unconnected += from.unconnected;
  to.latencies.insert(to.latencies.end(), from.latencies.begin(), from.latencies.end());
  for (size_t i = 0; i < kStages; ++i) to.stages[i] += from.stages[i];
  to.total += from.total;
  if (to.first_answer.empty()) to.first_answer = from.first_answer;
}

class Load {
 public:
  explicit Load(const LoadOptions& options) : options_(options) {
    for (const std::string& body : options.bodies) {
      std::string head = "POST " + options.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
      for (const std::string& header : options.headers) head += header + "\r\n";
      heads_.push_back(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    }
  }

  /// `due`: when each request is to be sent; nothing: as soon as a client is free.
  LoadResult run(std::vector<double> due = {}) {
    due_ = std::move(due);
    begin_ = Clock::now();
    std::vector<std::thread> threads;
    for (int i = 0; i < options_.clients; ++i) threads.emplace_back([this] { client(); });
    for (std::thread& thread : threads) thread.join();
    all_.seconds = seconds(Clock::now() - begin_);
    return std::move(all_);
  }

 private:
  /// When the next request is to be sent, and its number; nothing when all were.
  std::optional<std::pair<int64_t, Time>> next() {
    const int64_t index = next_.fetch_add(1);
    if (index >= options_.most_requests) return std::nullopt;
    if (due_.empty()) {
      const Time now = Clock::now();
      if (now >= begin_ + options_.longest) return std::nullopt;
      return std::pair(index, now);
    }
    if (index >= int64_t(due_.size())) return std::nullopt;
    return std::pair(index, begin_ + milliseconds(1e3 * due_[size_t(index)]));
  }

  void client() {
    LoadResult own;
    std::optional<Connection> connection;
    while (const auto turn = next()) {
      const auto& [index, due] = *turn;
      std::this_thread::sleep_until(due);
      if (!connection || !connection->open()) connection.emplace(options_.port, options_.patience);
      if (!connection->open()) {
        ++own.unconnected;
        // Nobody listens (any more): asking on would only spin.
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        continue;
      }
      const size_t which = size_t(index) % options_.bodies.size();
      count(connection->ask(heads_[which], options_.bodies[which]), which, due, own);
    }
    const std::lock_guard lock(mutex_);
    add(own, all_);
  }

  void count(const std::optional<Answer>& answer, size_t which, Time due, LoadResult& own) const {
    if (!answer) {
      ++own.closed;
    } else if (answer->status != 200) {
      ++(answer->status == 503 ? own.shed : own.refused);
    } else if (!options_.expected.empty() && answer->body != options_.expected[which]) {
      ++own.wrong;
    } else {
      ++own.ok;
      own.latencies.push_back(seconds(Clock::now() - due));
      add_timing(answer->timing, own);
      if (which == 0 && own.first_answer.empty()) own.first_answer = answer->body;
    }
  }

  const LoadOptions& options_;
  std::vector<std::string> heads_;
  std::vector<double> due_;
  Time begin_{};
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;
  LoadResult all_;
};

}  // namespace

LoadResult ask_in_closed_loop(const LoadOptions& options) { return Load(options).run(); }

LoadResult ask_at_rate(const LoadOptions& options, double rate, uint64_t seed) {
  const Rng rng(seed, stream_of("arrivals"));
  std::vector<double> due;
  double at = 0;
  for (uint64_t i = 0; at < seconds(options.longest); ++i) {
    at -= std::log(1 - rng.uniform(i)) / rate;
    due.push_back(at);
  }
  return Load(options).run(std::move(due));
}

double quantile(std::vector<double> latencies, double share) {
  if (latencies.empty()) return 0;
  const size_t at = std::min(latencies.size() - 1, size_t(share * double(latencies.size())));
  std::ranges::nth_element(latencies, latencies.begin() + std::ptrdiff_t(at));
  return latencies[at];
}

}  // namespace espalier::serve
