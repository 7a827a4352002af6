// Ctrl-C as a flag that long loops look at between units of work.
#pragma once

namespace steno {

// Installs the SIGINT and SIGTERM handler. The first signal sets the flag; the one after `patience` signals that nobody
// has cleared ends the process at once. May be called again with another patience.
void install_interrupt_handler(int patience = 1);
// Safe from any thread.
bool interrupted();
// SIGTERM came: to stop one piece of work is not enough. Never cleared.
bool terminated();
// Throws Interrupted (exit status 130) when the flag is set. `what_was_done` goes into the message.
void check_interrupt(const char* what_was_done = "");
void clear_interrupt();

}  // namespace steno
