// SPDX-License-Identifier: MIT

package fserr

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Kind says what an Event is about.
type Kind uint8

const (
	// Error is one or more filesystem errors.
	Error Kind = iota + 1
	// Lost says that the channel dropped events before this point. Count is
	// how many; where HasCount is not set the channel does not know.
	Lost
	// Removed says that the watched object is gone: the filesystem was
	// unmounted or the watch was taken away. Nothing follows for that watch.
	Removed
	// Other is an event of the same channel that is no filesystem error: a
	// file access in a fanotify group, a key change in a watch queue.
	Other
	// Fragment is what came of a filesystem's record whose beginning, and
	// with it the error itself, was lost: Record.Bytes and Record.Missing. It
	// stands for no error and no loss; a Lost tells of that.
	Fragment
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Error:
		return "error"
	case Lost:
		return "lost"
	case Removed:
		return "removed"
	case Other:
		return "other"
	case Fragment:
		return "fragment"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Field is a set of Event fields.
type Field uint32

// The fields that a channel may or may not report.
const (
	HasFSID     Field = 1 << iota // FSID
	HasInode                      // Ino and Gen
	HasHandle                     // Handle
	HasClass                      // Class
	HasErrno                      // Errno
	HasRange                      // Pos and Len
	HasCount                      // Count
	HasSeq                        // Seq
	HasTime                       // Time
	HasPID                        // PID
	HasPIDFD                      // PIDFD
	HasWatch                      // Watch
	HasRecord                     // Record, all of it
	HasBroken                     // Record, but not all of it: Record.Missing
	HasMagic                      // Magic
	HasLocation                   // IP
)

// FSID identifies a mounted filesystem: statfs(2)'s f_fsid, its two 32-bit
// words as the kernel gives them (__kernel_fsid_t, asm-generic/posix_types.h).
type FSID [2]uint32

// String returns the two words in hexadecimal, as /proc/PID/fdinfo does.
func (f FSID) String() string { return fmt.Sprintf("%08x.%08x", f[0], f[1]) }

// Handle is a file handle (struct file_handle, linux/fcntl.h) as
// open_by_handle_at(2) takes it. Bytes points into the buffer of the source
// and is valid until its next read.
type Handle struct {
	Type  int32
	Bytes []byte
}

// Loss is what a Lost event tells of beside the events in Count.
type Loss uint8

const (
	LostParts   Loss = 1 << iota // parts of records, of errors that are not lost themselves
	LostRemoval                  // at least one Removed
)

// Event is one piece of news from a channel. Only the fields in Has are data.
type Event struct {
	Kind  Kind
	Has   Field
	Loss  Loss  // of a Lost with a Count
	Class Class // enum fserror_type, linux/fserror.h
	Watch uint8 // the caller's id of the watch, where the channel has one
	Errno Errno // positive error number

	FSID   FSID
	Magic  uint32 // the kind of filesystem: statfs(2)'s f_type, linux/magic.h
	Ino    uint64 // inode number
	Gen    uint32 // inode generation
	PID    int32  // the task that reported the error; a kworker since Linux 7.0
	PIDFD  int32  // owned by the receiver, who must close it
	Handle Handle

	Pos int64  // start of the affected range in bytes
	Len uint64 // length of the affected range in bytes

	Count uint64 // errors this event stands for, or events lost
	Seq   uint64 // sequence number on the filesystem, from 1
	Time  int64  // when the kernel reported the error: CLOCK_MONOTONIC, ns
	Recv  int64  // when the event was read: CLOCK_MONOTONIC, ns; always set by a source
	IP    uint64 // address in the kernel of the code that reported the error

	Record Record
}

// Is reports whether all fields of f are present.
func (e *Event) Is(f Field) bool { return e.Has&f == f }

// Errors returns how many errors the event stands for: its Count where the
// channel gives one, 1 for any other error, 0 for what is no error.
func (e *Event) Errors() uint64 {
	switch {
	case e.Kind != Error:
		return 0
	case e.Is(HasCount):
		return e.Count
	}
	return 1
}

// String returns the fields that are present in one line.
func (e Event) String() string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	put := func(f Field, format string, a ...any) {
		if e.Is(f) {
			fmt.Fprintf(&b, format, a...)
		}
	}
	put(HasErrno, " %s", e.Errno.String()) // not its Error
	put(HasClass, " class=%v", e.Class)
	put(HasFSID, " fsid=%v", e.FSID)
	put(HasMagic, " magic=%#x", e.Magic)
	put(HasInode, " ino=%d gen=%d", e.Ino, e.Gen)
	put(HasHandle, " handle=%#x:%x", e.Handle.Type, e.Handle.Bytes)
	put(HasRange, " pos=%d len=%d", e.Pos, e.Len)
	put(HasCount, " count=%d", e.Count)
	put(HasSeq, " seq=%d", e.Seq)
	put(HasTime, " time=%d", e.Time)
	put(HasPID, " pid=%d", e.PID)
	put(HasWatch, " watch=%d", e.Watch)
	put(HasLocation, " ip=%#x", e.IP)
	put(HasRecord, " record=%v", e.Record)
	put(HasBroken, " broken=%v", e.Record)
	switch {
	case e.Kind != Lost:
	case !e.Is(HasCount):
		b.WriteString(" count=unknown")
	default:
		if e.Loss&LostParts != 0 {
			b.WriteString(" and parts")
		}
		if e.Loss&LostRemoval != 0 {
			b.WriteString(" and a removal")
		}
	}
	return b.String()
}

// Source is a channel that is open and watched.
type Source interface {
	// Read waits until there is news, fills events from the front and
	// returns how many it filled. Bytes in an Event belong to the source and
	// are valid until the next Read. It returns early with ctx.Err() when
	// ctx ends and with os.ErrDeadlineExceeded at the read deadline; events
	// that were already taken from the kernel are returned first. It is not
	// safe for concurrent use; Close may be called at any time and makes
	// Read return os.ErrClosed.
	Read(ctx context.Context, events []Event) (int, error)
	// SetReadDeadline bounds Read; the zero time means no bound.
	SetReadDeadline(t time.Time) error
	// Close gives the channel back to the kernel.
	Close() error
}

// FormatError says that bytes read from a channel are not what the kernel's
// header promises: a truncated record, or a length that cannot be.
type FormatError struct {
	Channel string // "fanotify", "watch_queue"
	Record  string // the C name of the record
	Offset  int    // of the record in the bytes given
	Problem string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: %s at byte %d: %s", e.Channel, e.Record, e.Offset, e.Problem)
}
