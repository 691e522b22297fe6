#include "serve/failures.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "base/error.h"
#include "base/log.h"
#include "serve/protocol.h"

namespace espalier::serve {

Response failure(int status, const std::string& message) {
  return {status, "application/json", {}, encode_error(message)};
}

Response overloaded(const std::string& reason, Duration retry_after) {
  Response response = failure(503, "not now: " + reason);
  const auto wait = int64_t(std::ceil(seconds(retry_after)));
  response.headers.emplace_back("Retry-After", std::to_string(std::max<int64_t>(1, wait)));
  return response;
}

Response failure_of(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Rejection& e) {
    return failure(e.status(), e.what());
  } catch (const UserError& e) {
    return failure(400, e.what() + (e.hint().empty() ? "" : " (" + e.hint() + ")"));
  } catch (const std::bad_alloc&) {
    return overloaded("there is not enough memory for this request", {});
  } catch (const std::exception& e) {
    log_warning(std::string("a request failed by a defect of espalier: ") + e.what());
    return failure(500, std::string("internal error: ") + e.what());
  }
}

}  // namespace espalier::serve
