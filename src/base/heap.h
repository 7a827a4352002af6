// The C library's heap.
#pragma once
#include <cstdint>

namespace steno {

// Scratch tensors of tens of megabytes come and go with every chunk. By default glibc returns each to the system, and
// the page faults of the next cost more than the arithmetic: from now on the heap keeps freed pages, so the resident
// set size falls no more. Call it first in main().
void keep_freed_pages();

// Bytes that the program has asked for and not given back, over all arenas; 0 where the C library does not tell.
int64_t heap_bytes();

}  // namespace steno
