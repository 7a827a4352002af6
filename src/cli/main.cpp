#include <malloc.h>
#include <unistd.h>

#include <cstdio>

#include "base/interrupt.h"
#include "cli/app.h"
#include "cli/output.h"
#include "train/communicator.h"

int main(int argc, char** argv) {
  // Scratch tensors of tens of megabytes come and go with every chunk. By default glibc returns each to the system, and
  // the page faults of the next cost more than the arithmetic.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  steno::prepare_standard_streams();
  steno::install_interrupt_handler();
  const int status = steno::run_app(argc, argv);
  steno::close_ranks(status);
  // Everything is written and closed; libtorch's static destructors would take another tenth of a second to free what
  // the system frees anyway.
  std::fflush(nullptr);
  _exit(status);
}
