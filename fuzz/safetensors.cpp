#include "formats/safetensors.h"
#include "fuzz/parser.h"

ESP_FUZZ_PARSER(espalier::decode_safetensors(bytes, "fuzz.safetensors"))
