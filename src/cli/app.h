// The whole program behind argv: verbs, configuration file, errors and exit codes. The one place that wires.
#pragma once

namespace steno {

// Returns the process exit status (base/error.h). Writes to standard output and standard error only.
int run_app(int argc, const char* const* argv);

}  // namespace steno
