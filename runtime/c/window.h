/* Windows that slide over up to three spatial axes of [plane][depth][height][width]: result o reads
   positions o * stride + k * dilation - pad for k in [0, kernel), as far as they lie in [0, in). */
#ifndef ESP_WINDOW_H
#define ESP_WINDOW_H

typedef struct {
  int in[3], out[3], kernel[3], stride[3], dilation[3], pad[3];
} esp_window;

/* The first result of an axis for which kernel element k lies inside the operand. */
static inline int esp_window_first(const esp_window* w, int axis, int k) {
  const int before = w->pad[axis] - k * w->dilation[axis];
  return before > 0 ? (before + w->stride[axis] - 1) / w->stride[axis] : 0;
}

/* One past the last such result. */
static inline int esp_window_last(const esp_window* w, int axis, int k) {
  const int room = w->in[axis] - 1 + w->pad[axis] - k * w->dilation[axis];
  const int last = room < 0 ? 0 : room / w->stride[axis] + 1;
  return last < w->out[axis] ? last : w->out[axis];
}

static inline int esp_window_at(const esp_window* w, int axis, int o, int k) {
  return o * w->stride[axis] + k * w->dilation[axis] - w->pad[axis];
}

#endif
