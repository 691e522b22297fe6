#include "deploy/emulated_c.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/suggest.h"
#include "base/temporary_folder.h"
#include "deploy/c_parts.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

struct Device {
  const char* name;
  const char* machine;  ///< QEMU's, whose memory and timer runtime/device knows
  std::vector<std::string> flags;
};

const std::vector<Device>& known_devices() {
  static const std::vector<Device> devices = {
      {"cortex-m3", "mps2-an385", {"-mcpu=cortex-m3"}},
      {"cortex-m4", "mps2-an386", {"-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"}},
      {"cortex-m7", "mps2-an500", {"-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"}},
  };
  return devices;
}

constexpr const char* kEmulator = "qemu-system-arm";
constexpr size_t kLeastStack = 1024, kMostBytes = size_t{4} << 20;
/// The timer's ticks are 40 ns, an instruction is set to take one.
constexpr double kInstructionsPerTick = 40;
constexpr uint32_t kInit = 0xffffffff, kStates = 0xfffffffe;

std::string compiler() {
  const char* named = std::getenv("ARM_CC");
  return named && *named ? named : "arm-none-eabi-gcc";
}

/// `text` with `value` in place of `mark`.
void replace(std::string& text, const std::string& mark, size_t value) {
  for (size_t at; (at = text.find(mark)) != std::string::npos;)
    text.replace(at, mark.size(), std::to_string(value));
}

/// What the linker says of memory that is too small: "RAM overflowed by 1184 bytes"; empty for
/// none.
std::string overflow_in(const std::string& said) {
  for (const std::string region : {"RAM", "FLASH"})
    for (const std::string way : {" overflowed by ", " leaves no room"}) {
      const size_t at = said.find("region `" + region + "'" + way);
      if (at == std::string::npos) continue;
      const size_t begin = at + std::strlen("region `") + region.size() + 1;
      return region + said.substr(begin, said.find('\n', begin) - begin);
    }
  return "";
}

/// What runtime/device asks for: the networks with memory for their inputs and results, which they
/// share, for one runs at a time. The source is included, for the arena is nobody else's.
std::string calls_of(const CFile& file) {
  std::string buffers, calls, list;
  for (size_t k = 0; k < file.networks().size(); ++k) {
    const CNetwork& n = file.networks()[k];
    const std::string number = std::to_string(k), own = "esp_device_memory.n" + number + ".";
    std::string members, arguments, places;
    int i = 0;
    for (const auto* group : {&n.inputs, &n.outputs})
      for (const CArgument& a : *group) {
        const std::string member = "a" + std::to_string(i++);
        members += "    " + c_type(a.type.dtype) + " " + member + "[" +
                   std::to_string(std::max<int64_t>(1, a.type.numel())) + "];\n";
        arguments += (arguments.empty() ? "" : ", ") + own + member;
        places += "    {" + own + member + ", " +
                  std::to_string(size_t(a.type.numel()) * size_of(a.type.dtype)) + "},\n";
      }
    buffers += "  struct {\n" + members + "  } n" + number + ";\n";
    calls += "static int esp_device_call_" + number + "(void) { return " + n.name + "(" +
             arguments + "); }\nstatic const struct esp_device_argument esp_device_arguments_" +
             number + "[] = {\n" + places + "};\n";
    list += "  {esp_device_call_" + number + ", " + std::to_string(n.inputs.size()) + ", " +
            std::to_string(n.outputs.size()) + ", esp_device_arguments_" + number + "},\n";
  }
  const bool arena = file.arena_bytes() > 0;
  return "#include \"" + file.stem() + ".c\"\n#include \"esp_device.h\"\nstatic union {\n" +
         buffers + "} esp_device_memory;\n" + calls +
         "const struct esp_device_network esp_device_networks[] = {\n" + list +
         "};\nconst uint32_t esp_device_network_count = " + std::to_string(file.networks().size()) +
         ";\nunsigned char* const esp_device_arena = " + (arena ? "arena.bytes" : "0") +
         ";\nconst uint32_t esp_device_arena_bytes = " + std::to_string(file.arena_bytes()) +
         ", esp_device_state_bytes = " + std::to_string(file.state_bytes()) +
         ";\nvoid esp_device_init(void) {" +
         (file.states().empty() ? "" : " " + file.init_function() + "();") + " }\n";
}

void append(std::string& bytes, const void* data, size_t count) {
  bytes.append(static_cast<const char*>(data), count);
}
void append(std::string& bytes, uint32_t word) { append(bytes, &word, sizeof word); }

/// Takes an answer's bytes from the front.
class Answers {
 public:
  explicit Answers(std::string bytes) : bytes_(std::move(bytes)) {}
  void take(void* to, size_t count) {
    ESP_CHECK(at_ + count <= bytes_.size(), "the device answers too little");
    if (count > 0) std::memcpy(to, bytes_.data() + at_, count);
    at_ += count;
  }
  uint32_t word() {
    uint32_t w;
    take(&w, sizeof w);
    return w;
  }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

}  // namespace

double apart(double a, double b) {
  if (std::isfinite(a) != std::isfinite(b)) return std::numeric_limits<double>::infinity();
  return std::isfinite(a) ? std::abs(a - b) : 0;
}

struct EmulatedC::Board {
  TemporaryFolder folder{"device"};
  std::string name, machine;
  DeviceMemory memory;
};

std::vector<std::string> EmulatedC::devices() {
  std::vector<std::string> names;
  for (const Device& d : known_devices()) names.emplace_back(d.name);
  return names;
}

EmulatedC::EmulatedC(const CFile& file, const std::string& device, const DeviceMemory& memory)
    : networks_(file.networks()), states_(file.states()), state_bytes_(file.state_bytes()) {
  const auto found = std::ranges::find(known_devices(), device, &Device::name);
  if (found == known_devices().end())
    throw usage_error("device '" + device + "'", "is not known", suggestion(device, devices()));
  for (const auto& [bytes, of] : {std::pair{memory.flash, "flash"}, {memory.ram, "RAM"}})
    if (bytes > kMostBytes)
      throw usage_error("device '" + device + "'",
                        "cannot have " + std::to_string(bytes) + " bytes of " + of,
                        "the emulated boards have " + std::to_string(kMostBytes));
  board_ = std::make_unique<Board>();
  board_->name = device;
  board_->machine = found->machine;
  board_->memory = memory;
  const fs::path& folder = board_->folder.path();
  for (const CPart& part : device_parts()) {
    std::string text = part.text;
    replace(text, "@FLASH@", memory.flash);
    replace(text, "@RAM@", memory.ram);
    replace(text, "@STACK@", kLeastStack);
    write_file_atomic(folder / part.name, text);
  }
  write_file_atomic(folder / (file.stem() + ".c"), file.source());
  write_file_atomic(folder / (file.stem() + ".h"), file.header());
  write_file_atomic(folder / "calls_of_it.c", calls_of(file));
  // Products and sums are rounded one by one, as they are elsewhere.
  std::vector<std::string> words = {compiler(),
                                    "-std=gnu99",
                                    "-O2",
                                    "-w",
                                    "-mthumb",
                                    "-ffp-contract=off",
                                    "-ffunction-sections",
                                    "-fdata-sections"};
  words.insert(words.end(), found->flags.begin(), found->flags.end());
  words.insert(words.end(),
               {"-nostartfiles", "-T", "cortex_m.ld", "-Wl,--gc-sections", "esp_start.c",
                "esp_serve.c", "calls_of_it.c", "-o", "net.elf", "-lm", "-lc", "-lnosys"});
  const fs::path log = folder / "log";
  const int code = run_command({words, log, folder, {}});
  if (code == -1 || code == 127)
    throw unsupported(
        "C compiler '" + compiler() + "'", "cannot be started",
        "install gcc-arm-none-eabi and libnewlib-arm-none-eabi, or name it in ARM_CC");
  if (code != 0) {
    const std::string said = read_file(log);
    if (const std::string over = overflow_in(said); !over.empty())
      throw UserError(ExitCode::kInfeasible, device,
                      "has " + std::to_string(memory.flash) + " bytes of flash and " +
                          std::to_string(memory.ram) + " of RAM, too few: " + over,
                      "--flash and --ram say how large it is");
    throw unsupported("C compiler '" + compiler() + "'",
                      "refuses the exported code: " + said.substr(0, 400));
  }
}
EmulatedC::~EmulatedC() = default;
EmulatedC::EmulatedC(EmulatedC&&) noexcept = default;

DeviceRun EmulatedC::run(std::span<const DeviceCall> calls, const DeviceRunOptions& options) const {
  const fs::path& folder = board_->folder.path();
  const fs::path answers = folder / "say", log = folder / "log";
  std::string asked;
  size_t expected = 16;
  append(asked, uint32_t{options.filling});
  append(asked, kInit);
  for (const DeviceCall& call : calls) {
    const CNetwork& n = networks_.at(call.network);
    ESP_CHECK(call.inputs.size() == n.inputs.size(), "a network takes another number of inputs");
    append(asked, uint32_t(call.network));
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      const Tensor& t = call.inputs[i];
      if (TensorType(t.dtype(), t.shape()) != n.inputs[i].type)
        throw bad_input("input '" + n.inputs[i].name + "'",
                        "is not " + to_string(n.inputs[i].type));
      append(asked, t.raw(), t.bytes());
    }
    expected += 8;
    for (const CArgument& a : n.outputs) expected += size_t(a.type.numel()) * size_of(a.type.dtype);
    if (!options.states_of_each) continue;
    append(asked, kStates);
    expected += state_bytes_;
  }
  append(asked, kStates);
  expected += state_bytes_;
  write_file_atomic(folder / "ask", asked);
  Command command{{kEmulator, "-M", board_->machine, "-display", "none", "-serial", "none",
                   "-monitor", "none", "-semihosting-config", "enable=on,target=native", "-icount",
                   "shift=0,sleep=off", "-kernel", "net.elf"},
                  log,
                  folder,
                  {}};
  if (options.progress)
    command.waiting = [&] {
      std::error_code none;
      const auto size = fs::file_size(answers, none);
      options.progress(none ? 0 : double(size) / double(expected));
    };
  const int code = run_command(command);
  if (code == -1 || code == 127)
    throw unsupported(std::string("emulator '") + kEmulator + "'", "cannot be started",
                      "install qemu-system-arm");
  if (code != 0)
    throw unsupported(
        board_->name,
        code == 100 ? "faults: the stack may have met static memory (more --ram tells)"
                    : "ends with " + std::to_string(code) + ": " + read_file(log).substr(0, 400));
  Answers said(read_file(answers));
  DeviceRun result;
  for (const DeviceCall& call : calls) {
    DeviceRun::Answer a;
    a.code = int(said.word());
    a.instructions = double(said.word()) * kInstructionsPerTick;
    for (const CArgument& o : networks_[call.network].outputs) {
      Tensor t(o.type.dtype, o.type.shape());
      said.take(t.mutable_raw(), t.bytes());
      a.outputs.push_back(std::move(t));
    }
    if (options.states_of_each) {
      a.states.resize(state_bytes_);
      said.take(a.states.data(), state_bytes_);
    }
    result.answers.push_back(std::move(a));
  }
  result.states.resize(state_bytes_);
  said.take(result.states.data(), state_bytes_);
  result.touched_bytes = said.word();
  result.stack_bytes = said.word();
  result.static_bytes = said.word();
  result.flash_bytes = said.word();
  if (result.static_bytes + result.stack_bytes >= board_->memory.ram)
    throw UserError(ExitCode::kInfeasible, board_->name,
                    "has a stack that meets static memory: " + std::to_string(result.static_bytes) +
                        " bytes of " + std::to_string(board_->memory.ram) + " are static",
                    "--ram says how large it is");
  return result;
}

Tensor EmulatedC::state(std::span<const unsigned char> states, const std::string& name) const {
  const auto found = std::ranges::find(states_, name, &CState::name);
  ESP_CHECK(found != states_.end(), "exported C has no state '" + name + "'");
  Tensor value(found->type.dtype, found->type.shape());
  if (value.bytes() > 0)
    std::memcpy(value.mutable_raw(), states.data() + found->offset, value.bytes());
  return value;
}

}  // namespace espalier
