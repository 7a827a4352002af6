// How the threads of a parallel region wait for each other.
#pragma once

namespace steno {

// GNU OpenMP lets a thread that waits try 300,000 times, milliseconds, before it gives its core away. That is right on
// an idle machine: sleeping and waking cost more. Where other programs want the cores, the thread it waits for may
// stand in line for that very core, and everything becomes 10 to 100 times slower. With more threads than cores the
// library tries 1,000 times only. So one thread looks ten times a second whether runnable threads, ours and others',
// exceed the cores; while they do, it keeps a small team parked, asleep, which makes the library count more threads
// than cores.
//
// Does nothing for one thread, with another OpenMP, and where the user has chosen (OMP_WAIT_POLICY, GOMP_SPINCOUNT).
// Call it once the number of threads is set; a second call does nothing. All signals are blocked in what it starts, so
// that Ctrl-C goes to the thread that works.
void yield_cores_when_busy();

}  // namespace steno
