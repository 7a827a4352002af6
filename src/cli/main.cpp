#include <unistd.h>

#include <cstdio>

#include "base/heap.h"
#include "base/interrupt.h"
#include "cli/app.h"
#include "cli/output.h"
#include "train/communicator.h"

int main(int argc, char** argv) {
  steno::keep_freed_pages();
  steno::prepare_standard_streams();
  steno::install_interrupt_handler();
  const int status = steno::run_app(argc, argv);
  steno::close_ranks(status);
  // Everything is written and closed; libtorch's static destructors would take another tenth of a second to free what
  // the system frees anyway.
  std::fflush(nullptr);
  _exit(status);
}
