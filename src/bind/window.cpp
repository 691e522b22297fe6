#include "bind/attribute_reader.h"

namespace espalier::bind {

Window window_of(const AttributeReader& a, const Shape& x, const Shape& kernel, const Shape& y) {
  const size_t n = kernel.size();
  Window w{a.list("strides", n, 1), a.list("dilations", n, 1), {}, {}};
  const auto mode = a.get<std::string>("auto_pad", "NOTSET");
  const auto pads = a.list("pads", 2 * n, 0);
  for (size_t i = 0; i < n; ++i) {
    const int64_t reach = (kernel[i] - 1) * w.dilations[i] + 1;
    const int64_t total = std::max<int64_t>(0, (y[i + 2] - 1) * w.strides[i] + reach - x[i + 2]);
    if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
      w.begin.push_back(mode == "SAME_UPPER" ? total / 2 : total - total / 2);
      w.end.push_back(total - w.begin.back());
    } else {
      w.begin.push_back(mode == "VALID" ? 0 : pads[i]);
      w.end.push_back(mode == "VALID" ? 0 : pads[n + i]);
    }
  }
  return w;
}

}  // namespace espalier::bind
