// SPDX-License-Identifier: MIT

package bench

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSteal(t *testing.T) {
	for in, want := range map[string]float64{
		"cpu  2589476 1523298 875343 854276 8955 0 11553 42439 1 0\ncpu0 1 2 3": 424.39,
		"cpu 1 2 3": 0, "": 0, "intr 1 2 3 4 5 6 7 8 9": 0,
	} {
		if got := steal(in); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

func TestPinned(t *testing.T) {
	runtime.LockOSThread() // and its affinity ends with it
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if online() < 2 {
		t.Skip("one CPU: nothing to pin")
	}
	last := 0
	for i := range 1024 {
		if all.IsSet(i) {
			last = i
		}
	}
	one.Set(last)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	if got := Environment().Pinned; got == "" || strings.Contains(got, ",") {
		t.Errorf("pinned to %q, want CPU %d", got, last)
	}
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
}
