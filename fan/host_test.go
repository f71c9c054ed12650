// SPDX-License-Identifier: MIT

package fan_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fan"
	"wqfan/fserr"
	"wqfan/internal/fanlimit"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
)

// The tests named TestKernel run on any kernel with FAN_FS_ERROR, on an ext4
// filesystem: in the guest on the one that is mounted there, elsewhere on a loop
// device.

// ext4 is a mounted ext4 filesystem.
type ext4 struct {
	dir    string
	device string // name under /sys/fs/ext4
	fsid   fserr.FSID
}

func mounted(t *testing.T, dir string) ext4 {
	t.Helper()
	return ext4{dir, filepath.Base(inguest.Device(t, dir)), inguest.FSID(t, dir)}
}

func mount(t *testing.T) ext4 {
	t.Helper()
	if need.InGuest() {
		return mounted(t, os.Getenv(inguest.EXT4Env))
	}
	return mountImage(t, makeImage(t, ""))
}

// makeImage makes an ext4 image with the files of root, if one is given.
func makeImage(t *testing.T, root string) string {
	t.Helper()
	need.Root(t)
	need.Programs(t, "mkfs.ext4", "mount")
	img := filepath.Join(t.TempDir(), "ext4.img")
	args := []string{"-q", img, "8M"}
	if root != "" {
		args = append([]string{"-d", root}, args...)
	}
	run(t, "mkfs.ext4", args...)
	return img
}

func mountImage(t *testing.T, img string) ext4 {
	t.Helper()
	dir := t.TempDir()
	run(t, "mount", "-o", "loop,errors=continue", img, dir)
	t.Cleanup(func() { run(t, "umount", dir) })
	return mounted(t, dir)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (fs ext4) trigger(t *testing.T, n int) {
	t.Helper()
	if err := flood.TriggerExt4(fs.device, n, nil); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, cfg fan.Config) *fan.Group {
	t.Helper()
	g, err := fan.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// limited opens a group whose queue holds n events.
func limited(t *testing.T, n int, cfg fan.Config) (g *fan.Group) {
	t.Helper()
	need.Root(t)
	if err := fanlimit.With(uint64(n), func() error {
		g = open(t, cfg)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

func watch(t *testing.T, g *fan.Group, dir string) {
	t.Helper()
	if err := g.Watch(dir); err != nil {
		t.Fatal(err)
	}
}

// collect reads until the events stand for n errors. The bytes of handles are
// copied.
func collect(t *testing.T, g *fan.Group, n uint64) []fserr.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []fserr.Event
	events := make([]fserr.Event, 16)
	for got := uint64(0); got < n; {
		k, err := g.Read(ctx, events)
		if err != nil {
			t.Fatalf("%d of %d errors, then %v", got, n, err)
		}
		for _, e := range events[:k] {
			got += e.Errors()
			e.Handle.Bytes = slices.Clone(e.Handle.Bytes)
			e.Record.Bytes = slices.Clone(e.Record.Bytes)
			all = append(all, e)
		}
	}
	return all
}

// handled waits until fserror's worker has told the group of n errors. Before
// Linux 7.0 fanotify is told where the error happens.
func handled(t *testing.T, g *fan.Group, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		s, err := g.Stats()
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			if release(t)[0] >= 7 {
				t.Skipf("Linux 7.0 reports errors later, from a worker, and without the series nothing says when: %v", err)
			}
			return
		case err != nil:
			t.Fatal(err)
		case s.Queued+s.Merged+s.Dropped >= n:
			return
		case time.Now().After(deadline):
			t.Fatalf("%+v, want %d errors", s, n)
		}
	}
}

func release(t *testing.T) [2]int {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var v [2]int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &v[0], &v[1]); err != nil {
		t.Fatal(err)
	}
	return v
}

// empty expects that nothing is queued.
func empty(t *testing.T, g *fan.Group) {
	t.Helper()
	if err := g.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	events := make([]fserr.Event, 1)
	if n, err := g.Read(t.Context(), events); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v, %v; want nothing", events[:n], err)
	}
	if err := g.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func TestKernelError(t *testing.T) {
	fs := mount(t)
	g := open(t, fan.Config{})
	watch(t, g, fs.dir)
	fs.trigger(t, 1)
	e := collect(t, g, 1)[0]
	if e.Has != fserr.HasErrno|fserr.HasCount|fserr.HasFSID|fserr.HasPID || e.Errno != fserr.EFSCORRUPTED || e.Count != 1 || e.FSID != fs.fsid || e.Recv == 0 {
		t.Errorf("got %v, want one EFSCORRUPTED of %v without an inode", e, fs.fsid)
	}
	if g.Reads() != 1 {
		t.Errorf("%d reads", g.Reads())
	}
	empty(t, g)

	// The queue is read after the watch is gone, and nothing follows.
	fs.trigger(t, 1)
	collect(t, g, 1)
	if err := g.Unwatch(fs.dir); err != nil {
		t.Fatal(err)
	}
	fs.trigger(t, 1)
	empty(t, g)
}

// All errors of a flood are in the counts of a few events.
func TestKernelCoalescing(t *testing.T) {
	fs := mount(t)
	g := open(t, fan.Config{})
	watch(t, g, fs.dir)
	const n = 1000
	fs.trigger(t, n)
	handled(t, g, n)
	events := collect(t, g, n)
	var sum uint64
	pids := make(map[int32]bool)
	for _, e := range events {
		sum += e.Errors()
		if pids[e.PID] {
			t.Errorf("two events from process %d: %v", e.PID, events)
		}
		pids[e.PID] = true
	}
	if sum != n {
		t.Errorf("the counts add up to %d, want %d", sum, n)
	}
	if release(t)[0] < 7 && len(events) != 1 {
		t.Errorf("%d events from one process", len(events))
	}
	empty(t, g)
}

// A queue of one event is full with one error: the next is dropped although it
// could be merged, the overflow has no count, and nothing else says so.
func TestKernelOverflow(t *testing.T) {
	fs := mount(t)
	g := limited(t, 1, fan.Config{})
	watch(t, g, fs.dir)
	fs.trigger(t, 5)
	handled(t, g, 5)
	events := make([]fserr.Event, 4)
	n, err := g.Read(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	if n != 2 || events[0].Errors() != 1 || events[1].Kind != fserr.Lost || events[1].Is(fserr.HasCount) {
		t.Errorf("got %v, want an error and a loss", events[:n])
	}
	empty(t, g)
	if s, err := g.Stats(); err == nil && s != (fan.Stats{Queued: 1, Dropped: 4}) {
		t.Errorf("counters %+v, want 1 queued and 4 dropped", s)
	}
	// The queue works again.
	fs.trigger(t, 1)
	collect(t, g, 1)
}

// Other events of the group fill the same queue.
func TestKernelFiller(t *testing.T) {
	fs := mount(t)
	dir, err := os.MkdirTemp(fs.dir, "filler")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	names, err := flood.MakeFiles(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	g := limited(t, len(names), fan.Config{})
	watch(t, g, fs.dir)
	if err := g.WatchOther(dir, unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD); err != nil {
		t.Fatal(err)
	}
	if err := flood.Opens(names); err != nil {
		t.Fatal(err)
	}
	fs.trigger(t, 2)
	handled(t, g, 2)
	events := make([]fserr.Event, 8)
	n, err := g.Read(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	if n != len(names)+1 || events[n-1].Kind != fserr.Lost {
		t.Fatalf("got %v, want %d opens and a loss", events[:n], len(names))
	}
	for i, e := range events[:n-1] {
		st := inguest.Stat(t, names[i])
		if e.Kind != fserr.Other || e.Record.Type != unix.FAN_OPEN || e.Ino != st.Ino || e.FSID != fs.fsid {
			t.Errorf("got %v, want an open of inode %d", e, st.Ino)
		}
	}
}

// The handle of the first error is kept, and it names the inode.
func TestImageInode(t *testing.T) {
	root := t.TempDir()
	names := []string{"first", "second"}
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(root, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	img := makeImage(t, root)
	need.Programs(t, "debugfs")
	stat := run(t, "debugfs", "-R", "stat first", img)
	number := func(label string) uint64 {
		m := regexp.MustCompile(label + `: +(\d+)`).FindStringSubmatch(stat)
		if m == nil {
			t.Fatalf("no %s in %s", label, stat)
		}
		v, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ino, gen := number("Inode"), uint32(number("Generation"))
	for _, name := range names {
		run(t, "debugfs", "-w", "-R", "set_inode_field "+name+" mode 0xff", img)
	}
	fs := mountImage(t, img)
	g := open(t, fan.Config{})
	watch(t, g, fs.dir)
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(fs.dir, name)); !errors.Is(err, unix.EUCLEAN) {
			t.Fatalf("stat of a broken inode: %v", err)
		}
	}
	events := collect(t, g, 2)
	e := events[0]
	if !e.Is(fserr.HasHandle|fserr.HasInode) || e.Ino != ino || e.Gen != gen || e.Errno != fserr.EFSCORRUPTED || e.FSID != fs.fsid {
		t.Errorf("got %v, want EFSCORRUPTED of inode %d generation %d", e, ino, gen)
	}
	if release(t)[0] < 7 && len(events) != 1 {
		t.Errorf("got %v, want one event", events)
	}
}

func TestKernelPIDFD(t *testing.T) {
	fs := mount(t)
	g := open(t, fan.Config{PIDFD: true})
	watch(t, g, fs.dir)
	fs.trigger(t, 1)
	e := collect(t, g, 1)[0]
	if !e.Is(fserr.HasPIDFD) {
		t.Fatalf("no pidfd in %v", e)
	}
	defer unix.Close(int(e.PIDFD))
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", e.PIDFD))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nPid:\t%d\n", e.PID); !strings.Contains(string(b), want) {
		t.Errorf("the pidfd says %q, want %q", b, want)
	}
	if release(t)[0] < 7 && e.PID != int32(os.Getpid()) {
		t.Errorf("process %d, want our own, %d", e.PID, os.Getpid())
	}
}

// Close also closes the pidfds of events that nobody asked for: TestMain finds
// them otherwise.
func TestKernelCloseDropsPIDFDs(t *testing.T) {
	fs := mount(t)
	g := open(t, fan.Config{PIDFD: true})
	watch(t, g, fs.dir)
	dir, err := os.MkdirTemp(fs.dir, "pidfd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	names, err := flood.MakeFiles(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.WatchOther(dir, unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD); err != nil {
		t.Fatal(err)
	}
	if err := flood.Opens(names); err != nil {
		t.Fatal(err)
	}
	events := make([]fserr.Event, 1)
	if n, err := g.Read(t.Context(), events); n != 1 || err != nil || !events[0].Is(fserr.HasPIDFD) {
		t.Fatalf("%v, %v", events[:n], err)
	}
	unix.Close(int(events[0].PIDFD))
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKernelBufferTooSmall(t *testing.T) {
	fs := mount(t)
	g := open(t, fan.Config{BufferSize: 32})
	watch(t, g, fs.dir)
	fs.trigger(t, 1)
	handled(t, g, 1)
	_, err := g.Read(t.Context(), make([]fserr.Event, 1))
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "does not fit the read buffer of 32 bytes, raise Config.BufferSize") {
		t.Errorf("got %v", err)
	}
}

func TestKernelRefusals(t *testing.T) {
	if _, err := fan.Open(fan.Config{BufferSize: -1}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a negative buffer: %v", err)
	}
	if _, err := fan.Open(fan.Config{Blob: true}); !errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the record's format without the record: %v", err)
	}
	need.Root(t)
	g := open(t, fan.Config{})
	if err := g.Watch("/nonexistent"); !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), "fanotify_mark /nonexistent: no such file or directory") {
		t.Errorf("a path that does not exist: %v", err)
	}
	if err := g.Unwatch("/"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("nothing to unwatch: %v", err)
	}
	if err := g.WatchOther("/", unix.FAN_FS_ERROR); !errors.Is(err, unix.EINVAL) && os.Getenv(inguest.VariantEnv) != "patched" {
		t.Errorf("errors of an inode: %v", err)
	}
	inguest.Unprivileged(t, func() {
		// A group is for everyone, the errors of a filesystem are not.
		g, err := fan.Open(fan.Config{})
		if err != nil {
			t.Error(err)
			return
		}
		defer g.Close()
		if err := g.Watch("/"); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "needs CAP_SYS_ADMIN") {
			t.Errorf("without privileges: %v", err)
		}
		if _, err := fan.Open(fan.Config{Unlimited: true}); !errors.Is(err, unix.EPERM) {
			t.Errorf("an unlimited queue without privileges: %v", err)
		}
	})
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Watch("/"); err != os.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// On a kernel without the series, one line says which patch is missing.
func TestKernelWithoutSeries(t *testing.T) {
	if os.Getenv(inguest.VariantEnv) == "patched" {
		t.Skip("this kernel has the series")
	}
	for patch, cfg := range map[string]fan.Config{
		"fanotify: report filesystem errors in detail":             {Detailed: true},
		"fanotify: report the filesystem's own record of an error": {Detailed: true, Blob: true},
		"fanotify: optionally merge events when the queue is full": {Detailed: true, MergeWhenFull: true},
		"fanotify: optionally report how many events were dropped": {OverflowCount: true, PIDFD: need.InGuest()},
		"fanotify: optionally report where an error was noticed":   {Detailed: true, Location: true},
	} {
		_, err := fan.Open(cfg)
		if errors.Is(err, unix.EPERM) && !need.InGuest() {
			continue // asked before the flags are looked at
		}
		want := fmt.Sprintf("fanotify_init: unsupported operation: invalid argument (the kernel lacks the patch %q)", patch)
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, unix.EINVAL) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	file, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := open(t, fan.Config{}).WatchFile(file); !errors.Is(err, errors.ErrUnsupported) ||
		!strings.Contains(err.Error(), `(the kernel lacks the patch "fanotify: allow marking inodes for their errors")`) {
		t.Errorf("a file: %v", err)
	}
}

func TestKernelStats(t *testing.T) {
	g := open(t, fan.Config{})
	s, err := g.Stats()
	if os.Getenv(inguest.VariantEnv) == "patched" {
		if err != nil || s != (fan.Stats{}) {
			t.Errorf("%+v, %v before any error", s, err)
		}
		return
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%+v, %v", s, err)
	}
}
