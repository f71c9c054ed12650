// SPDX-License-Identifier: MIT

package inguest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/fserr"
)

// EachFS runs f on each filesystem of a guest with the series, in a folder with
// n open files.
func EachFS(t *testing.T, n int, f func(t *testing.T, dir string, files []*os.File)) {
	t.Helper()
	Series(t)
	for _, fs := range []struct{ name, env string }{{"ext4", EXT4Env}, {"xfs", XFSEnv}} {
		t.Run(fs.name, func(t *testing.T) {
			dir, err := os.MkdirTemp(os.Getenv(fs.env), "test")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			files := make([]*os.File, n)
			for i := range files {
				if files[i], err = os.Create(filepath.Join(dir, fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { files[i].Close() })
			}
			f(t, dir, files)
		})
	}
}

// Inject makes errors and waits until they are handled.
func Inject(t testing.TB, s flood.Spec, targets ...*os.File) flood.Report {
	t.Helper()
	r, err := flood.Inject(t.Context(), s, targets...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Accepted != s.Count || !r.Drained {
		t.Fatalf("%+v, want %d accepted and handled", r, s.Count)
	}
	return r
}

// FSID returns what statfs(2) says about the filesystem of path.
func FSID(t testing.TB, path string) fserr.FSID {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	return fserr.FSID{uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1])}
}

// Stat returns what stat(2) says about path.
func Stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// Device returns the name of the block device that path is on, under /dev.
func Device(t testing.TB, path string) string {
	t.Helper()
	dev := Stat(t, path).Dev
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev)))
	if err != nil {
		t.Fatal(err)
	}
	return "/dev/" + filepath.Base(link)
}

// Generation returns the generation of a file's inode.
func Generation(t testing.TB, f *os.File) uint32 {
	t.Helper()
	const fsIocGetVersion = 0x80087601 // FS_IOC_GETVERSION, linux/fs.h
	v, err := unix.IoctlGetInt(int(f.Fd()), fsIocGetVersion)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(v)
}

// Unprivileged runs f on a thread of its own as nobody.
func Unprivileged(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Error(errno)
			return
		}
		f()
	}()
	<-done
}
