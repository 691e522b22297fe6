#include "serve/hosted_model.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "serve/failures.h"

namespace espalier::serve {
namespace {

Duration since(Time t) { return Clock::now() - t; }

/// Header Timeout-Ms: a number of milliseconds above zero.
std::optional<Duration> header_timeout(const Request& request) {
  const auto text = request.header("Timeout-Ms");
  if (!text) return std::nullopt;
  double ms = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), ms);
  if (error != std::errc() || end != text->data() + text->size() || !(ms > 0) ||
      ms > kMostMilliseconds)
    throw bad_input("Timeout-Ms", "is no number of milliseconds above 0 and at most 1e9");
  return milliseconds(ms);
}

/// Header Stage-Times: on or off.
bool wants_times(const Request& request) {
  const auto text = request.header("Stage-Times");
  if (!text || *text == "off") return false;
  if (*text != "on") throw bad_input("Stage-Times", "is neither on nor off");
  return true;
}

Response too_late() { return failure(504, "the time for this request was over before it ran"); }

QueueOptions with_network(QueueOptions queue, const NetworkOptions& network, int decoders) {
  queue.decoders = decoders;
  queue.max_rows = network.max_batch;
  queue.instances = network.instances;
  return queue;
}

}  // namespace

/// Where the time of requests goes and how they end.
struct HostedModel::Measures {
  Metrics& metrics;
  const std::string model;

  Counter& outcome(const std::string& name) {
    return metrics.counter("espalier_requests_total", "Inference requests, by how they ended",
                           {{"model", model}, {"outcome", name}});
  }
  Histogram& stage(const std::string& name) {
    return metrics.histogram("espalier_request_stage_seconds",
                             "Where the time of inference requests goes", time_bounds(),
                             {{"model", model}, {"stage", name}});
  }

  void observe(const StageTimes& times, Duration all) {
    for (size_t i = 0; i < kStages; ++i)
      if (const auto& spent = times.of(i)) stages[i]->observe(seconds(*spent));
    total.observe(seconds(all));
  }

  Counter &ok = outcome("ok"), &rejected = outcome("rejected"), &shed = outcome("shed"),
          &expired = outcome("expired"), &gone = outcome("gone"), &failed = outcome("failed");
  std::array<Histogram*, kStages> stages = [this] {
    std::array<Histogram*, kStages> all{};
    for (size_t i = 0; i < kStages; ++i) all[i] = &stage(std::string(kStageNames[i]));
    return all;
  }();
  Histogram &total = stage("total"), &write = stage("write");
  Histogram& batch_rows = metrics.histogram("espalier_batch_rows", "Rows that ran together",
                                            {1, 2, 4, 8, 16, 32, 64, 128, 256}, {{"model", model}});
};

/// One request on its way.
struct HostedModel::Call {
  Request request;
  Respond respond;
  Time deadline = Time::max();
  InferRequest infer;
  std::vector<size_t> wanted;  ///< outputs, in the order asked for
  std::vector<bool> binary;
  std::shared_ptr<Form> form;
  Tensors inputs, outputs;
  Time handed{};  ///< to the pool, for encoding
  StageTimes times;
  bool wants_times = false;
};

class HostedModel::Job : public Work {
 public:
  Job(HostedModel& host, CallPtr call) : host_(host), call_(std::move(call)) {
    kind = call_->form.get();
    stacks = call_->form->stacks();
    rows = stacks ? call_->inputs[0].shape()[0] : 1;
    deadline = call_->deadline;
  }
  bool gone() const override { return call_->request.gone && call_->request.gone(); }
  void ended(End end, std::exception_ptr error) noexcept override;
  Call& call() { return *call_; }

 private:
  HostedModel& host_;
  CallPtr call_;
};

HostedModel::HostedModel(Graph graph, const HostOptions& options, const RequestLimits& limits,
                         Metrics& metrics, TaskPool& pool)
    : name_(options.name),
      limits_(limits),
      timeout_(options.timeout),
      network_(std::move(graph), options.network),
      measures_(new Measures{metrics, options.name}),
      pool_(pool),
      scheduler_(with_network(options.queue, options.network, pool.threads()),
                 [this](int instance, std::span<const WorkPtr> batch) { run(instance, batch); }) {
  const auto& inputs = network_.signature().inputs;
  for (const PictureOptions& picture : options.pictures) {
    const auto port = std::ranges::find(inputs, picture.input, &Port::name);
    if (port == inputs.end()) {
      std::string names;
      for (const Port& p : inputs) names += (names.empty() ? "" : ", ") + p.name;
      throw usage_error("image=" + picture.input, "the network has no such input",
                        "its inputs are " + names);
    }
    pictures_.emplace_back(picture, *port, limits.most_pixels, limits.infer.most_elements);
  }
  metrics.gauge("espalier_queue_requests", "Requests admitted that do not run yet",
                [this] { return double(scheduler_.waiting()); }, {{"model", name_}});
}

HostedModel::~HostedModel() = default;

std::string HostedModel::metadata() const {
  std::vector<std::string> pictures;
  for (const PictureInput& picture : pictures_) pictures.push_back(picture.name());
  return encode_metadata(name_, network_.signature(), pictures);
}

void HostedModel::finish(Call& call, Counter& outcome, Response response) {
  outcome.add();
  const Time ready = Clock::now();
  const Duration total = ready - call.request.began;
  measures_->observe(call.times, total);
  if (call.wants_times)
    response.headers.emplace_back("Server-Timing", server_timing(call.times, total));
  response.sent = [&write = measures_->write, ready] { write.observe(seconds(since(ready))); };
  call.respond(std::move(response));
}

void HostedModel::infer(Request request, Respond respond) {
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->respond = std::move(respond);
  const Request& asked = call->request;
  call->times.add(Stage::receive, asked.received - asked.began);
  try {
    call->wants_times = wants_times(asked);
    if (timeout_ > Duration::zero()) call->deadline = asked.began + timeout_;
    if (const auto own = header_timeout(asked))
      call->deadline = std::min(call->deadline, asked.began + *own);
  } catch (...) {
    return finish(*call, measures_->rejected, failure_of(std::current_exception()));
  }
  if (call->deadline <= Clock::now()) return finish(*call, measures_->expired, too_late());
  auto admitted = scheduler_.admit(call->deadline);
  if (const auto* refusal = std::get_if<Refusal>(&admitted))
    return finish(*call, measures_->shed, overloaded(refusal->reason, refusal->retry_after));
  auto ticket = std::make_shared<Ticket>(std::get<Ticket>(std::move(admitted)));
  pool_.post([this, call, ticket] { prepare(call, std::move(*ticket)); });
}

void HostedModel::prepare(const CallPtr& call, Ticket ticket) {
  call->times.add(Stage::handoff, since(call->request.received));
  std::unique_ptr<Job> job;
  const Time begin = Clock::now();
  try {
    parse(*call);
    call->times.add(Stage::parse, since(begin));
    arrange(*call);
    call->form = network_.form(call->inputs);
    job = std::make_unique<Job>(*this, call);
  } catch (...) {
    Response response = failure_of(std::current_exception());
    // Before the answer: whoever has it may ask again at once.
    { const Ticket given_back = std::move(ticket); }
    return finish(*call, response.status < 500 ? measures_->rejected : measures_->failed,
                  std::move(response));
  }
  scheduler_.submit(std::move(ticket), std::move(job), since(begin));
}

void HostedModel::parse(Call& call) const {
  const Request& asked = call.request;
  if (asked.header("Content-Encoding").value_or("identity") != "identity")
    throw Rejection(415, "Content-Encoding: only identity is understood");
  const auto length = asked.header("Inference-Header-Content-Length");
  call.infer = length == "0"
                   ? raw_infer(asked.body, network_.signature(), !pictures_.empty(), limits_.infer)
                   : parse_infer(asked.body, length, limits_.infer);
  std::string().swap(call.request.body);
  if (call.infer.timeout)
    call.deadline = std::min(call.deadline, asked.began + Duration(*call.infer.timeout));
  if (call.infer.outputs.empty())
    for (const Port& port : network_.signature().outputs)
      call.infer.outputs.push_back({port.name, std::nullopt});
  for (size_t i = 0; i < call.infer.outputs.size(); ++i) {
    const InferOutput& output = call.infer.outputs[i];
    const auto& ports = network_.signature().outputs;
    const auto port = std::ranges::find(ports, output.name, &Port::name);
    const std::string where = "outputs[" + std::to_string(i) + "].name";
    if (port == ports.end())
      throw bad_input(where, "the network has no output '" + output.name + "'");
    const auto index = size_t(port - ports.begin());
    if (std::ranges::find(call.wanted, index) != call.wanted.end())
      throw bad_input(where, "asks for '" + output.name + "' again");
    call.wanted.push_back(index);
    call.binary.push_back(output.binary.value_or(call.infer.binary_outputs));
  }
}

/// Inputs in the network's order, pictures read, all of them fitting.
void HostedModel::arrange(Call& call) const {
  const auto& ports = network_.signature().inputs;
  call.inputs.resize(ports.size());
  std::vector<bool> given(ports.size());
  PictureSeconds spent;
  bool pictures = false;
  for (size_t i = 0; i < call.infer.inputs.size(); ++i) {
    InferInput& input = call.infer.inputs[i];
    const std::string where = "inputs[" + std::to_string(i) + "]";
    const auto port = std::ranges::find(ports, input.name, &Port::name);
    if (port == ports.end())
      throw bad_input(where + ".name", "the network has no input '" + input.name + "'");
    const auto index = size_t(port - ports.begin());
    if (given[index]) throw bad_input(where + ".name", "gives '" + input.name + "' again");
    given[index] = true;
    const auto picture = std::ranges::find(pictures_, input.name, &PictureInput::name);
    if (picture != pictures_.end() && input.tensor.dtype() == DType::string) {
      input.tensor = picture->read(input.tensor, input.from_json, spent);
      pictures = true;
    }
    check_fit(*port, input.tensor, where);
    call.inputs[index] = std::move(input.tensor);
  }
  for (size_t i = 0; i < ports.size(); ++i)
    if (!given[i]) throw bad_input("inputs", "input '" + ports[i].name + "' is missing");
  check_symbols(ports, call.inputs);
  if (!pictures) return;
  call.times.add(Stage::decode, milliseconds(1e3 * spent.decode));
  call.times.add(Stage::resize, milliseconds(1e3 * spent.resize));
  call.times.add(Stage::normalize, milliseconds(1e3 * spent.take));
}

void HostedModel::run(int instance, std::span<const WorkPtr> batch) {
  std::vector<const Tensors*> requests;
  int64_t rows = 0;
  for (const WorkPtr& work : batch) {
    requests.push_back(&static_cast<Job&>(*work).call().inputs);
    rows += work->rows;
  }
  RunTimes times;
  auto answers = static_cast<Job&>(*batch[0]).call().form->run(instance, requests, &times);
  measures_->batch_rows.observe(double(rows));
  for (size_t i = 0; i < batch.size(); ++i) {
    Call& call = static_cast<Job&>(*batch[i]).call();
    call.outputs = std::move(answers[i]);
    call.times.add(Stage::assemble, times.assemble);
    call.times.add(Stage::compute, times.compute);
  }
}

void HostedModel::Job::ended(End end, std::exception_ptr error) noexcept {
  Measures& measures = *host_.measures_;
  if (end == End::expired) return host_.finish(*call_, measures.expired, too_late());
  if (end == End::gone)
    return host_.finish(*call_, measures.gone, failure(499, "the client has hung up"));
  call_->times.add(Stage::queue, started - entered);
  if (end == End::failed) {
    Response response = failure_of(error);
    return host_.finish(*call_, response.status < 500 ? measures.rejected : measures.failed,
                        std::move(response));
  }
  call_->handed = Clock::now();
  host_.pool_.post_urgent([host = &host_, call = call_] { host->encode(*call); });
}

void HostedModel::encode(Call& call) {
  const Time begin = Clock::now();
  call.times.add(Stage::handoff, begin - call.handed);
  Response response;
  try {
    std::vector<NamedTensor> outputs;
    for (size_t i = 0; i < call.wanted.size(); ++i)
      outputs.push_back(
          {call.infer.outputs[i].name, call.outputs[call.wanted[i]], bool(call.binary[i])});
    InferReply reply = encode_reply(name_, call.infer.id, outputs);
    response.body = std::move(reply.body);
    if (reply.json_bytes) {
      response.type = "application/octet-stream";
      response.headers.emplace_back("Inference-Header-Content-Length",
                                    std::to_string(*reply.json_bytes));
    }
  } catch (...) {
    response = failure_of(std::current_exception());
    return finish(call, response.status < 500 ? measures_->rejected : measures_->failed,
                  std::move(response));
  }
  call.times.add(Stage::encode, since(begin));
  finish(call, measures_->ok, std::move(response));
}

}  // namespace espalier::serve
