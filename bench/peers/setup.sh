#!/bin/sh
# Makes .peers (Python packages of requirements.txt) and build/peers/llama_start. Run by `make peers`; repeats no work.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
stamp=.peers/installed
if ! cmp -s bench/peers/requirements.txt "$stamp"; then
  [ -x .peers/bin/python ] || python3 -m venv .peers
  # GCC 12 takes the stores to llama.cpp's AMX tile configuration for dead and the library dies of an illegal
  # instruction; with these two passes off it runs, and is the faster peer.
  CXXFLAGS="-fno-tree-dse -fno-dse" .peers/bin/pip install -q -r bench/peers/requirements.txt
  cp bench/peers/requirements.txt "$stamp"
fi
mkdir -p build/peers
site=$(.peers/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
if [ ! -x build/peers/llama_start ] || [ bench/peers/llama_start.cpp -nt build/peers/llama_start ]; then
  "${CXX:-c++}" -std=c++20 -O2 -I"$site/include" bench/peers/llama_start.cpp -o build/peers/llama_start \
    -L"$site/llama_cpp/lib" -lllama -lggml -lggml-base -Wl,-rpath,"$site/llama_cpp/lib"
fi
