// SPDX-License-Identifier: MIT

package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/guest"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
)

// The tests named TestGuest need the series. Those named TestKernel run on a stock
// kernel too.

func TestPatched(t *testing.T) { inAGuest(t, "patched", 2, "^Test(Kernel|Guest)", 5*time.Minute) }

func TestStock(t *testing.T) { inAGuest(t, "stock", 1, "^TestKernel", 5*time.Minute) }

// Serial numbers of the guest's further disks, and what is broken on the first.
const (
	brokenExt4 = "broken-ext4"
	spareXFS   = "spare-xfs"
	badDir     = "bad dir"
	badFile    = "badfile"
)

// inAGuest runs tests in a guest with an ext4 that debugfs broke and a spare XFS.
func inAGuest(t *testing.T, variant string, cpus int, pattern string, limit time.Duration) {
	if need.InGuest() {
		t.Skip("this is the host's side of the test")
	}
	if testing.Short() {
		t.Skip("boots a guest")
	}
	need.Programs(t, "debugfs", "mkfs.ext4", "mkfs.xfs")
	im, err := kernel.Find(t.Context(), kernel.Options{Variant: variant})
	if err != nil {
		need.Missing(t, "needs the %s kernel: %v", variant, err)
	}
	content := t.TempDir()
	if err := os.Mkdir(filepath.Join(content, badDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(content, badFile), []byte("lost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	image := func(img guest.Image) string {
		name, err := img.Create(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	broken := image(guest.Image{FS: "ext4", Label: brokenExt4, Dir: content})
	if err := guest.Debugfs(t.Context(), broken, []string{
		`zap_block -f "/` + badDir + `" -p 0x5a 0`, "set_inode_field /" + badFile + " mode 0170000",
	}); err != nil {
		t.Fatal(err)
	}
	guesttest.Run(t, guesttest.Options{
		Kernel: im.Path, CPUs: cpus, Run: pattern, Timeout: limit,
		Disks: []guest.Disk{{Image: broken, Serial: brokenExt4}, {Image: image(guest.Image{FS: "xfs", Label: spareXFS}), Serial: spareXFS}},
		Env: map[string]string{inguest.EXT4Env: "/mnt/ext4", inguest.XFSEnv: "/mnt/xfs", inguest.VariantEnv: variant,
			soakEnv: os.Getenv(soakEnv)},
	})
}

// fault is a real error.
type fault struct {
	provoke func() error
	path    string // none: it cannot be found out
	ino     uint64
	errno   fserr.Errno
}

// broken is a filesystem with faults, and its own count of errors.
type broken struct {
	dir    string
	fsType string
	faults []fault
	count  func() uint64 // nil: it has none
}

func mount(t *testing.T, device, dir, fsType, options string) {
	t.Helper()
	if err := unix.Mount(device, dir, fsType, 0, options); err != nil {
		t.Fatalf("mount %s: %v", device, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil && err != unix.EINVAL {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// mountBrokenExt4 mounts the filesystem with a directory block and an inode that
// debugfs destroyed.
func mountBrokenExt4(t *testing.T) *broken {
	t.Helper()
	device, err := guest.FindDisk(brokenExt4)
	if err != nil {
		t.Fatal(err)
	}
	b := &broken{dir: t.TempDir(), fsType: "ext4"}
	mount(t, device, b.dir, "ext4", "errors=continue")
	ignore := func(err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	b.faults = []fault{{
		provoke: func() error { _, err := os.Stat(filepath.Join(b.dir, badDir, "x")); return ignore(err) },
		path:    filepath.Join(b.dir, badDir), ino: inguest.Stat(t, filepath.Join(b.dir, badDir)).Ino, errno: fserr.EFSBADCRC,
	}, {
		provoke: func() error { _, err := os.Stat(filepath.Join(b.dir, badFile)); return ignore(err) },
		ino:     inodeNumber(t, b.dir, badFile), errno: fserr.EFSCORRUPTED,
	}}
	own := func() uint64 {
		text, err := os.ReadFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "errors_count"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := own()
	b.count = func() uint64 { return own() - before }
	return b
}

// inodeNumber reads a folder: the inode itself cannot be looked at.
func inodeNumber(t *testing.T, dir, name string) uint64 {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 8192)
	n, err := unix.Getdents(int(f.Fd()), buf)
	if err != nil {
		t.Fatal(err)
	}
	for b := buf[:n]; len(b) > 0; { // struct linux_dirent64, linux/dirent.h
		size := *(*uint16)(unsafe.Pointer(&b[16]))
		if s, _, _ := strings.Cut(string(b[19:size]), "\x00"); s == name {
			return *(*uint64)(unsafe.Pointer(&b[0]))
		}
		b = b[size:]
	}
	t.Fatalf("no %s in %s", name, dir)
	return 0
}

// mountFailingXFS mounts XFS on a device that cannot read the second block of a
// file.
func mountFailingXFS(t *testing.T) *broken {
	t.Helper()
	device, err := guest.FindDisk(spareXFS)
	if err != nil {
		t.Fatal(err)
	}
	dm, err := flood.Map("wqfan-monitor", device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dm.Remove() })
	b := &broken{dir: t.TempDir(), fsType: "xfs"}
	mount(t, dm.Path, b.dir, "xfs", "")
	t.Cleanup(func() { dm.Load(flood.Segment{Sectors: dm.Sectors()}) })
	const block = 4096
	name := filepath.Join(b.dir, "victim")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 16*block)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	at, _, err := flood.FirstExtent(f)
	if err != nil {
		t.Fatal(err)
	}
	bad := at/512 + block/512
	if err := dm.Load(flood.Segment{Sectors: bad}, flood.Segment{Sectors: block / 512, Fails: true},
		flood.Segment{Sectors: dm.Sectors() - bad - block/512}); err != nil {
		t.Fatal(err)
	}
	b.faults = []fault{{
		provoke: func() error {
			fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			buf := make([]byte, 2*block)
			skip := -int(uintptr(unsafe.Pointer(&buf[0]))) & (block - 1)
			_, err = unix.Pread(fd, buf[skip:skip+block], block)
			return err
		},
		path: name, ino: inguest.Stat(t, name).Ino, errno: 5,
	}}
	return b
}

// running is a monitor that runs, and what it has printed.
type running struct {
	*Monitor
	t    *testing.T
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// start runs a monitor until the test ends, or until the function that it
// returns is called.
func start(t *testing.T, o Options) (r *running, stop func()) {
	t.Helper()
	r = &running{t: t}
	o.Output, o.JSON, o.Log = r, true, quietly
	r.Monitor = New(o)
	ctx, cancel := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

// until waits for a condition.
func (r *running) until(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("waiting for %s: %s, %+v, printed:\n%s", what, r.table.status(), r.table.list(), r.text.Bytes())
		}
	}
}

func (r *running) watches(n int) {
	r.t.Helper()
	want := fmt.Sprintf("watching %d of %d filesystems", n, n)
	r.until(want, func() bool { return r.table.status() == want })
}

// events returns what was printed.
func (r *running) events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Event
	for d := json.NewDecoder(bytes.NewReader(r.text.Bytes())); ; {
		var e Event
		if d.Decode(&e) != nil {
			return all
		}
		all = append(all, e)
	}
}

// sum adds up all series of a metric.
func (r *running) sum(name string) (sum float64) {
	families, err := r.Metrics().Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// backends are those that the kernel has for a type of filesystem.
func backends(fsType string) []string {
	all := []string{Fan}
	if os.Getenv(inguest.VariantEnv) == "patched" {
		all = append(all, WQ)
	}
	if fsType == "xfs" {
		all = append(all, HealthMon)
	}
	return all
}

// Real errors are shown by path and error number on each backend, and the
// metrics agree with the filesystem's own count.
func TestKernelRealErrors(t *testing.T) {
	need.Guest(t)
	for fsType, mount := range map[string]func(*testing.T) *broken{"ext4": mountBrokenExt4, "xfs": mountFailingXFS} {
		for _, backend := range backends(fsType) {
			t.Run(fsType+"/"+backend, func(t *testing.T) {
				b := mount(t)
				m, stop := start(t, Options{Dirs: []string{b.dir}, Backend: backend})
				defer stop()
				m.watches(1)
				for _, f := range b.faults {
					if err := f.provoke(); err == nil {
						t.Fatal("the filesystem noticed nothing")
					}
					is := func(e Event) bool { return e.Kind == "error" && e.Ino == f.ino }
					m.until("the event", func() bool { return slices.ContainsFunc(m.events(), is) })
					e := m.events()[slices.IndexFunc(m.events(), is)]
					if e.Path != f.path || e.Errno != uint32(f.errno) || e.Error != f.errno.String() || e.Mount != b.dir ||
						e.FSType != fsType || e.Backend != backend {
						t.Errorf("got %+v, want %q and %v", e, f.path, f.errno)
					}
					t.Log(e)
				}
				if b.count != nil {
					m.until("the filesystem's own count", func() bool { return m.sum("wqfan_errors_total") == float64(b.count()) })
					// To look at a broken inode is an error of its own, once.
					if n := b.count(); n > 3 {
						t.Errorf("%d errors of 2 faults", n)
					}
				} else if n := m.sum("wqfan_errors_total"); n != float64(len(b.faults)) {
					t.Errorf("the metrics count %v errors, want %d", n, len(b.faults))
				}
			})
		}
	}
}

// A filesystem that is mounted is watched, and one that is unmounted is not.
func TestKernelFollows(t *testing.T) {
	need.Guest(t)
	for _, backend := range backends("xfs") {
		t.Run(backend, func(t *testing.T) {
			dir := t.TempDir()
			m, _ := start(t, Options{Dirs: []string{dir}, Backend: backend})
			m.watches(0)
			device, err := guest.FindDisk(spareXFS)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if err := unix.Mount(device, dir, "xfs", 0, ""); err != nil {
					t.Fatal(err)
				}
				m.watches(1)
				if err := unix.Unmount(dir, 0); err != nil {
					t.Fatal(err)
				}
				m.watches(0)
				m.until("removed", func() bool {
					n := 0
					for _, e := range m.events() {
						if e.Kind == "removed" && e.Mount == dir {
							n++
						}
					}
					return n == i+1
				})
			}
		})
	}
}

// All filesystems on block devices are watched if none is named.
func TestKernelAll(t *testing.T) {
	need.Guest(t)
	m, _ := start(t, Options{Backend: Auto})
	m.watches(2)
	var got []string
	want := Fan
	if os.Getenv(inguest.VariantEnv) == "patched" {
		want = WQ
	}
	for _, w := range m.table.list() {
		got = append(got, w.Dir)
		if w.backend != want {
			t.Errorf("auto takes %s for %s, want %s", w.backend, w.Dir, want)
		}
	}
	if !slices.Equal(got, []string{os.Getenv(inguest.EXT4Env), os.Getenv(inguest.XFSEnv)}) {
		t.Errorf("watching %q", got)
	}
}

// A monitor that runs out of descriptors says what it cannot watch, and watches
// it when there are some.
func TestKernelEMFILE(t *testing.T) {
	need.Guest(t)
	dir := t.TempDir()
	m, _ := start(t, Options{Dirs: []string{dir}, Backend: HealthMon})
	device, err := guest.FindDisk(spareXFS)
	if err != nil {
		t.Fatal(err)
	}
	mount(t, device, dir, "xfs", "")
	m.watches(1) // it has what it needs
	unmount := func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
		m.watches(0)
	}
	unmount()

	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Fatal(err)
		}
	}
	set(unix.Rlimit{Cur: 512, Max: old.Max})
	defer set(old)
	var held []int
	release := func(n int) {
		for _, fd := range held[len(held)-n:] {
			unix.Close(fd)
		}
		held = held[:len(held)-n]
	}
	defer func() { release(len(held)) }()
	// Room for one descriptor: /proc/self/mountinfo can be read, an ioctl on an
	// open folder that makes another one fails.
	one := func() {
		for {
			fd, err := unix.Dup(0)
			if err != nil {
				break
			}
			held = append(held, fd)
		}
		release(1)
	}
	one()
	mount(t, device, dir, "xfs", "")
	began := time.Now()
	m.until("EMFILE", func() bool {
		switch list := m.table.list(); {
		case strings.Contains(fmt.Sprint(list), "too many open files"):
			return true
		case m.sum("wqfan_mount_watched") == 1: // somebody has closed another
			unmount()
			one()
			mount(t, device, dir, "xfs", "")
			began = time.Now()
		case len(list) == 0 && time.Since(began) > 5*time.Second: // somebody has it
			release(1)
			m.Reload()
			began = time.Now()
		}
		return false
	})
	if n := m.sum("wqfan_mount_watched"); n != 0 {
		t.Errorf("%v filesystems are watched", n)
	}
	release(len(held))
	m.Reload()
	m.watches(1)
}

// childEnv makes the test binary a monitor of the named folder.
const childEnv = "WQFAN_MONITOR_CHILD"

// Each backend needs CAP_SYS_ADMIN, paths need CAP_DAC_READ_SEARCH, and that is
// all: a monitor that is nobody works with these, and keeps no other.
func TestKernelCapabilities(t *testing.T) {
	need.Guest(t)
	run := func(t *testing.T, b *broken, backend string, caps ...uintptr) (e Event, effective, says string) {
		t.Helper()
		if err := os.Chmod(b.dir, 0o700); err != nil { // not for nobody
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), childEnv+"="+b.dir+":"+backend)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
		var stderr bytes.Buffer
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		log, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		lines := bufio.NewReader(log)
		for {
			line, err := lines.ReadString('\n')
			stderr.WriteString(line)
			if err != nil {
				return e, "", stderr.String()
			}
			if strings.Contains(line, "msg=watching") {
				break
			}
		}
		go io.Copy(io.Discard, lines)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(line, "CapPrm:\t"); ok {
				effective = strings.TrimSpace(v)
			}
		}
		b.faults[0].provoke()
		if err := json.NewDecoder(out).Decode(&e); err != nil {
			t.Fatal(err)
		}
		return e, effective, stderr.String()
	}
	both := []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_READ_SEARCH}
	for fsType, mount := range map[string]func(*testing.T) *broken{"ext4": mountBrokenExt4, "xfs": mountFailingXFS} {
		for _, backend := range backends(fsType) {
			t.Run(fsType+"/"+backend, func(t *testing.T) {
				b := mount(t)
				f := b.faults[0]
				// More than it needs, to see that it gives that up.
				e, effective, says := run(t, b, backend, append(both, unix.CAP_NET_ADMIN)...)
				if e.Path != f.path || e.Errno != uint32(f.errno) || effective != "0000000000200004" {
					t.Errorf("with what it needs: %+v, capabilities %s, %s", e, effective, says)
				}
				if err := os.Chmod(b.dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if _, _, says := run(t, b, backend, unix.CAP_DAC_READ_SEARCH); !strings.Contains(says, "operation not permitted") {
					t.Errorf("without CAP_SYS_ADMIN: %s", says)
				}
			})
		}
	}
}

// Without CAP_DAC_READ_SEARCH there are events, but no paths.
func TestKernelNoPaths(t *testing.T) {
	need.Guest(t)
	b := mountBrokenExt4(t)
	e := fserr.Event{Has: fserr.HasInode, Ino: b.faults[0].ino}
	fsid := inguest.FSID(t, b.dir)
	w := &watched{Mount: Mount{Dir: b.dir}, fsid: fsid, magic: fserr.EXT4Magic}
	f, err := os.Open(b.faults[0].path)
	if err != nil {
		t.Fatal(err)
	}
	e.Gen = inguest.Generation(t, f)
	f.Close()
	if got := newResolver().path(w, &e); got != b.faults[0].path {
		t.Errorf("as root: %q, want %q", got, b.faults[0].path)
	}
	inguest.Unprivileged(t, func() {
		h, _ := handle(w.magic, &e)
		if got := resolve(w, h); got != "" {
			t.Errorf("as nobody: %q", got)
		}
	})
}
