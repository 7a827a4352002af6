// Ctrl-C as a flag that long loops look at between units of work.
#pragma once

namespace steno {

// Installs the SIGINT and SIGTERM handler. The first signal sets the flag; a second one ends the process at once.
void install_interrupt_handler();
// Safe from any thread.
bool interrupted();
// Throws Interrupted (exit status 130) when the flag is set. `what_was_done` goes into the message.
void check_interrupt(const char* what_was_done = "");
void clear_interrupt();

}  // namespace steno
