// How the threads of a parallel region wait for each other.
#pragma once

namespace steno {

// GNU OpenMP lets a thread that waits try 300,000 times, milliseconds, before it gives its core away. Where other
// programs want the cores, the one it waits for may stand in line for that very core, and a decoding step with its
// many meetings becomes 10 to 100 times slower. With more threads than cores the library tries 1,000 times only: so
// one small team is parked here for the rest of the process, asleep and with all signals blocked. On an idle machine
// the next meeting comes within that time, and nothing changes.
//
// Does nothing for one thread, with another OpenMP, and where the user has chosen (OMP_WAIT_POLICY, GOMP_SPINCOUNT).
// Call it once the number of threads is set, from the thread that computes; a second call does nothing.
void shorten_thread_waits();

}  // namespace steno
