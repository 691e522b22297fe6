#!/bin/bash
# The kernel tests again in processes of their own that may use no more than AVX2, AVX-512 without
# VNNI, and with our own loops in their portable form.
set -eu
programs="$ESPALIER_BUILD_DIR/tests"
for program in test_bind test_runtime test_kernels; do
  [ -x "$programs/$program" ] || exit 77
  ONEDNN_MAX_CPU_ISA=AVX2 ESPALIER_MAX_ISA=AVX2 "$programs/$program" --gtest_brief=1
done
for program in test_bind test_kernels; do
  ONEDNN_MAX_CPU_ISA=AVX512_CORE ESPALIER_MAX_ISA=AVX512 "$programs/$program" --gtest_brief=1
  ESPALIER_MAX_ISA=BASELINE "$programs/$program" --gtest_brief=1
done
