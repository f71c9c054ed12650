// SPDX-License-Identifier: MIT

// Package fanlimit makes fanotify groups with short queues. A group's limit is
// copied from fs.fanotify.max_queued_events when the group is made, so that the
// sysctl differs for a moment only; a lock on its file keeps processes that do
// this at the same time from putting back each other's value.
package fanlimit

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const name = "/proc/sys/fs/fanotify/max_queued_events"

// With calls f while the limit is n events, 0 included. It needs root.
func With(n uint64, f func() error) (err error) {
	file, err := lock()
	if err != nil {
		return err
	}
	defer file.Close() // and unlock
	old, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the limit of fanotify's queues: %w", err)
	}
	if err := os.WriteFile(name, strconv.AppendUint(nil, n, 10), 0); err != nil {
		return fmt.Errorf("set the limit of fanotify's queues to %d: %w", n, err)
	}
	defer func() {
		if werr := os.WriteFile(name, old, 0); werr != nil {
			err = errors.Join(err, fmt.Errorf("put the limit of fanotify's queues back to %s: %w", strings.TrimSpace(string(old)), werr))
		}
	}()
	return f()
}

// Get returns the limit that groups have while nobody is in With.
func Get() (uint64, error) {
	file, err := lock()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("read the limit of fanotify's queues: %w", err)
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// lock waits for its turn.
func lock() (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the limit of fanotify's queues: %w (the kernel needs CONFIG_FANOTIFY and CONFIG_SYSCTL)", err)
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return file, nil
}
