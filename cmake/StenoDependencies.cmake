# Everything the project takes from elsewhere, in one place. TORCH_DIR (the folder that holds include/, lib/ and
# share/) wins; otherwise the torch wheel of ./.venv is used.
set(TORCH_DIR "" CACHE PATH "a libtorch folder; empty: the torch wheel in .venv")
set(_torch_dir "${TORCH_DIR}")
if(NOT _torch_dir)
  file(GLOB _torch_dir ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
endif()
if(NOT EXISTS "${_torch_dir}/include/ATen/ATen.h")
  message(FATAL_ERROR "libtorch not found: run 'make setup', or pass -DTORCH_DIR=/path/to/libtorch")
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
# For the CRC-32C of event files. The archive, so that programs that only carry it along do not need the library.
find_path(ISAL_INCLUDE isa-l/crc.h REQUIRED)
find_library(ISAL_LIBRARY NAMES libisal.a isal REQUIRED)

set(STENO_MPI AUTO CACHE STRING "data-parallel training over MPI: AUTO (where it is installed), ON or OFF")
set(STENO_HAS_MPI OFF)
if(NOT STENO_MPI STREQUAL "OFF")
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(STENO_HAS_MPI ON)
  elseif(STENO_MPI STREQUAL "ON")
    message(FATAL_ERROR "STENO_MPI=ON, but no MPI was found (Debian: libopenmpi-dev openmpi-bin)")
  endif()
endif()

# The wheel's own CMake package probes for CUDA, MKL and Python and costs seconds; the headers and these libraries are
# all that is used.
add_library(steno_torch INTERFACE)
# After the system's folders: torch carries headers of another fmt, which do not fit the library that is linked.
target_compile_options(steno_torch INTERFACE
  "SHELL:-idirafter ${_torch_dir}/include" "SHELL:-idirafter ${_torch_dir}/include/torch/csrc/api/include")
set(_torch_libs ${_torch_dir}/lib/libtorch_cpu.so ${_torch_dir}/lib/libc10.so)
if(EXISTS ${_torch_dir}/lib/libtorch_cuda.so)
  # Device support registers itself when the library is loaded, so the linker must not drop it as unused.
  list(APPEND _torch_libs -Wl,--no-as-needed ${_torch_dir}/lib/libtorch_cuda.so ${_torch_dir}/lib/libc10_cuda.so
       -Wl,--as-needed)
endif()
target_link_libraries(steno_torch INTERFACE ${_torch_libs})
# NCCL through libtorch, which exports it where it was built with CUDA; its headers need those of the CUDA toolkit.
set(STENO_HAS_NCCL OFF)
if(EXISTS ${_torch_dir}/lib/libtorch_cuda.so AND EXISTS ${_torch_dir}/include/torch/csrc/cuda/nccl.h)
  find_path(CUDA_INCLUDE cuda_runtime_api.h HINTS /usr/local/cuda/include)
  set(STENO_HAS_NCCL ON)
  foreach(header cuda_runtime_api.h crt/host_config.h nv/target cusparse.h cublas_v2.h cusolverDn.h)
    if(NOT EXISTS ${CUDA_INCLUDE}/${header})
      set(STENO_HAS_NCCL OFF)
    endif()
  endforeach()
endif()
target_link_options(steno_torch INTERFACE -Wl,-rpath,${_torch_dir}/lib)
# at::parallel_for is a template: without OpenMP in our own files it would run on one thread. libtorch's folder comes
# first in the run path, so that one OpenMP runtime serves both.
if(NOT STENO_FUZZ)  # clang would bring a second runtime; a fuzzer is better on one thread
  target_compile_options(steno_torch INTERFACE -fopenmp)
  target_link_options(steno_torch INTERFACE -fopenmp)
endif()
set(STENO_TORCH_LIB_DIR ${_torch_dir}/lib)

if(STENO_TESTS)
  find_package(GTest REQUIRED)
  find_path(RAPIDCHECK_INCLUDE rapidcheck.h REQUIRED)
  find_library(RAPIDCHECK_LIBRARY rapidcheck REQUIRED)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # pch_defines and time_macros let ccache cache files that are compiled with the precompiled torch header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
