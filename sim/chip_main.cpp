// Runs the Verilated chip at native speed: the host protocol's byte stream on stdin and stdout.
//
// Options:
//   --trace FILE --trace-cycles N   write the first N cycles after reset to FILE (VCD; built with TRACE)
//   --statistics FILE               at the end, write the cycles simulated and the seconds they took
//   +macro_image=PREFIX             backdoor load: see heliobit_macro.v
//
// The clock stops while the chip is idle and no request is there.

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "Vchip.h"
#include "verilated.h"
#ifdef TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

// Bytes from stdin, asked for only when the last have been used up.
class Input {
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(1 << 16);
  size_t used_ = 0, filled_ = 0;
  bool ended_ = false;

 public:
  bool empty() const { return used_ == filled_; }
  bool ended() const { return ended_; }
  uint8_t front() const { return buffer_[used_]; }
  void pop() { ++used_; }
  // Read what is there; with `wait`, at least one byte or the end.
  void refill(bool wait) {
    if (ended_ || !empty()) return;
    pollfd descriptor{STDIN_FILENO, POLLIN, 0};
    if (!wait && poll(&descriptor, 1, 0) <= 0) return;
    const ssize_t count = read(STDIN_FILENO, buffer_.data(), buffer_.size());
    used_ = 0;
    filled_ = count > 0 ? static_cast<size_t>(count) : 0;
    ended_ = count <= 0;
  }
};

// Bytes to stdout, written when the chip waits or the buffer is full.
class Output {
  std::vector<uint8_t> buffer_;

 public:
  void push(uint8_t byte) {
    buffer_.push_back(byte);
    if (buffer_.size() >= 1 << 16) flush();
  }
  void flush() {
    size_t written = 0;
    while (written < buffer_.size()) {
      const ssize_t count = write(STDOUT_FILENO, buffer_.data() + written, buffer_.size() - written);
      if (count <= 0) std::exit(0);  // nobody listens any more
      written += static_cast<size_t>(count);
    }
    buffer_.clear();
  }
};

// The waveform of the first cycles, if one was asked for and built in.
class Waveform {
#ifdef TRACE
  std::unique_ptr<VerilatedVcdC> file_;
  uint64_t left_ = 0;

 public:
  void open(VerilatedContext& context, Vchip& chip, const std::string& name, uint64_t cycles) {
    if (name.empty()) return;
    context.traceEverOn(true);
    file_ = std::make_unique<VerilatedVcdC>();
    chip.trace(file_.get(), 99);
    file_->open(name.c_str());
    left_ = 2 * cycles;
  }
  void dump(uint64_t time) {
    if (!file_) return;
    file_->dump(time);
    if (--left_ == 0) close();
  }
  void close() {
    if (file_) file_->close();
    file_.reset();
  }
#else
 public:
  void open(VerilatedContext&, Vchip&, const std::string&, uint64_t) {}
  void dump(uint64_t) {}
  void close() {}
#endif
};

}  // namespace

int main(int argc, char** argv) {
  auto context = std::make_unique<VerilatedContext>();
  std::string trace_file, statistics_file;
  uint64_t trace_cycles = 2000;
  for (int i = 1; i + 1 < argc; ++i) {
    if (!std::strcmp(argv[i], "--trace")) trace_file = argv[i + 1];
    if (!std::strcmp(argv[i], "--trace-cycles")) trace_cycles = std::strtoull(argv[i + 1], nullptr, 10);
    if (!std::strcmp(argv[i], "--statistics")) statistics_file = argv[i + 1];
  }
  context->commandArgs(argc, argv);
  auto chip = std::make_unique<Vchip>(context.get());
  Waveform waveform;
  waveform.open(*context, *chip, trace_file, trace_cycles);

  Input input;
  Output output;
  uint64_t cycle = 0, idle = 0;
  double seconds = 0;

  chip->clk = 0;
  chip->rst = 0;
  chip->i_valid = 0;
  chip->o_ready = 1;
  chip->eval();
  chip->rst = 1;  // asynchronous: it needs an edge
  chip->eval();
  chip->rst = 0;

  auto began = std::chrono::steady_clock::now();
  auto pause = [&] {
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  while (!context->gotFinish()) {
    if (input.empty()) {
      if (!chip->busy && !chip->o_valid) {
        output.flush();
        pause();
        input.refill(true);
        began = std::chrono::steady_clock::now();
        if (input.ended()) break;
      } else if (++idle % 256 == 0) {  // forming, programming, or a request that has not all come
        output.flush();
        input.refill(false);
        if (input.ended() && idle > (1u << 22)) break;
      }
    }
    chip->i_valid = !input.empty();
    chip->i_payload = input.empty() ? 0 : input.front();
    chip->clk = 0;
    chip->eval();
    waveform.dump(2 * cycle * 1000);
    const bool taken = chip->i_valid && chip->i_ready;
    const bool given = chip->o_valid;
    const uint8_t byte = chip->o_payload;
    chip->clk = 1;
    chip->eval();
    waveform.dump((2 * cycle + 1) * 1000);
    if (taken) {
      input.pop();
      idle = 0;
    }
    if (given) output.push(byte);
    ++cycle;
  }
  pause();
  output.flush();
  waveform.close();
  chip->final();
  if (!statistics_file.empty()) {
    if (FILE* file = std::fopen(statistics_file.c_str(), "w")) {
      std::fprintf(file, "{\"cycles\": %llu, \"seconds\": %.9f}\n",
                   static_cast<unsigned long long>(cycle), seconds);
      std::fclose(file);
    }
  }
  return 0;
}
