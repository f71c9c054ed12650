// SPDX-License-Identifier: MIT

package healthmon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

// QueueLen is how many events the kernel keeps for a monitor
// (XFS_HEALTHMON_MAX_EVENTS, fs/xfs/xfs_healthmon.c, on 64-bit machines).
const QueueLen = 512

// Config describes a monitor. Its zero value is a sensible monitor.
type Config struct {
	// Verbose asks for all findings about metadata, also those that change
	// nothing in what XFS knew before (XFS_HEALTH_MONITOR_VERBOSE).
	Verbose bool
	// BufferSize is the size of the read buffer in bytes, 0 for 64 KiB, which a
	// full queue fits. An event takes 64.
	BufferSize int
}

// Monitor is a health monitor. It implements [fserr.Source].
type Monitor struct {
	r    *stream.Reader
	gone *fserr.Event // Removed, until the events that the kernel put behind it are read
}

var _ fserr.Source = (*Monitor)(nil)

// Open attaches a monitor to the XFS that is mounted at path: its root
// directory, not one below it and no bind mount of one. It needs CAP_SYS_ADMIN
// in the initial user namespace.
//
// The monitor does not keep the filesystem from being unmounted. On another
// filesystem, and on a kernel without the monitor, the error wraps
// [errors.ErrUnsupported].
func Open(path string, cfg Config) (*Monitor, error) {
	fd, err := attach(path, cfg)
	if err != nil {
		return nil, stream.Explain("XFS_IOC_HEALTH_MONITOR "+path, err, map[error]string{
			unix.EPERM:  "needs CAP_SYS_ADMIN in the initial user namespace, and the root directory of the filesystem",
			unix.EEXIST: "the mount has a monitor already: is xfs_healer running?",
		})
	}
	r, err := stream.New(fd, stream.Config{
		Name:   "XFS health monitor",
		Size:   (cfg.BufferSize + eventSize - 1) / eventSize * eventSize,
		Decode: Decode,
		// All anonymous inodes are one inode, and a read that does not wait
		// trylocks it (xfs_healthmon_read_iter): whenever another monitor on
		// the machine is just being read, the answer is EAGAIN, with events
		// in the queue and no edge to come. Poll for the level instead.
		Thread: true,
	})
	if err != nil {
		return nil, err
	}
	return &Monitor{r: r}, nil
}

// attach is XFS_IOC_HEALTH_MONITOR.
func attach(path string, cfg Config) (int, error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open", err)
	}
	defer unix.Close(dir)
	arg := healthMonitor{format: formatV0}
	if cfg.Verbose {
		arg.flags = flagVerbose
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(dir), iocHealthMonitor, uintptr(unsafe.Pointer(&arg)))
	switch errno {
	case 0:
	case unix.ENOTTY:
		return -1, fmt.Errorf("%w: %w (needs XFS on Linux 7.0)", errors.ErrUnsupported, errno)
	default:
		return -1, errno
	}
	if err := unix.SetNonblock(int(fd), true); err != nil {
		unix.Close(int(fd))
		return -1, os.NewSyscallError("fcntl", err)
	}
	return int(fd), nil
}

// Read implements [fserr.Source]. The bytes of a Record are valid until the next
// Read. The first event is an Other of type Running.
//
// A deadline in the past makes Read a poll: it returns what is queued at this
// moment, or os.ErrDeadlineExceeded.
//
// When the filesystem is unmounted, what was queued comes first, then Removed,
// then the error wraps io.EOF.
func (m *Monitor) Read(ctx context.Context, events []fserr.Event) (int, error) {
	for {
		n, err := m.r.Read(ctx, events)
		if errors.Is(err, io.EOF) && m.gone != nil {
			events[0], m.gone = *m.gone, nil
			return 1, nil
		}
		if err != nil {
			return n, err
		}
		// The kernel puts Removed in front of the queue.
		i := slices.IndexFunc(events[:n], func(e fserr.Event) bool { return e.Kind == fserr.Removed })
		if i < 0 {
			return n, nil
		}
		gone := events[i]
		gone.Record.Bytes = slices.Clone(gone.Record.Bytes)
		m.gone = &gone
		copy(events[i:n], events[i+1:n])
		if n > 1 {
			return n - 1, nil
		}
	}
}

// Woken returns when the last wait of a Read ended, CLOCK_MONOTONIC ns; 0 if it
// did not wait.
func (m *Monitor) Woken() int64 { return m.r.Woken() }

// SetReadDeadline implements [fserr.Source].
func (m *Monitor) SetReadDeadline(t time.Time) error { return m.r.SetReadDeadline(t) }

// Reads returns how many read(2) calls returned data.
func (m *Monitor) Reads() uint64 { return m.r.Reads() }

// Close implements [fserr.Source]. It detaches the monitor.
func (m *Monitor) Close() error { return m.r.Close(nil) }
