/* What runs exported networks on a microcontroller of its own: requests come from a file of the host,
   answers go to another, by semihosting (Arm's "Semihosting for AArch32 and AArch64").

   Requests: a u32, whose lowest byte fills scratch memory and stack, then commands: the number of a
   network and its inputs, ESP_DEVICE_INIT, or ESP_DEVICE_STATES. Answers: to a network what it
   returned and the ticks it took, both u32, and its outputs; to ESP_DEVICE_STATES the bytes that
   last. At the end struct esp_device_report. */
#ifndef ESP_DEVICE_H
#define ESP_DEVICE_H

#include <stdint.h>

#define ESP_DEVICE_INIT 0xffffffffu
#define ESP_DEVICE_STATES 0xfffffffeu

struct esp_device_argument {
  void* at;
  uint32_t bytes;
};
struct esp_device_network {
  int (*call)(void);
  uint32_t inputs, outputs;
  const struct esp_device_argument* arguments; /* inputs, then outputs */
};
/* Written with the networks. */
extern const struct esp_device_network esp_device_networks[];
extern const uint32_t esp_device_network_count;
extern unsigned char* const esp_device_arena;
extern const uint32_t esp_device_arena_bytes, esp_device_state_bytes;
void esp_device_init(void);

/* All in bytes. */
struct esp_device_report {
  uint32_t touched; /* of the arena, up to the last that was written to */
  uint32_t stack;   /* at its deepest */
  uint32_t ram;     /* of all static memory */
  uint32_t flash;   /* of code and constants */
};

int esp_device_serve(void);

#endif
