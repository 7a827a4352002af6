// Errors that end a request. Each carries one line for the person who caused or can mend it: what, where, what to do.
// Assertions are for our own mistakes; anything that arrives from outside is checked and thrown as one of these.
#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace steno {

// The process exit status that an error leads to.
enum class ExitCode : int {
  ok = 0,
  internal = 1,      // our own mistake
  usage = 2,         // wrong flags or arguments
  input = 3,         // a file or text that cannot be used
  resource = 4,      // memory, disk or device ran out, or another process holds it
  interrupted = 130  // Ctrl-C
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& line) : std::runtime_error(line), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

class UsageError : public Error {
 public:
  template <typename... Args>
  explicit UsageError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::usage, fmt::format(format, std::forward<Args>(args)...)) {}
};

class InputError : public Error {
 public:
  template <typename... Args>
  explicit InputError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::input, fmt::format(format, std::forward<Args>(args)...)) {}
};

class ResourceError : public Error {
 public:
  template <typename... Args>
  explicit ResourceError(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::resource, fmt::format(format, std::forward<Args>(args)...)) {}
};

class Interrupted : public Error {
 public:
  template <typename... Args>
  explicit Interrupted(fmt::format_string<Args...> format, Args&&... args)
      : Error(ExitCode::interrupted, fmt::format(format, std::forward<Args>(args)...)) {}
};

}  // namespace steno
