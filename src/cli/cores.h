// How many threads are worth starting.
#pragma once

namespace steno {

// Physical cores that this process may run on, and no more than its cgroup's share of processor time. At least 1.
int usable_cores();

}  // namespace steno
