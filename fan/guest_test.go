// SPDX-License-Identifier: MIT

package fan_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/inguest"
)

// The tests named TestGuest need the series: its injector makes their errors.

func TestPatched(t *testing.T) { inguest.Patched(t, "^Test(Kernel|Guest)") }

func TestStock(t *testing.T) { inguest.Stock(t, "^TestKernel") }

func TestBesideC(t *testing.T) { inguest.BesideC(t, "fan") }

// The event of an inode has the handle that name_to_handle_at(2) gives, and the
// inode and the generation in it.
func TestGuestInode(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		g := open(t, fan.Config{})
		watch(t, g, dir)
		inguest.Inject(t, flood.Spec{Count: 1, PerInode: true, Class: fserr.DataLost, Errno: 61}, files...)
		e := collect(t, g, 1)[0]

		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, files[0].Name(), 0)
		if err != nil {
			t.Fatal(err)
		}
		want := fserr.Event{
			Kind: fserr.Error, Has: fserr.HasErrno | fserr.HasCount | fserr.HasFSID | fserr.HasHandle | fserr.HasInode | fserr.HasPID,
			Errno: 61, Count: 1, FSID: inguest.FSID(t, dir),
			Ino: inguest.Stat(t, files[0].Name()).Ino, Gen: inguest.Generation(t, files[0]),
			Handle: fserr.Handle{Type: h.Type(), Bytes: h.Bytes()},
			PID:    e.PID, Recv: e.Recv,
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Error(diff)
		}
	})
}

// The first error is told in detail, the others are in its count; the kernel's
// counters say the same.
func TestGuestCoalescing(t *testing.T) {
	inguest.EachFS(t, 3, func(t *testing.T, dir string, files []*os.File) {
		g := open(t, fan.Config{})
		watch(t, g, dir)
		const n = 1000
		inguest.Inject(t, flood.Spec{Count: n, PerInode: true, Errno: 5}, files...)
		events := collect(t, g, n)
		// On several CPUs one worker can overtake another.
		if ino := inguest.Stat(t, files[0].Name()).Ino; events[0].Ino != ino && runtime.NumCPU() == 1 {
			t.Errorf("got %v, want the first error's inode, %d", events[0], ino)
		}
		var sum uint64
		for _, e := range events {
			sum += e.Errors()
		}
		if sum != n {
			t.Errorf("the counts add up to %d, want %d", sum, n)
		}
		s, err := g.Stats()
		if want := (fan.Stats{Queued: uint64(len(events)), Merged: n - uint64(len(events))}); err != nil || s != want {
			t.Errorf("counters %+v, %v; want %+v", s, err, want)
		}
		empty(t, g)
	})
}

// A full queue drops errors that it could count: what was read and what the
// kernel says was dropped are all of them.
func TestGuestOverflow(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		g := limited(t, 1, fan.Config{})
		watch(t, g, dir)
		const n = 100
		inguest.Inject(t, flood.Spec{Count: n, Errno: 5}, files...)
		events := make([]fserr.Event, 8)
		k, err := g.Read(t.Context(), events)
		if err != nil {
			t.Fatal(err)
		}
		if k != 2 || events[0].Kind != fserr.Error || events[1].Kind != fserr.Lost {
			t.Fatalf("got %v, want an error and a loss", events[:k])
		}
		s, err := g.Stats()
		if err != nil || events[0].Count+s.Dropped != n || s.Queued != 1 {
			t.Errorf("counted %d, counters %+v, %v; want %d in all", events[0].Count, s, err, n)
		}
		empty(t, g)
	})
}

// TestGuestSample compares what we read, event for event, with what the
// kernel's samples/fanotify/fs-monitor.c prints.
func TestGuestSample(t *testing.T) {
	const ready, first, n = fserr.Errno(200), fserr.Errno(201), 20
	inguest.EachFS(t, 3, func(t *testing.T, dir string, files []*os.File) {
		sample := inguest.StartSample(t, func() {
			inguest.Inject(t, flood.Spec{Count: 1, Errno: ready}, files[0])
		}, "fs-monitor", dir)
		g := open(t, fan.Config{})
		watch(t, g, dir)
		for i := range n {
			// One at a time, so that neither reader has two to merge.
			inguest.Inject(t, flood.Spec{Count: 1, Errno: first + fserr.Errno(i), PerInode: i%4 > 0}, files[i%len(files)])
			e := collect(t, g, 1)[0]
			want := block(sample)
			for strings.Contains(want, fmt.Sprintf("error: %d\n", ready)) || !strings.HasPrefix(want, "FAN_FS_ERROR") {
				want = block(sample)
			}
			if diff := cmp.Diff(want, sampleText(e)); diff != "" {
				t.Fatalf("event %d (-fs-monitor +fan):\n%s", i, diff)
			}
		}
	})
}

// block returns what fs-monitor prints for one event.
func block(s *inguest.Sample) string {
	var b strings.Builder
	for {
		line := s.Line()
		if line == "---" {
			s.Line()
			return b.String()
		}
		b.WriteString(line + "\n")
	}
}

// sampleText returns an event as fs-monitor prints it. It knows the lengths of
// the records.
func sampleText(e fserr.Event) string {
	const metadata, fid, errorInfo = 24, 20, 12
	handle := (len(e.Handle.Bytes) + 3) &^ 3
	var b strings.Builder
	fmt.Fprintf(&b, "FAN_FS_ERROR (len=%d)\n", metadata+fid+handle+errorInfo)
	fmt.Fprintf(&b, "\tfsid: %x%x\n\tfh: ", e.FSID[0], e.FSID[1])
	for _, c := range e.Handle.Bytes {
		fmt.Fprintf(&b, "%x", c)
	}
	b.WriteString("\n\tdecoded fh: ")
	switch {
	case e.Handle.Type == 1:
		fmt.Fprintf(&b, "inode=%d gen=%d\n", uint32(e.Ino), e.Gen)
	case !e.Is(fserr.HasHandle):
		b.WriteString("Type 255 (Superblock error)\n")
	default:
		fmt.Fprintf(&b, "Type %d (Unknown)\n", e.Handle.Type)
	}
	fmt.Fprintf(&b, "\tGeneric Error Record: len=%d\n\terror: %d\n\terror_count: %d\n", errorInfo, uint32(e.Errno), e.Count)
	return b.String()
}

// A context that ends does not cost a running reader its events.
func TestGuestContext(t *testing.T) {
	inguest.EachFS(t, 1, func(t *testing.T, dir string, files []*os.File) {
		g := open(t, fan.Config{})
		watch(t, g, dir)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		inguest.Inject(t, flood.Spec{Count: 3, Errno: 5}, files...)
		if n, err := g.Read(ctx, make([]fserr.Event, 1)); n != 0 || err != context.Canceled {
			t.Fatalf("%d, %v", n, err)
		}
		collect(t, g, 3)
	})
}
