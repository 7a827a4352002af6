#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace steno {
namespace {

std::atomic<int> g_signals{0};  // since they were cleared
std::atomic<int> g_patience{1};
std::atomic<bool> g_terminated{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "the handler may only touch lock-free state");

void on_signal(int signal) {
  if (signal == SIGTERM) g_terminated.store(true);
  if (g_signals.fetch_add(1) >= g_patience.load()) _exit(static_cast<int>(ExitCode::interrupted));
}

}  // namespace

void install_interrupt_handler(int patience) {
  g_patience.store(patience);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return g_signals.load(std::memory_order_relaxed) > 0; }

bool terminated() { return g_terminated.load(std::memory_order_relaxed); }

void check_interrupt(const char* what_was_done) {
  if (interrupted()) throw Interrupted("interrupted{}{}", *what_was_done ? ": " : "", what_was_done);
}

void clear_interrupt() { g_signals.store(0); }

}  // namespace steno
