// What the program has asked the heap for and not given back, beside the pages that the heap holds in reserve.
#pragma once
#include <malloc.h>

#include <cstdint>

namespace steno {

// Bytes over all arenas; 0 where the C library does not tell.
inline int64_t heap_bytes() {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  const auto info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
#else
  return 0;
#endif
}

}  // namespace steno
