// SPDX-License-Identifier: MIT

package healthmon

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"wqfan/fserr"
)

var native = binary.NativeEndian

// Record is what an event of the health monitor says: struct
// xfs_health_monitor_event, fs/xfs/libxfs/xfs_fs.h. Which fields are data
// depends on Type and Domain.
type Record struct {
	Domain Domain
	Type   Type
	Time   time.Time // when the event was queued: wall clock, as coarse as a tick

	Lost  uint64      // of Lost: events that found the queue full
	Mask  uint32      // of Sick, Corrupt and Healthy: which metadata; of Shutdown: why
	Group uint32      // of AG and RTGroup
	Ino   uint64      // of Inode and FileRange
	Gen   uint32      // of Inode and FileRange
	Pos   uint64      // of FileRange, DataDev, RTDev and LogDev: start in bytes
	Len   uint64      // of the same: length in bytes
	Errno fserr.Errno // of FileRange
}

// Parse reads a record: the Record.Bytes of an event.
func Parse(record []byte) (Record, error) {
	if len(record) < eventSize {
		return Record{}, malformed("%d bytes left, want %d", len(record), eventSize)
	}
	b := record[:eventSize]
	r := Record{
		Domain: Domain(native.Uint32(b[offDomain:])),
		Type:   Type(native.Uint32(b[offType:])),
		Time:   time.Unix(0, int64(native.Uint64(b[offTime:]))),
	}
	switch r.Domain {
	case Mount:
		switch r.Type {
		case Lost:
			r.Lost = native.Uint64(b[offLostCount:])
		case Shutdown:
			r.Mask = native.Uint32(b[offMask:])
		}
	case FS:
		r.Mask = native.Uint32(b[offMask:])
	case AG, RTGroup:
		r.Mask, r.Group = native.Uint32(b[offMask:]), native.Uint32(b[offGroup:])
	case Inode:
		r.Mask, r.Ino, r.Gen = native.Uint32(b[offMask:]), native.Uint64(b[offInodeIno:]), native.Uint32(b[offInodeGen:])
	case DataDev, RTDev, LogDev:
		r.Pos, r.Len = native.Uint64(b[offDaddr:])*blockSize, native.Uint64(b[offBlocks:])*blockSize
	case FileRange:
		r.Pos, r.Len = native.Uint64(b[offPos:]), native.Uint64(b[offLen:])
		r.Ino, r.Gen = native.Uint64(b[offIno:]), native.Uint32(b[offGen:])
		r.Errno = fserr.Errno(native.Uint32(b[offError:]))
	}
	return r, nil
}

// classes are the types that are errors of a file range.
var classes = map[Type]fserr.Class{
	BufRead: fserr.BufferedRead, BufWrite: fserr.BufferedWrite, DIORead: fserr.DirectIORead, DIOWrite: fserr.DirectIOWrite,
	DataLost: fserr.DataLost,
}

// Decode decodes the first record of b, what read(2) on a health monitor gave,
// into e and returns the number of bytes it takes. It is pure, and allocates
// only for an error.
//
//   - The failure of a file's range becomes an Error with class, error number,
//     inode and range.
//   - Sick and corrupt metadata become Errors of the class Metadata, of an inode
//     where they are its own. So does a shutdown. None of them has a number.
//   - A range of a device that cannot be read becomes an Error of the class
//     DataLost: the range is the device's, so it is only in the record.
//   - Lost becomes a Lost with a count, Unmount a Removed.
//   - Everything else becomes an Other.
//
// Every event but Lost has XFS's Magic and the whole record as its Record, which
// is the channel's own and not [fserr.XFSRecord]; see [Parse]. The bytes belong to
// b. The record's time is the wall clock's, so it is no Time of the event.
//
// The error is a [*fserr.FormatError]: what is left is less than a record.
func Decode(b []byte, e *fserr.Event) (int, error) {
	*e = fserr.Event{}
	r, err := Parse(b)
	if err != nil {
		return 0, err
	}
	if r.Type == Lost {
		e.Kind, e.Count, e.Has = fserr.Lost, r.Lost, fserr.HasCount
		return eventSize, nil
	}
	e.Kind, e.Magic = fserr.Other, fserr.XFSMagic
	e.Record = fserr.Record{Type: uint32(r.Type), Bytes: b[:eventSize:eventSize]}
	e.Has = fserr.HasRecord | fserr.HasMagic
	switch r.Type {
	case Unmount:
		e.Kind = fserr.Removed
	case Sick, Corrupt, Shutdown:
		e.Kind, e.Class = fserr.Error, fserr.Metadata
		e.Has |= fserr.HasClass
		if r.Domain == Inode {
			e.Ino, e.Gen = r.Ino, r.Gen
			e.Has |= fserr.HasInode
		}
	case MediaError:
		e.Kind, e.Class = fserr.Error, fserr.DataLost
		e.Has |= fserr.HasClass
	case BufRead, BufWrite, DIORead, DIOWrite, DataLost:
		if r.Domain != FileRange {
			break
		}
		e.Kind, e.Class = fserr.Error, classes[r.Type]
		e.Ino, e.Gen, e.Pos, e.Len, e.Errno = r.Ino, r.Gen, int64(r.Pos), r.Len, r.Errno
		e.Has |= fserr.HasClass | fserr.HasInode | fserr.HasRange | fserr.HasErrno
	}
	return eventSize, nil
}

// String returns the domain in lower case.
func (d Domain) String() string {
	if int(d) < len(domainNames) {
		return domainNames[d]
	}
	return fmt.Sprintf("domain %d", uint32(d))
}

// String returns the type in lower case.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// String returns what the record says in one line, without the time.
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v", r.Domain, r.Type)
	switch r.Domain {
	case Mount:
		switch r.Type {
		case Lost:
			fmt.Fprintf(&b, " count=%d", r.Lost)
		case Shutdown:
			fmt.Fprintf(&b, " reasons=%s", bitNames(r.Mask, reasons[:]))
		}
	case FS:
		fmt.Fprintf(&b, " %s", r.names(fserr.XFSWhole))
	case AG:
		fmt.Fprintf(&b, " %d %s", r.Group, r.names(fserr.XFSAG))
	case RTGroup:
		fmt.Fprintf(&b, " %d %s", r.Group, r.names(fserr.XFSRTGroup))
	case Inode:
		fmt.Fprintf(&b, " ino=%d gen=%d %s", r.Ino, r.Gen, r.names(fserr.XFSInode))
	case DataDev, RTDev, LogDev:
		fmt.Fprintf(&b, " pos=%d len=%d", r.Pos, r.Len)
	case FileRange:
		fmt.Fprintf(&b, " ino=%d gen=%d pos=%d len=%d %v", r.Ino, r.Gen, r.Pos, r.Len, r.Errno.String())
	}
	return b.String()
}

// names returns the names of the metadata in Mask. They are those that the
// series' records have.
func (r Record) names(g fserr.XFSGroup) string {
	return strings.Join(fserr.XFSRecord{Group: g, Sick: r.Mask}.SickNames(), "|")
}

// bitNames returns the names of the bits that are set, the others as a number.
func bitNames(mask uint32, names []string) string {
	var set []string
	for i, n := range names {
		if mask&(1<<i) != 0 {
			set = append(set, n)
			mask &^= 1 << i
		}
	}
	if mask != 0 || set == nil {
		set = append(set, fmt.Sprintf("%#x", mask))
	}
	return strings.Join(set, "|")
}

func malformed(format string, a ...any) error {
	return &fserr.FormatError{Channel: "XFS health monitor", Record: "xfs_health_monitor_event", Problem: fmt.Sprintf(format, a...)}
}
