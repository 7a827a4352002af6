#include "model/thread_waits.h"

#include <ATen/Parallel.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace steno {
namespace {

#if defined(_OPENMP) && defined(__linux__) && !defined(__clang__)
using namespace std::chrono_literals;
namespace fs = std::filesystem;

int allowed_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

// Runnable threads of the whole machine; 0 where the system does not tell.
int runnable() {
  std::ifstream file("/proc/stat");
  for (std::string name; file >> name; file.ignore(1 << 16, '\n'))
    if (int count = 0; name == "procs_running" && file >> count) return count;
  return 0;
}

// Of this process.
int runnable_here() {
  int count = 0;
  std::error_code none;
  for (fs::directory_iterator at("/proc/self/task", none), end; !none && at != end; at.increment(none)) {
    std::ifstream file(at->path() / "stat");
    std::string line;
    std::getline(file, line);
    // "TID (NAME) STATE ...", and a name may hold anything.
    const size_t close = line.rfind(')');
    count += close != std::string::npos && line.compare(close, 3, ") R") == 0;
  }
  return count;
}

// A team of its own for as long as it lives.
class ParkedTeam {
 public:
  explicit ParkedTeam(int size)
      : thread_([size](const std::stop_token& stop) {
          int members = 0;
#pragma omp parallel num_threads(size) reduction(+ : members)
          ++members;
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any().wait(lock, stop, [] { return false; });
        }) {
  }

 private:
  std::jthread thread_;
};

[[noreturn]] void watch(int threads) {
  const int cpus = allowed_cpus();
  const auto crowded = [&] { return threads + runnable() - runnable_here() > cpus ? 1.0 : 0.0; };
  std::optional<ParkedTeam> parked;
  // Of the last looks, the later the heavier.
  for (double busy = 0;; busy = 0.6 * busy + 0.4 * crowded()) {
    // The library counts the main thread, the parked team and our own: together more than the cores.
    if (!parked && busy > 0.5) parked.emplace(std::max(2, cpus - threads + 2));
    if (parked && busy < 0.1) parked.reset();
    std::this_thread::sleep_for(100ms);
  }
}
#endif

}  // namespace

void yield_cores_when_busy() {
#if defined(_OPENMP) && defined(__linux__) && !defined(__clang__)
  const int threads = at::get_num_threads();
  if (threads < 2 || getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
  static std::once_flag once;
  std::call_once(once, [&] {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread(watch, threads).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
#endif
}

}  // namespace steno
