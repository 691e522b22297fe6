#include "formats/images.h"
#include "fuzzers/parser.h"

// Pixels may be many times what compresses them, so few are allowed.
ESP_FUZZ_PARSER(espalier::decode_image(bytes, "fuzz.png", 0, uint64_t{1} << 20))
