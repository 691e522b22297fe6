#!/usr/bin/env bash
# Installs what building Espalier needs, from Debian 12's own packages, and says what and why.
# Does nothing when everything is there, so it may run before every build.
#   tools/install_dependencies.sh            what building and testing need
#   tools/install_dependencies.sh --checks   also what tools/check.sh needs
#   tools/install_dependencies.sh --fuzz     also what fuzzers/run needs
#   tools/install_dependencies.sh --device   also what emulated microcontrollers need
# docs/dependencies.md tells more about each library.
set -euo pipefail

# package  why
packages='
build-essential    C++ compiler, make
cmake              configures the build
ninja-build        runs the build
ccache             makes a second build short
pkg-config         finds libraries without a CMake file
git                fetches the source; tools/check.sh asks it what changed
libdnnl-dev        oneDNN: dense matrix products and convolutions
libhwy-dev         Highway: portable SIMD
libxbyak-dev       Xbyak: kernels generated at run time
libprotobuf-dev    the bytes of ONNX files
protobuf-compiler  the bytes of ONNX files
libonnx-dev        the ONNX schema and its checker
libonnx-testdata   ONNX conformance cases for the tests
libeigen3-dev      small dense linear algebra
libyaml-cpp-dev    recipes
nlohmann-json3-dev summaries, logs and --json
libcli11-dev       the command line
libboost-dev       HTTP of the server (Asio and Beast, headers only)
libpng-dev         PNG images
libjpeg-dev        JPEG images
zlib1g-dev         compressed data sets
libzip-dev         zipped image folders
curl               fetches public data sets
libgtest-dev       tests
libgmock-dev       tests
'
checks='
clang-format-14    one format for every file
clang-tidy-14      static analysis of changed files
'
fuzz='
clang-14           libFuzzer, the compiler of the fuzzers
libclang-rt-14-dev libFuzzer and the sanitizers of clang
libomp-14-dev      OpenMP of clang
'

device='
gcc-arm-none-eabi         compiles exported C for microcontrollers
libnewlib-arm-none-eabi   their C library
qemu-system-arm           runs it
'

fail() {
  echo "install_dependencies: $1" >&2
  exit 1
}

case ${1-} in
  '') ;;
  --checks) packages+=$checks ;;
  --fuzz) packages+=$fuzz ;;
  --device) packages+=$device ;;
  *) fail "unknown argument '$1'; known are --checks, --fuzz and --device" ;;
esac

command -v dpkg-query >/dev/null ||
  fail "this system has no dpkg; on systems other than Debian 12 install these by hand:$packages"

missing=()
while read -r package why; do
  [ -n "$package" ] || continue
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  if [ "$status" != installed ]; then
    missing+=("$package")
    printf 'to install: %-19s %s\n' "$package" "$why"
  fi
done <<<"$packages"

if [ ${#missing[@]} -eq 0 ]; then
  echo "dependencies: all installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    fail "packages are missing and this is neither root nor a system with sudo; as root run:
  apt-get install ${missing[*]}"
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  fail "apt-get failed (see above); Debian 12 (bookworm) has all of these, other releases may not"
}
echo "dependencies: installed ${#missing[@]} packages"
