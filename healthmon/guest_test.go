// SPDX-License-Identifier: MIT

package healthmon_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fserr"
	"wqfan/healthmon"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
)

// The tests named TestGuest need the series: its injector makes their errors.
// Those named TestKernel run on a stock kernel too.

func TestPatched(t *testing.T) { inguest.Patched(t, "^Test(Kernel|Guest)") }

func TestStock(t *testing.T) { inguest.Stock(t, "^TestKernel") }

// open attaches a monitor to the guest's XFS and takes its first event.
func open(t *testing.T) *healthmon.Monitor {
	t.Helper()
	m, err := healthmon.Open(os.Getenv(inguest.XFSEnv), healthmon.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if e := collect(t, m, 1)[0]; e.Kind != fserr.Other || e.Record.Type != uint32(healthmon.Running) {
		t.Fatalf("the first event is %v, want Running", e)
	}
	return m
}

// collect reads n events. The bytes of records are copied.
func collect(t *testing.T, m *healthmon.Monitor, n int) []fserr.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []fserr.Event
	events := make([]fserr.Event, 100)
	for len(all) < n {
		k, err := m.Read(ctx, events)
		if err != nil {
			t.Fatalf("%d of %d events, then %v", len(all), n, err)
		}
		for _, e := range events[:k] {
			if now := time.Now(); e.Is(fserr.HasRecord) {
				e.Record.Bytes = slices.Clone(e.Record.Bytes)
				r, err := healthmon.Parse(e.Record.Bytes)
				if err != nil || r.Time.Before(now.Add(-time.Minute)) || r.Time.After(now) {
					t.Errorf("%v, %v: at %v, it is %v", r, err, r.Time, now)
				}
			}
			all = append(all, e)
		}
	}
	return all
}

func empty(t *testing.T, m *healthmon.Monitor) {
	t.Helper()
	m.SetReadDeadline(time.Unix(1, 0))
	defer m.SetReadDeadline(time.Time{})
	if n, err := m.Read(t.Context(), make([]fserr.Event, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("there is more: %d, %v", n, err)
	}
}

// files makes n files on the guest's XFS.
func files(t *testing.T, n int) []*os.File {
	t.Helper()
	inguest.Series(t)
	dir, err := os.MkdirTemp(os.Getenv(inguest.XFSEnv), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	fs := make([]*os.File, n)
	for i := range fs {
		if fs[i], err = os.Create(filepath.Join(dir, string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fs[i].Close() })
	}
	return fs
}

// An event says which file, which range, which class and which error.
func TestGuestFileRange(t *testing.T) {
	fs := files(t, 3)
	m := open(t)
	for class := fserr.BufferedRead; class <= fserr.DataLost; class++ {
		inguest.Inject(t, flood.Spec{Count: 3, PerInode: true, Class: class, Errno: 61}, fs...)
		got := collect(t, m, 3)
		for i, f := range fs {
			j := slices.IndexFunc(got, func(e fserr.Event) bool { return e.Ino == inguest.Stat(t, f.Name()).Ino })
			if j < 0 {
				t.Fatalf("%v: nothing about %s", class, f.Name())
			}
			want := fserr.Event{
				Kind: fserr.Error, Has: fserr.HasClass | fserr.HasErrno | fserr.HasInode | fserr.HasRange | fserr.HasRecord | fserr.HasMagic, Magic: fserr.XFSMagic,
				Class: class, Errno: 61, Ino: inguest.Stat(t, f.Name()).Ino, Gen: inguest.Generation(t, f),
				Pos: got[j].Pos, Len: got[j].Len, Record: got[j].Record, Recv: got[j].Recv,
			}
			if diff := cmp.Diff(want, got[j]); diff != "" {
				t.Errorf("%v, file %d: %s", class, i, diff)
			}
		}
	}
	empty(t, m)
}

// What finds the queue full is lost; how many that were comes with the next
// event, and the kernel's counters know it at once.
func TestGuestOverflow(t *testing.T) {
	fs := files(t, 1)
	m := open(t)
	const n = 1000
	inguest.Inject(t, flood.Spec{Count: n, PerInode: true, Class: fserr.DirectIOWrite, Errno: 5}, fs...)
	s, err := m.Stats()
	if want := (healthmon.Stats{Queued: 1 + healthmon.QueueLen, Lost: n - healthmon.QueueLen}); err != nil || s != want {
		t.Errorf("counters %+v, %v; want %+v", s, err, want)
	}
	collect(t, m, healthmon.QueueLen)
	empty(t, m)
	inguest.Inject(t, flood.Spec{Count: 1, PerInode: true, Class: fserr.DirectIOWrite, Errno: 5}, fs...)
	got := collect(t, m, 2)
	if got[0].Kind != fserr.Lost || !got[0].Is(fserr.HasCount) || got[0].Count != n-healthmon.QueueLen || got[1].Kind != fserr.Error {
		t.Errorf("got %v, want a loss of %d and an error", got, n-healthmon.QueueLen)
	}
}

// Two readers on one kernel object: the second monitor of a mount is refused.
func TestKernelOneMonitor(t *testing.T) {
	need.Guest(t)
	m := open(t)
	if _, err := healthmon.Open(os.Getenv(inguest.XFSEnv), healthmon.Config{}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second monitor: %v, want %v", err, unix.EEXIST)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(t.Context(), make([]fserr.Event, 1)); err != os.ErrClosed {
		t.Errorf("read after close: %v", err)
	}
	open(t)
}

func TestKernelRefused(t *testing.T) {
	need.Guest(t)
	if _, err := healthmon.Open(os.Getenv(inguest.EXT4Env), healthmon.Config{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ext4: %v, want unsupported", err)
	}
	below := t.TempDir()
	if err := os.Mkdir(filepath.Join(os.Getenv(inguest.XFSEnv), "below"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := healthmon.Open(filepath.Join(os.Getenv(inguest.XFSEnv), "below"), healthmon.Config{}); !errors.Is(err, unix.EPERM) {
		t.Errorf("not the root directory: %v, want %v", err, unix.EPERM)
	}
	if _, err := healthmon.Open(filepath.Join(below, "none"), healthmon.Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such path: %v", err)
	}
	inguest.Unprivileged(t, func() {
		if _, err := healthmon.Open(os.Getenv(inguest.XFSEnv), healthmon.Config{}); !errors.Is(err, unix.EPERM) {
			t.Errorf("without CAP_SYS_ADMIN: %v, want %v", err, unix.EPERM)
		}
	})
}

// A filesystem that shuts down says so, and when it is unmounted, Removed is
// the last event though the kernel has put it in front of the others.
func TestKernelShutdown(t *testing.T) {
	need.Guest(t)
	dir := os.Getenv(inguest.XFSEnv)
	device := inguest.Device(t, dir)
	m := open(t)
	shutdown(t, dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Mount(device, dir, "xfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	})
	got := collect(t, m, 2)
	if e := got[0]; e.Kind != fserr.Error || e.Record.Type != uint32(healthmon.Shutdown) {
		t.Errorf("got %v, want a shutdown", e)
	} else if r, err := healthmon.Parse(e.Record.Bytes); err != nil || r.String() != "mount shutdown reasons=log-io-error|force-umount" {
		t.Errorf("%v, %v", r, err)
	}
	if got[1].Kind != fserr.Removed || len(got) != 2 {
		t.Errorf("got %v, want Removed at the end", got[1:])
	}
	if _, err := m.Read(t.Context(), make([]fserr.Event, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after Removed: %v, want %v", err, io.EOF)
	}
	if s, err := m.Stats(); err != nil || !s.Dead {
		t.Errorf("counters %+v, %v; want dead", s, err)
	}
}

// shutdown is XFS_IOC_GOINGDOWN, fs/xfs/libxfs/xfs_fs.h.
func shutdown(t *testing.T, dir string) {
	t.Helper()
	const iocGoingdown, noLogFlush = 0x8004587d, 2
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), iocGoingdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		t.Fatal(errno)
	}
}
