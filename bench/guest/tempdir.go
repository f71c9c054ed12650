// SPDX-License-Identifier: MIT

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tempPattern = "wqfan-guest-"
	// The lock file in a directory says that it is ours, and its lock that it is
	// in use.
	tempLock = ".wqfan-guest.lock"
)

// tempName is what os.MkdirTemp makes of tempPattern.
var tempName = regexp.MustCompile(`^` + tempPattern + `[0-9]+$`)

// TempDir makes a directory below TMPDIR that is locked while this process uses
// it, and removes those that killed processes have left. The path is absolute;
// cleanup removes the directory with all that is in it.
func TempDir() (dir string, cleanup func(), err error) {
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", nil, fmt.Errorf("temporary directory: %w", err)
	}
	removeStale(parent, time.Minute)
	dir, err = os.MkdirTemp(parent, tempPattern)
	if err != nil {
		return "", nil, fmt.Errorf("temporary directory, see TMPDIR: %w", err)
	}
	lock, err := lockDir(dir, os.O_CREATE|os.O_EXCL)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, fmt.Errorf("temporary directory: %w", hintSpace(err))
	}
	return dir, func() { os.RemoveAll(dir); lock.Close() }, nil
}

// removeStale removes the directories of [TempDir] under parent that are this
// user's, older than age, and locked by no process. One without a lock file may
// be anybody's.
func removeStale(parent string, age time.Duration) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !tempName.MatchString(e.Name()) || !owned(info) || time.Since(info.ModTime()) < age {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		if lock, err := lockDir(dir, 0); err == nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}

// lockDir locks a directory by its lock file; flags are further ones of open(2).
func lockDir(dir string, flags int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, tempLock), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !(info.Mode().IsRegular() && owned(info)) {
		err = fmt.Errorf("%s is not a lock file", f.Name())
	}
	if err == nil {
		err = os.NewSyscallError("flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// owned says whether a file is this user's.
func owned(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
