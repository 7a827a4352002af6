#include "base/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

namespace steno {

int64_t rss_bytes() {
  std::FILE* statm = std::fopen("/proc/self/statm", "re");
  if (!statm) return 0;
  long total = 0, resident = 0;
  const int fields = std::fscanf(statm, "%ld %ld", &total, &resident);
  std::fclose(statm);
  return fields == 2 ? int64_t{resident} * sysconf(_SC_PAGESIZE) : 0;
}

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

bool reset_peak_rss() {
  std::FILE* refs = std::fopen("/proc/self/clear_refs", "we");
  if (!refs) return false;
  const bool written = std::fputs("5", refs) >= 0;
  return std::fclose(refs) == 0 && written;
}

}  // namespace steno
