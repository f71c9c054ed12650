// SPDX-License-Identifier: MIT

package flood

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// TriggerExt4 makes n errors on the mounted ext4 filesystem of a block device
// ("vdb", "loop0") through its own sysfs file: EFSCORRUPTED, no inode,
// GFP_ATOMIC. Mount it with errors=continue. Took is told what each took, in ns
// of CLOCK_MONOTONIC; it may be nil.
func TriggerExt4(device string, n int, took func(ns int64)) error {
	name := filepath.Join("/sys/fs/ext4", device, "trigger_fs_error")
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("make an ext4 error: %w (is an ext4 filesystem mounted from %s?)", err, device)
	}
	defer f.Close()
	for i := range n {
		if err := timed(took, func() error { _, err := unix.Pwrite(int(f.Fd()), []byte("wqfan\n"), 0); return err }); err != nil {
			return fmt.Errorf("make ext4 error %d of %d: %w", i+1, n, err)
		}
	}
	return nil
}

// timed tells took, if there is one, how long f takes.
func timed(took func(ns int64), f func() error) error {
	if took == nil {
		return f()
	}
	var before, after unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &before) // cannot fail with a valid clock and pointer
	err := f()
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
	took(after.Nano() - before.Nano())
	return err
}

// MakeFiles creates n empty files in dir and returns their names.
func MakeFiles(dir string, n int) ([]string, error) {
	names := make([]string, n)
	for i := range names {
		names[i] = filepath.Join(dir, fmt.Sprintf("f%05d", i))
		if err := os.WriteFile(names[i], nil, 0o600); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Opens opens and closes each file once. Every open is one event of its own to
// a fanotify group that watches the directory: different objects do not merge.
func Opens(names []string) error {
	for _, name := range names {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: name, Err: err}
		}
		unix.Close(fd)
	}
	return nil
}

// KeyUpdates adds a key to the process keyring, has it watched and updates it n
// times: each update is one note to a watch queue that watches it. Took is told
// what each took, in ns of CLOCK_MONOTONIC; it may be nil.
func KeyUpdates(n int, watch func(key int) error, took func(ns int64)) error {
	// A process keyring that is made now is this thread's alone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Named after the moment, so that another cell's key is not updated too.
	name := fmt.Sprintf("wqfan-%d", time.Now().UnixNano())
	key, err := unix.AddKey("user", name, []byte("0"), unix.KEY_SPEC_PROCESS_KEYRING)
	if err != nil {
		return os.NewSyscallError("add_key", err)
	}
	if err := watch(key); err != nil {
		return err
	}
	payload := []byte("payload")
	for i := range n {
		if err := timed(took, func() error {
			_, err := unix.AddKey("user", name, payload, unix.KEY_SPEC_PROCESS_KEYRING)
			return err
		}); err != nil {
			return fmt.Errorf("update %d of key %d: %w", i+1, key, os.NewSyscallError("add_key", err))
		}
	}
	return nil
}
