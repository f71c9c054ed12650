// SPDX-License-Identifier: MIT

package stream

import _ "unsafe" // for go:linkname

// Now returns CLOCK_MONOTONIC in nanoseconds, the clock of fserr.Event.Recv
// and of the kernel's own timestamps.
//
// It is the runtime's clock, read through the vDSO: unix.ClockGettime is a
// real system call, which at one per batch is the second most expensive thing
// that a reader does, and time.Now's monotonic part has an origin of its own.
// The runtime promises to keep the name (go.dev/issue/67401).
//
//go:linkname Now runtime.nanotime
func Now() int64
