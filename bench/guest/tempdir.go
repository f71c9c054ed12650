// SPDX-License-Identifier: MIT

package guest

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const tempPattern = "wqfan-guest-"

// tempDir makes a directory that is locked while this process uses it, and
// removes those that killed processes have left.
func tempDir() (dir string, cleanup func(), err error) {
	removeStale(os.TempDir(), time.Minute)
	dir, err = os.MkdirTemp("", tempPattern)
	if err != nil {
		return "", nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir); lock.Close() }, nil
}

// removeStale removes the directories under parent that are older than age and
// that no process has locked. What it cannot remove belongs to someone else.
func removeStale(parent string, age time.Duration) {
	dirs, _ := filepath.Glob(filepath.Join(parent, tempPattern+"*"))
	for _, d := range dirs {
		st, err := os.Lstat(d)
		if err != nil || !st.IsDir() || time.Since(st.ModTime()) < age {
			continue
		}
		if lock, err := lockDir(d); err == nil {
			os.RemoveAll(d)
			lock.Close()
		}
	}
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}
