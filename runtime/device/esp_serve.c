/* Runs networks as a host's file asks. */
#include "esp_device.h"

extern uint32_t esp_device_flash_end, esp_device_bss_end, esp_device_stack;
int esp_device_semihost(int operation, const void* arguments);

enum { kOpen = 1, kWrite = 5, kRead = 6 };

static int open_file(const char* name, uint32_t mode) {
  const uint32_t arguments[3] = {(uint32_t)name, mode, 3};
  return esp_device_semihost(kOpen, arguments);
}
/* Both give the bytes that were not moved. */
static int moved(int operation, int file, void* at, uint32_t bytes) {
  const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)at, bytes};
  return bytes == 0 ? 0 : esp_device_semihost(operation, arguments);
}

/* The boards' timer: it counts down at 25 MHz. */
static volatile uint32_t* const timer = (volatile uint32_t*)0x40000000;
static uint32_t ticks(void) { return 0xffffffffu - timer[1]; }
static void start_timer(void) {
  timer[2] = 0xffffffffu;
  timer[1] = 0xffffffffu;
  timer[0] = 1;
}

static int run(const struct esp_device_network* n, int in, int out) {
  const struct esp_device_argument* a = n->arguments;
  uint32_t i, answer[2], begin;
  for (i = 0; i < n->inputs; ++i, ++a)
    if (moved(kRead, in, a->at, a->bytes) != 0) return 2;
  begin = ticks();
  answer[0] = (uint32_t)n->call();
  answer[1] = ticks() - begin;
  if (moved(kWrite, out, answer, sizeof answer) != 0) return 3;
  for (i = 0; i < n->outputs; ++i, ++a)
    if (moved(kWrite, out, a->at, a->bytes) != 0) return 3;
  return 0;
}

static int report(int out, unsigned char filling) {
  struct esp_device_report r;
  unsigned char* at = (unsigned char*)&esp_device_bss_end;
  r.touched = esp_device_arena_bytes;
  while (r.touched > esp_device_state_bytes && esp_device_arena[r.touched - 1] == filling)
    --r.touched;
  while (*at == filling) ++at;
  r.stack = (uint32_t)((unsigned char*)&esp_device_stack - at);
  r.ram = (uint32_t)&esp_device_bss_end - 0x20000000u;
  r.flash = (uint32_t)&esp_device_flash_end;
  return moved(kWrite, out, &r, sizeof r) == 0 ? 0 : 3;
}

int esp_device_serve(void) {
  const int in = open_file("ask", 1), out = open_file("say", 5);
  volatile unsigned char* to = (volatile unsigned char*)&esp_device_bss_end;
  uint32_t command, i;
  unsigned char filling;
  if (in < 0 || out < 0 || moved(kRead, in, &command, 4) != 0) return 1;
  filling = (unsigned char)command;
  for (i = esp_device_state_bytes; i < esp_device_arena_bytes; ++i) esp_device_arena[i] = filling;
  while (to < (volatile unsigned char*)&command - 256) *to++ = filling;
  start_timer();
  while (moved(kRead, in, &command, 4) == 0) {
    int code = 0;
    if (command == ESP_DEVICE_INIT)
      esp_device_init();
    else if (command == ESP_DEVICE_STATES)
      code = moved(kWrite, out, esp_device_arena, esp_device_state_bytes) == 0 ? 0 : 3;
    else if (command < esp_device_network_count)
      code = run(&esp_device_networks[command], in, out);
    else
      code = 4;
    if (code != 0) return code;
  }
  return report(out, filling);
}
