// SPDX-License-Identifier: MIT

package patches_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/fserr"
	"wqfan/internal/inguest"
	"wqfan/internal/need"
	"wqfan/wq"
)

// smackArg has the kernel use Smack instead of SELinux.
const smackArg = "lsm=smack"

// Smack's rules decide who watches a filesystem's errors, and a file's: who may is told.
func TestSmack(t *testing.T) {
	if !*series {
		t.Skip("needs a kernel of its own: make series-test")
	}
	smack(t, image(t, kernel.Options{Variant: "lsm"}))
}

func smack(t *testing.T, im *kernel.Image) {
	t.Helper()
	boot(t, guesttest.Options{Kernel: im.Path, Run: "^TestGuestSmack$", FS: []string{"ext4"}, Append: []string{smackArg}})
}

func TestGuestSmack(t *testing.T) {
	need.Guest(t)
	if cmdline, err := os.ReadFile("/proc/cmdline"); err != nil {
		t.Fatal(err)
	} else if !strings.Contains(string(cmdline), smackArg) {
		t.Skip("TestSmack boots with " + smackArg)
	}
	const dir, smackfs = "/mnt/ext4", "/sys/fs/smackfs"
	if err := unix.Mount("smackfs", smackfs, "smackfs", 0, ""); err != nil {
		t.Fatalf("mount smackfs: %v", err)
	}
	// A file that has no label of its own has the filesystem's default.
	name := filepath.Join(dir, "watched")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	remount(t, dir, "smackfsroot=Root,smackfsfloor=Floor,smackfsdef=Default")
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	watches := map[string]func(q *wq.Queue) error{
		"filesystem": func(q *wq.Queue) error { return q.Watch(dir, 1, wq.Direct) },
		"file":       func(q *wq.Queue) error { return q.WatchFile(file, 1) },
	}
	// To call the ioctl takes writing to what it is called on (smack_file_ioctl());
	// that is allowed.
	for _, rules := range []struct{ allowed, load string }{
		{"nothing", "Watcher Root rwx\nWatcher Floor -\nWatcher Default w\n"},
		{"filesystem", "Watcher Root rwx\nWatcher Floor r\nWatcher Default w\n"},
		{"file", "Watcher Root rwx\nWatcher Floor -\nWatcher Default rw\n"},
	} {
		for rule := range strings.Lines(rules.load) {
			if err := os.WriteFile(filepath.Join(smackfs, "load2"), []byte(rule), 0); err != nil {
				t.Fatalf("load %q: %v", rule, err)
			}
		}
		for what, watch := range watches {
			q, err := wq.Open(wq.Config{})
			if err != nil {
				t.Fatal(err)
			}
			as(t, "Watcher", func() { err = watch(q) })
			if err == nil {
				told(t, what, q, file)
			}
			q.Close()
			switch {
			case rules.allowed == what && err != nil:
				t.Errorf("%s is allowed, %s: %v", rules.allowed, what, err)
			case rules.allowed != what && err == nil:
				t.Errorf("%s is allowed, %s: watched what the rules forbid", rules.allowed, what)
			case rules.allowed != what && !errors.Is(err, unix.EACCES):
				t.Errorf("%s is allowed, %s: %v, want %v", rules.allowed, what, err, unix.EACCES)
			}
		}
	}
}

// told injects an error of a file, and wants it to be read.
func told(t *testing.T, what string, q *wq.Queue, file *os.File) {
	t.Helper()
	inguest.Inject(t, flood.Spec{Count: 1, PerInode: true, Errno: 5}, file)
	if err := q.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	events := make([]fserr.Event, 4)
	n, err := q.Read(t.Context(), events)
	if n != 1 || err != nil || events[0].Kind != fserr.Error {
		t.Errorf("%s is watched, and an error of it reads as %v, %v", what, events[:n], err)
	}
}

// remount mounts what is at dir anew, with options.
func remount(t *testing.T, dir, options string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[1] == dir {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Fatalf("unmount %s: %v", dir, err)
			}
			if err := unix.Mount(f[0], dir, f[2], 0, options); err != nil {
				t.Fatalf("mount %s with %s: %v", dir, options, err)
			}
			return
		}
	}
	t.Fatalf("nothing is mounted at %s", dir)
}

// as runs f in a thread that has a label and no capability to override the rules.
func as(t *testing.T, label string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := os.WriteFile("/proc/thread-self/attr/current", []byte(label), 0); err != nil {
			t.Errorf("become %s: %v", label, err)
			return
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Errorf("capget: %v", err)
			return
		}
		const bit = unix.CAP_MAC_OVERRIDE - 32
		data[1].Effective &^= 1 << bit
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Errorf("capset: %v", err)
			return
		}
		f()
	}()
	<-done
}
