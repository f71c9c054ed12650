// SPDX-License-Identifier: MIT

package patches_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
	"wqfan/wq"
)

// TestGuestCgroup wants a kernel with memory cgroups, and TestKUnit boots one.
func TestGuestCgroup(t *testing.T) {
	need.Guest(t)
	if list, err := os.ReadFile("/proc/filesystems"); err != nil {
		t.Fatal(err)
	} else if !strings.Contains(string(list), "\tcgroup2\n") {
		t.Skip("TestKUnit boots a kernel with memory cgroups")
	}
	const root = "/sys/fs/cgroup"
	if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
		t.Fatalf("mount cgroup2: %v", err)
	}
	write(t, filepath.Join(root, "cgroup.subtree_control"), "+memory")
	cgroup := func(t *testing.T) (dir string) {
		dir = filepath.Join(root, filepath.Base(t.Name()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "cgroup.procs"), "0")
		return dir
	}
	leave := func(t *testing.T) { write(t, filepath.Join(root, "cgroup.procs"), "0") }

	// A queue's ring is charged to who sets its size, until it is closed.
	t.Run("queue", func(t *testing.T) {
		dir := cgroup(t)
		defer leave(t)
		const notes, slack = 16384, 512 << 10 // what CPUs have charged ahead
		const ring = notes * 128
		before := charged(t, dir)
		q, err := wq.Open(wq.Config{Notes: notes})
		if err != nil {
			t.Fatal(err)
		}
		if got := charged(t, dir) - before; got < ring-slack || got > ring+slack {
			t.Errorf("a ring of %d bytes was charged as %d", ring, got)
		}
		q.Close()
		for deadline := time.Now().Add(time.Minute); charged(t, dir) > before+slack; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are charged after the queue was closed, %d before it was open", charged(t, dir), before)
			}
		}
	})

	// The events of a group that has each error in detail are charged to who
	// made it. If that fails, either only the filesystem's record is lost, and
	// the event says so, or the event is, and counted.
	t.Run("group", func(t *testing.T) {
		dir := cgroup(t)
		defer leave(t)
		g, err := fan.Open(fan.Config{Detailed: true, OverflowCount: true})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		const mnt = "/mnt/ext4"
		if err := g.Watch(mnt); err != nil {
			t.Fatal(err)
		}
		leave(t)
		write(t, filepath.Join(dir, "memory.max"), fmt.Sprint(charged(t, dir)+64<<10))
		file, err := os.Create(filepath.Join(mnt, "flooded"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var whole, without, lost, n uint64
		events := make([]fserr.Event, 64)
		for whole+without+lost < n || n == 0 || without == 0 && n < 1<<20 {
			// Whether there is room left for an event and not for its record
			// depends on what the last page that could be charged was cut into.
			if whole+without+lost == n {
				const count = 400
				inguest.Inject(t, flood.Spec{Count: count, PerInode: true, Class: fserr.BufferedRead, Errno: 5, Blob: 4096}, file)
				n += count
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			got, err := g.Read(ctx, events)
			cancel()
			if err != nil {
				t.Fatalf("after %d events with a record, %d without, %d lost: %v", whole, without, lost, err)
			}
			for _, e := range events[:got] {
				switch {
				case e.Kind == fserr.Lost:
					lost += e.Count
				case e.Has&fserr.HasRecord != 0:
					whole += e.Count
				case e.Has&fserr.HasBroken != 0:
					without += e.Count
				default:
					t.Fatalf("neither a record, nor said to be without: %v", e)
				}
			}
		}
		t.Logf("%d events with their record, %d without, %d lost", whole, without, lost)
		if whole == 0 || without == 0 || lost == 0 || whole+without+lost != n {
			t.Errorf("%d errors: %d events with their record, %d without, %d lost; want some of each", n, whole, without, lost)
		}
	})
}

func write(t *testing.T, name, data string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(data), 0); err != nil {
		t.Fatal(err)
	}
}

// charged is what a cgroup has been charged with, in bytes.
func charged(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "memory.current"))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: no memory controller", dir)
		}
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
