#include "model/thread_waits.h"

#include <ATen/Parallel.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <thread>

namespace steno {
namespace {

#if defined(_OPENMP) && defined(__linux__) && !defined(__clang__)
int allowed_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

void park_team(int size) {
  std::promise<void> parked;
  // What is started now inherits the mask: Ctrl-C must wake the thread that reads the terminal, never one of these.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([size, &parked] {
    int members = 0;
#pragma omp parallel num_threads(size) reduction(+ : members)
    ++members;
    parked.set_value();
    for (;;) pause();
  }).detach();
  parked.get_future().wait();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}
#endif

}  // namespace

void shorten_thread_waits() {
#if defined(_OPENMP) && defined(__linux__) && !defined(__clang__)
  const int threads = at::get_num_threads();
  if (threads < 2 || getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
  static std::once_flag once;
  // The library counts main thread, parked team and our own: together more than the cores.
  std::call_once(once, [&] { park_team(std::max(2, allowed_cpus() - threads + 2)); });
#endif
}

}  // namespace steno
