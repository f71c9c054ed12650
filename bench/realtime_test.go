// SPDX-License-Identifier: MIT

package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/internal/need"
)

// The monitor wakes again and again while a goroutine runs, and no other thread
// does if there is but that goroutine.
func TestMonitorThread(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	tid, err := monitorThread()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if tid == unix.Gettid() {
		t.Fatalf("%d is the test's own thread", tid)
	}
	for first := sleeps(t, tid); sleeps(t, tid) < first+10; {
	}
}

// sleeps is how often a thread has gone to sleep by itself.
func sleeps(t *testing.T, tid int) (n int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if _, err := fmt.Sscanf(string(line), "voluntary_ctxt_switches: %d", &n); err == nil {
			return n
		}
	}
	t.Fatalf("no voluntary_ctxt_switches in %q", b)
	return 0
}

func TestPromoted(t *testing.T) {
	need.Root(t)
	tid, err := monitorThread()
	if err != nil {
		t.Fatal(err)
	}
	policy := func() uint32 {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err != nil {
			t.Fatal(err)
		}
		return attr.Policy
	}
	demote, err := promoted()
	if err != nil {
		t.Fatal(err)
	}
	if got := policy(); got != unix.SCHED_FIFO {
		t.Errorf("promoted to policy %d", got)
	}
	demote()
	if got := policy(); got != unix.SCHED_NORMAL {
		t.Errorf("demoted to policy %d", got)
	}
}
