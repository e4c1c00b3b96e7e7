#!/usr/bin/env bash
# What `cmake --install` leaves must serve from any folder: the program runs, another project finds the package and links it.
#   install_test.sh CMAKE BUILD_FOLDER CONSUMER_SOURCE COMPILER ENGINE
set -euo pipefail
cmake=$1 build=$2 consumer=$3 compiler=$4 engine=$5
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

"$cmake" --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log" || { cat "$scratch/install.log"; fail "cmake --install"; }
program=$scratch/prefix/bin/isotrope

cd /
version=$("$program" --version)
[[ $version =~ ^isotrope\ [0-9]+\.[0-9]+\.[0-9]+\ \( ]] || fail "isotrope --version printed: $version"
"$program" --help >/dev/null || fail "isotrope --help"
if ldd "$program" | grep -F "$build"; then fail "the installed program loads libraries from the build folder"; fi
if ldd "$program" | grep -E 'libtorch|not found'; then fail "the program must link the core alone, and find it"; fi
if [ -e "$scratch/prefix/lib/libgtest.a" ]; then fail "the tests' libraries are installed"; fi

"$cmake" -S "$consumer" -B "$scratch/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_BUILD_TYPE=Release -DENGINE="$engine" >"$scratch/configure.log" 2>&1 || { cat "$scratch/configure.log"; fail "find_package(Isotrope)"; }
"$cmake" --build "$scratch/consumer" >"$scratch/build.log" 2>&1 || { cat "$scratch/build.log"; fail "the consumer does not build"; }
answer=$("$scratch/consumer/consumer")
[ "$answer" = "[2, 3] philox 6627e8d5" ] || fail "the consumer printed: $answer"
echo "installed, found, linked and run: $version"
