/* From reset to esp_device_serve() on a Cortex-M. */
#include "esp_device.h"

extern uint32_t esp_device_data, esp_device_data_end, esp_device_data_stored, esp_device_bss,
    esp_device_bss_end, esp_device_stack;

void esp_device_reset(void);
int esp_device_semihost(int operation, const void* arguments);

int esp_device_semihost(int operation, const void* arguments) {
  register int r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = arguments;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void leave(int code) {
  /* SYS_EXIT_EXTENDED, ADP_Stopped_ApplicationExit */
  const uint32_t arguments[2] = {0x20026, (uint32_t)code};
  esp_device_semihost(0x20, arguments);
  for (;;) {
  }
}

static void fault(void) { leave(100); }

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&esp_device_stack, esp_device_reset, fault, fault, fault, fault, fault};

void esp_device_reset(void) {
  uint32_t *to = &esp_device_data, *from = &esp_device_data_stored;
  /* Coprocessors 10 and 11, the floating-point unit, where there is one. */
  *(volatile uint32_t*)0xe000ed88 |= 0xfu << 20;
  __asm__ volatile("dsb\n\tisb");
  while (to < &esp_device_data_end) *to++ = *from++;
  for (to = &esp_device_bss; to < &esp_device_bss_end; ++to) *to = 0;
  leave(esp_device_serve());
}
