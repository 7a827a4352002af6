// --config FILE.toml: flags as keys.
//
//   threads = 4                 # for whichever verb runs
//   [ask]                       # for one verb
//   method = "streaming-llm"
//   budget = 256
//   param = { sinks = 4 }       # or ["sinks=4"]; likewise set
#pragma once
#include <CLI/App.hpp>
#include <string>

namespace steno {

// Sets the flags of `verb` (a sub-command of `root`) that the command line left alone. Tables of other verbs are
// checked too, so that a misspelt key never goes unseen. Throws UsageError (unknown key, value that does not fit),
// InputError (no such file, no TOML).
void apply_config_file(const std::string& path, CLI::App& root, CLI::App& verb);

}  // namespace steno
