// SPDX-License-Identifier: MIT

package wq

import (
	"encoding/binary"
	"fmt"

	"wqfan/fserr"
)

var native = binary.NativeEndian

// Decode decodes the first record of b, what read(2) on a notification pipe
// gave, into e and returns the number of bytes it takes. It is pure, and
// allocates only for an error.
//
//   - WATCH_TYPE_FS_ERROR becomes an Error with all that the record says.
//   - WATCH_TYPE_META becomes a Lost without a count, mainline does not count,
//     or a Removed; see [RemovalID].
//   - Everything else becomes an Other; see [DecodeKey].
//
// Of Removed and Other events the Record has the type of the record
// (WATCH_TYPE_*) as its Type and the whole record as its Bytes. They belong to
// b.
//
// The error is a [*fserr.FormatError]; the number returned with it is how far
// the next record is away, or 0 when that cannot be told.
func Decode(b []byte, e *fserr.Event) (int, error) {
	*e = fserr.Event{}
	if len(b) < headerSize {
		return 0, malformed("watch_notification", "%d bytes left, want %d", len(b), headerSize)
	}
	info := native.Uint32(b[offInfo:])
	n := int(info & infoLength)
	if n < headerSize || n > len(b) {
		return 0, malformed("watch_notification", "length %d with %d bytes left, want at least %d", n, len(b), headerSize)
	}
	b = b[:n:n]
	e.Watch = uint8(info & infoID >> infoIDShift)
	e.Has = fserr.HasWatch
	switch t := recordType(b); {
	case t == TypeFSError:
		if n < fsErrorSize {
			return n, malformed("fs_error_notification", "length %d, want %d", n, fsErrorSize)
		}
		decodeFSError(b, info, e)
	case t == TypeMeta && b[offSubtype] == metaLoss:
		e.Kind = fserr.Lost
		e.Watch, e.Has = 0, 0 // the loss is the queue's
	case t == TypeMeta && b[offSubtype] == metaRemoval:
		e.Kind = fserr.Removed
		e.Record = fserr.Record{Type: t, Bytes: b}
		e.Has |= fserr.HasRecord
	default:
		e.Kind = fserr.Other
		e.Record = fserr.Record{Type: t, Bytes: b}
		e.Has |= fserr.HasRecord
	}
	return n, nil
}

func decodeFSError(b []byte, info uint32, e *fserr.Event) {
	_ = b[fsErrorSize-1]
	e.Kind = fserr.Error
	e.Class = fserr.Class(b[offSubtype])
	e.Seq = native.Uint64(b[offSeq:])
	e.Time = int64(native.Uint64(b[offTime:]))
	e.Errno = fserr.Errno(native.Uint32(b[offError:]))
	e.FSID = fserr.FSID{native.Uint32(b[offFSID:]), native.Uint32(b[offFSID+4:])}
	e.Has |= fserr.HasClass | fserr.HasSeq | fserr.HasTime | fserr.HasErrno | fserr.HasFSID
	if info&fsErrorInfoInode != 0 {
		e.Ino = native.Uint64(b[offIno:])
		e.Gen = native.Uint32(b[offGen:])
		e.Has |= fserr.HasInode
	}
	if info&fsErrorInfoRange != 0 {
		e.Pos = int64(native.Uint64(b[offPos:]))
		e.Len = native.Uint64(b[offLen:])
		e.Has |= fserr.HasRange
	}
}

// recordType returns the 24-bit field type of struct watch_notification, whose
// place in the first word depends on the byte order.
func recordType(b []byte) uint32 {
	w := native.Uint32(b)
	if bigEndian {
		return w >> 8
	}
	return w & 0xffffff
}

var bigEndian = native.Uint16([]byte{0, 1}) == 1

// KeyChange is what happened to a key: enum key_notification_subtype,
// linux/watch_queue.h.
type KeyChange uint8

// The changes, in the kernel's order.
const (
	KeyInstantiated KeyChange = iota // Aux is an error code
	KeyUpdated
	KeyLinked   // Aux is the key that was added to the keyring
	KeyUnlinked // Aux is the key that was removed from the keyring
	KeyCleared
	KeyRevoked
	KeyInvalidated
	KeySetattr
)

var keyChanges = [...]string{
	"instantiated", "updated", "linked", "unlinked", "cleared", "revoked", "invalidated", "setattr",
}

// String returns the kernel's name of the change in lower case.
func (c KeyChange) String() string {
	if int(c) < len(keyChanges) {
		return keyChanges[c]
	}
	return fmt.Sprintf("key change %d", uint8(c))
}

// Key is a change of a key or a keyring: struct key_notification,
// linux/watch_queue.h.
type Key struct {
	Change KeyChange
	ID     int32  // the key's serial number
	Aux    uint32 // depends on Change
}

// DecodeKey decodes a record of type TypeKey: the Record.Bytes of an event
// whose Record.Type says so.
func DecodeKey(record []byte) (Key, error) {
	if len(record) < keySize {
		return Key{}, malformed("key_notification", "%d bytes, want %d", len(record), keySize)
	}
	if t := recordType(record); t != TypeKey {
		return Key{}, malformed("key_notification", "type %d, want %d", t, TypeKey)
	}
	return Key{
		Change: KeyChange(record[offSubtype]),
		ID:     int32(native.Uint32(record[offKeyID:])),
		Aux:    native.Uint32(record[offKeyAux:]),
	}, nil
}

// RemovalID returns what was being watched, from the Record.Bytes of a Removed
// event: of a filesystem the device number as the kernel encodes it for user
// space, of a key its serial number. Not every record has it.
func RemovalID(record []byte) (id uint64, ok bool) {
	if len(record) < removalSize {
		return 0, false
	}
	return native.Uint64(record[offRemovalID:]), true
}

func malformed(record, format string, a ...any) error {
	return &fserr.FormatError{Channel: "watch_queue", Record: record, Problem: fmt.Sprintf(format, a...)}
}
