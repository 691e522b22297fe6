// The protobuf classes of ONNX files. Only .cpp files of this folder include it: it is heavy.
#pragma once

#include <onnx/onnx_pb.h>
