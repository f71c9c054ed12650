// SPDX-License-Identifier: MIT

package fan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

// Config describes a group. Its zero value is a sensible group.
type Config struct {
	// PIDFD asks for a descriptor of the reporting process with each event
	// (FAN_REPORT_PIDFD). Since Linux 7.0 that is a kernel worker.
	PIDFD bool
	// Unlimited lifts the limit of fs.fanotify.max_queued_events off the
	// group (FAN_UNLIMITED_QUEUE, which needs CAP_SYS_ADMIN).
	Unlimited bool
	// Detailed asks for each error on its own, with its class, inode and
	// range and the filesystem's own record (FAN_REPORT_DETAILED_ERROR). Only
	// errors that do not differ at all are still merged.
	Detailed bool
	// Blob asks for the filesystem's own record as a magic and bytes alone
	// (FAN_REPORT_FS_BLOB): its Type is 0, and there may be up to three bytes
	// of zeroes behind it. It needs Detailed.
	Blob bool
	// MergeWhenFull counts an error that can be merged also when the queue is
	// full (FAN_MERGE_WHEN_FULL). Otherwise it is dropped.
	MergeWhenFull bool
	// OverflowCount asks for a Lost that has a count, of events of all kinds
	// (FAN_REPORT_OVERFLOW).
	OverflowCount bool
	// Location asks where in the kernel an error was reported
	// (FAN_REPORT_ERROR_LOCATION, which needs CAP_SYS_ADMIN and the right to
	// see addresses in /proc/kallsyms).
	Location bool
	// BufferSize is the size of the read buffer in bytes, 0 for 64 KiB. An
	// event of a filesystem error takes up to 200 bytes, with Detailed as
	// much as 4.5 KiB.
	BufferSize int
	// Thread makes Read wait in ppoll(2) on the thread that calls it, not in
	// the Go runtime's poller, which is not told of the descriptor then: no
	// other scheduler than the kernel's between the event and its reader, for
	// a thread that does nothing else. Call runtime.LockOSThread before.
	Thread bool
}

// Group is a fanotify group that reports filesystem errors. It implements
// [fserr.Source].
type Group struct {
	r *stream.Reader
}

var _ fserr.Source = (*Group)(nil)

// Open makes a group (fanotify_init(2)) that watches nothing yet. It takes
// CAP_SYS_ADMIN only if Watch, Config.PIDFD, Config.Unlimited or Config.Location
// is used. On a kernel without the project's series the error of the options from
// Detailed to Location wraps [errors.ErrUnsupported].
func Open(cfg Config) (*Group, error) {
	if cfg.Blob && !cfg.Detailed {
		return nil, fmt.Errorf("open fanotify group: Config.Blob without Config.Detailed: %w", unix.EINVAL)
	}
	flags := uint(unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_FID | unix.FAN_CLOEXEC | unix.FAN_NONBLOCK)
	patch := ""
	for _, option := range []struct {
		set   bool
		flag  uint
		patch string
	}{
		{cfg.PIDFD, unix.FAN_REPORT_PIDFD, ""},
		{cfg.Unlimited, unix.FAN_UNLIMITED_QUEUE, ""},
		{cfg.Detailed, reportDetailedError, patchDetailed},
		{cfg.Blob, reportFSBlob, patchRecord},
		{cfg.MergeWhenFull, mergeWhenFull, patchMerge},
		{cfg.OverflowCount, reportOverflow, patchOverflow},
		{cfg.Location, reportErrorLocation, patchLocation},
	} {
		if option.set {
			flags |= option.flag
			patch = cmp.Or(option.patch, patch)
		}
	}
	fd, err := unix.FanotifyInit(flags, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	if err == unix.EINVAL && patch != "" {
		return nil, fmt.Errorf("fanotify_init: %w: %w (the kernel lacks the patch %q)", errors.ErrUnsupported, err, patch)
	}
	if err != nil {
		return nil, stream.Explain("fanotify_init", err, map[error]string{
			unix.ENOSYS: "the kernel is built without CONFIG_FANOTIFY",
			unix.EPERM:  "needs CAP_SYS_ADMIN, for Config.Location also kernel.kptr_restrict below 2",
			unix.EINVAL: "needs Linux 5.1, with Config.PIDFD 5.15",
			unix.EMFILE: "raise RLIMIT_NOFILE or fs.fanotify.max_user_groups",
		})
	}
	r, err := stream.New(fd, stream.Config{
		Name:     "fanotify group",
		Size:     cfg.BufferSize,
		TooSmall: unix.EINVAL,
		Decode:   Decode,
		Thread:   cfg.Thread,
	})
	if err != nil {
		return nil, err
	}
	return &Group{r: r}, nil
}

// Watch adds the errors of the filesystem that path is on (FAN_FS_ERROR on a
// FAN_MARK_FILESYSTEM). It needs CAP_SYS_ADMIN.
func (g *Group) Watch(path string) error {
	return g.mark(unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_FS_ERROR, path)
}

// Unwatch undoes Watch. Errors that are queued already can still be read.
func (g *Group) Unwatch(path string) error {
	return g.mark(unix.FAN_MARK_REMOVE|unix.FAN_MARK_FILESYSTEM, unix.FAN_FS_ERROR, path)
}

// WatchFile adds the errors of one file, and no others (FAN_FS_ERROR on its
// inode). It takes no privilege but that to read the file, and a kernel with the
// project's series. A group that was opened without CAP_SYS_ADMIN never gets a
// Record of such an error, which may tell of other files.
func (g *Group) WatchFile(file *os.File) error { return g.markFile(unix.FAN_MARK_ADD, file) }

// UnwatchFile undoes WatchFile. Errors that are queued already can still be read.
func (g *Group) UnwatchFile(file *os.File) error { return g.markFile(unix.FAN_MARK_REMOVE, file) }

// WatchOther adds further events of the file or folder path to the group: mask
// is a set of FAN_* bits, for example unix.FAN_OPEN|unix.FAN_EVENT_ON_CHILD.
// They arrive as events of kind Other and share the group's queue.
func (g *Group) WatchOther(path string, mask uint64) error {
	return g.mark(unix.FAN_MARK_ADD, mask, path)
}

func (g *Group) mark(flags uint, mask uint64, path string) error {
	return g.r.Do("fanotify_mark "+path, func(fd int) error {
		return unix.FanotifyMark(fd, flags, mask, unix.AT_FDCWD, path)
	}, markRemedies)
}

func (g *Group) markFile(flags uint, file *os.File) error {
	return g.r.Do("fanotify_mark of the file "+file.Name(), func(fd int) error {
		raw, err := file.SyscallConn()
		if err != nil {
			return err
		}
		var answer error
		if err := raw.Control(func(file uintptr) {
			answer = unix.FanotifyMark(fd, flags, unix.FAN_FS_ERROR, int(file), "")
		}); err != nil {
			return err
		}
		if answer == unix.EINVAL {
			return fmt.Errorf("%w: %w (the kernel lacks the patch %q)", errors.ErrUnsupported, answer, patchInode)
		}
		return answer
	}, markRemedies)
}

var markRemedies = map[error]string{
	unix.EPERM:      "needs CAP_SYS_ADMIN",
	unix.EACCES:     "needs permission to read the file",
	unix.EINVAL:     "the kernel does not know these events, or not for this kind of mark; FAN_FS_ERROR needs Linux 5.16",
	unix.ENODEV:     "the filesystem has no fsid",
	unix.EOPNOTSUPP: "the filesystem cannot make file handles",
	unix.EXDEV:      "the filesystem has more than one fsid, as a btrfs subvolume",
	unix.ENOENT:     "no such path, or not watched",
	unix.ENOSPC:     "raise fs.fanotify.max_user_marks",
}

// Patches of the series that a kernel may lack.
const (
	patchCounters = "fanotify: count queued, merged and dropped error events"
	patchDetailed = "fanotify: report filesystem errors in detail"
	patchRecord   = "fanotify: report the filesystem's own record of an error"
	patchInode    = "fanotify: allow marking inodes for their errors"
	patchMerge    = "fanotify: optionally merge events when the queue is full"
	patchOverflow = "fanotify: optionally report how many events were dropped"
	patchLocation = "fanotify: optionally report where an error was noticed"
)

// Read implements [fserr.Source]. The bytes of a Handle or a Record are valid
// until the next Read.
//
// A PIDFD belongs to the caller. A deadline in the past makes Read a poll: it
// returns what is queued at this moment, or os.ErrDeadlineExceeded.
//
// Lost has one cause here: the group's queue was full. It is as long as
// fs.fanotify.max_queued_events was at Open; Config.Unlimited lifts that.
func (g *Group) Read(ctx context.Context, events []fserr.Event) (int, error) {
	return g.r.Read(ctx, events)
}

// SetReadDeadline implements [fserr.Source].
func (g *Group) SetReadDeadline(t time.Time) error { return g.r.SetReadDeadline(t) }

// SyscallConn implements [syscall.Conn] for what the package does not do with
// the descriptor of the group: poll(2), FIONREAD. Do not read from it.
func (g *Group) SyscallConn() (syscall.RawConn, error) { return g.r.SyscallConn() }

// Woken returns when the last wait of a Read ended, CLOCK_MONOTONIC ns, with
// Config.Thread only. It is for the thread that calls Read.
func (g *Group) Woken() int64 { return g.r.Woken() }

// Reads returns how many read(2) calls returned data.
func (g *Group) Reads() uint64 { return g.r.Reads() }

// Close implements [fserr.Source]. It also closes the process descriptors of
// events that were read from the kernel but not by the caller.
func (g *Group) Close() error {
	return g.r.Close(func(e *fserr.Event) {
		if e.Is(fserr.HasPIDFD) {
			unix.Close(int(e.PIDFD))
		}
	})
}
