#include "serve/serial_server.h"

#include <algorithm>

#include "base/error.h"
#include "serve/failures.h"

namespace espalier::serve {
namespace {

/// A picture in floats, planes of height x width.
struct Planes {
  int channels = 0, height = 0, width = 0;
  std::vector<float> values;
};

Planes to_floats(const Image& image) {
  Planes planes{image.channels, image.height, image.width, {}};
  const size_t pixels = size_t(image.width) * size_t(image.height);
  planes.values.resize(pixels * size_t(image.channels));
  for (int c = 0; c < image.channels; ++c) {
    float* to = planes.values.data() + size_t(c) * pixels;
    const uint8_t* from = image.pixels.data() + c;
    for (size_t p = 0; p < pixels; ++p) to[p] = from[p * size_t(image.channels)];
  }
  return planes;
}

/// Bilinear, half-pixel centres, as resize_image, without its rounding.
Planes resized(const Planes& in, int height, int width) {
  Planes out{in.channels, height, width, {}};
  out.values.reserve(size_t(in.channels) * size_t(height) * size_t(width));
  struct At {
    int low, high;
    float weight;
  };
  const auto places = [](int from, int to) {
    std::vector<At> list;
    for (int i = 0; i < to; ++i) {
      const float x =
          std::clamp((float(i) + 0.5f) * float(from) / float(to) - 0.5f, 0.0f, float(from - 1));
      list.push_back({int(x), std::min(int(x) + 1, from - 1), x - float(int(x))});
    }
    return list;
  };
  const auto rows = places(in.height, height), columns = places(in.width, width);
  for (int c = 0; c < in.channels; ++c) {
    const float* plane = in.values.data() + size_t(c) * size_t(in.height) * size_t(in.width);
    for (const At& y : rows) {
      const float *low = plane + size_t(y.low) * size_t(in.width),
                  *high = plane + size_t(y.high) * size_t(in.width);
      for (const At& x : columns) {
        const float top = low[x.low] + x.weight * (low[x.high] - low[x.low]);
        const float bottom = high[x.low] + x.weight * (high[x.high] - high[x.low]);
        out.values.push_back(top + y.weight * (bottom - top));
      }
    }
  }
  return out;
}

void normalise(const Normalization& n, Planes& planes) {
  const size_t pixels = size_t(planes.height) * size_t(planes.width);
  for (int c = 0; c < planes.channels; ++c) {
    const float mean = float(n.mean[n.mean.size() == 1 ? 0 : size_t(c)]);
    const float scale = 1 / float(n.deviation[n.deviation.size() == 1 ? 0 : size_t(c)]);
    float* plane = planes.values.data() + size_t(c) * pixels;
    for (size_t p = 0; p < pixels; ++p) plane[p] = (plane[p] - mean) * scale;
  }
}

const Port& only_input(const Signature& signature) {
  if (signature.inputs.size() != 1 || signature.inputs[0].type.dtype != DType::f32 ||
      signature.inputs[0].type.rank() != 4 || !signature.inputs[0].type.dims[0].is(1))
    throw unsupported("the serial server", "takes networks with one input of one picture");
  return signature.inputs[0];
}

Session session_of(const Graph& graph, int threads) {
  CompileOptions options;
  options.threads = threads;
  return Session(compile(graph, options));
}

QueueOptions one_at_a_time() {
  QueueOptions options;
  options.max_rows = options.instances = 1;
  options.most_waiting = 1 << 20;
  options.longest_wait = std::chrono::hours(1);
  return options;
}

}  // namespace

struct SerialModel::Call : Work {
  Request request;
  Respond respond;
  Response response;
  StageTimes times;

  void ended(End end, std::exception_ptr error) noexcept override {
    if (end != End::done) response = failure_of(error);
    response.headers.emplace_back("Server-Timing",
                                  server_timing(times, Clock::now() - request.began));
    respond(std::move(response));
  }
};

SerialModel::SerialModel(std::string name, const Graph& graph, const PictureOptions& picture,
                         int threads)
    : name_(std::move(name)),
      signature_(signature_of(graph)),
      picture_(picture, only_input(signature_), kMaxPixels, int64_t{1} << 24),
      session_(session_of(graph, threads)),
      scheduler_(one_at_a_time(), [this](int, std::span<const WorkPtr> batch) {
        auto& call = static_cast<Call&>(*batch[0]);
        call.times.add(Stage::queue, call.started - call.entered);
        call.response = answer(call.request, call.times);
      }) {}

void SerialModel::infer(Request request, Respond respond) {
  auto admitted = scheduler_.admit(Time::max());
  if (const auto* refusal = std::get_if<Refusal>(&admitted))
    return respond(overloaded(refusal->reason, refusal->retry_after));
  auto call = std::make_unique<Call>();
  call->times.add(Stage::receive, request.received - request.began);
  call->request = std::move(request);
  call->respond = std::move(respond);
  scheduler_.submit(std::get<Ticket>(std::move(admitted)), std::move(call));
}

Tensor SerialModel::prepare(const std::string& bytes, StageTimes& times) const {
  const PictureShape& shape = picture_.shape();
  Time mark = Clock::now();
  const auto lap = [&](Stage stage) {
    const Time now = Clock::now();
    times.add(stage, now - mark);
    mark = now;
  };
  const Image image = decode_image(bytes, "picture", int(shape.channels));
  lap(Stage::decode);
  Planes planes = resized(to_floats(image), int(shape.height), int(shape.width));
  lap(Stage::resize);
  normalise(picture_.normalization(), planes);
  Tensor input = Tensor::from<float>({1, shape.channels, shape.height, shape.width},
                                     std::span<const float>(planes.values));
  lap(Stage::normalize);
  return input;
}

Response SerialModel::answer(const Request& request, StageTimes& times) {
  Time mark = Clock::now();
  const InferRequest asked = raw_infer(request.body, signature_, true, {});
  times.add(Stage::parse, Clock::now() - mark);
  const Tensor input = prepare(asked.inputs[0].tensor.data<std::string>()[0], times);
  mark = Clock::now();
  const std::vector<Tensor> outputs = session_.run({input});
  times.add(Stage::compute, Clock::now() - mark);
  mark = Clock::now();
  std::vector<NamedTensor> named;
  for (size_t i = 0; i < outputs.size(); ++i)
    named.push_back({signature_.outputs[i].name, outputs[i], false});
  Response response;
  response.body = encode_reply(name_, "", named).body;
  times.add(Stage::encode, Clock::now() - mark);
  return response;
}

}  // namespace espalier::serve
