// SPDX-License-Identifier: MIT

package wq

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"wqfan/fserr"
)

var native = binary.NativeEndian

// Decode decodes the first record of b, what read(2) on a notification pipe
// gave, into e and returns the number of bytes it takes. It is pure, and
// allocates only for an error.
//
//   - WATCH_TYPE_FS_ERROR becomes an Error with all that the record says. If
//     the filesystem's own record follows in parts, or did not fit anywhere, the
//     event has it as a broken one of which all is missing.
//   - WATCH_TYPE_CHAIN, a part of such a record, becomes a Fragment. A [Queue]
//     puts the parts together.
//   - WATCH_TYPE_META becomes a Lost or a Removed; see [RemovalID].
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
	t := recordType(b)
	if t == TypeFSError {
		return n, decodeFSError(b, info, e)
	}
	e.Has = fserr.HasWatch
	switch {
	case t == TypeChain:
		return n, decodePart(b, e)
	case t == TypeMeta && b[offSubtype] == metaLoss:
		decodeLoss(b, info, e)
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

func decodeFSError(b []byte, info uint32, e *fserr.Event) error {
	if len(b) < fsErrorSizeV1 {
		return malformed("fs_error_notification", "length %d, want %d", len(b), fsErrorSizeV1)
	}
	e.Kind = fserr.Error
	e.Class = fserr.Class(b[offSubtype])
	e.Seq = native.Uint64(b[offSeq:])
	e.Time = int64(native.Uint64(b[offTime:]))
	e.Errno = fserr.Errno(native.Uint32(b[offError:]))
	e.FSID = fserr.FSID{native.Uint32(b[offFSID:]), native.Uint32(b[offFSID+4:])}
	has := fserr.HasWatch | fserr.HasClass | fserr.HasSeq | fserr.HasTime | fserr.HasErrno | fserr.HasFSID
	if info&fsErrorInfoInode != 0 {
		e.Ino = native.Uint64(b[offIno:])
		e.Gen = native.Uint32(b[offGen:])
		has |= fserr.HasInode
	}
	if info&fsErrorInfoRange != 0 {
		e.Pos = int64(native.Uint64(b[offPos:]))
		e.Len = native.Uint64(b[offLen:])
		has |= fserr.HasRange
	}
	if len(b) < fsErrorSize {
		e.Has = has
		return nil
	}
	e.Magic = native.Uint32(b[offMagic:])
	has |= fserr.HasMagic
	if info&fsErrorInfoLocation != 0 {
		if len(b) < locationSize {
			return malformed("fs_error_location_notification", "length %d, want %d", len(b), locationSize)
		}
		e.IP = native.Uint64(b[offIP:])
		has |= fserr.HasLocation
	}
	if t := native.Uint32(b[offRecordType:]); t != 0 {
		e.Record = fserr.Record{Magic: e.Magic, Type: t, Missing: fserr.AllParts}
		has |= fserr.HasBroken
		if info&fsErrorInfoChain != 0 {
			n := chainLen(b)
			if n == 0 || n > chainDataMax {
				return malformed("watch_chain_ref", "chain_len %d, want 1 to %d", n, chainDataMax)
			}
			e.Record.Missing = firstParts(partsOf(n))
		}
	}
	e.Has = has
	return nil
}

// chainID and chainLen read the struct watch_chain_ref of a first note.
func chainID(b []byte) uint32  { return native.Uint32(b[len(b)-chainRefSize:]) }
func chainLen(b []byte) uint32 { return native.Uint32(b[len(b)-chainRefSize+offRefLen:]) }

// partsOf returns how many parts carry n bytes.
func partsOf(n uint32) int { return int(n+chainPartData-1) / chainPartData }

// firstParts returns the set of the first n parts.
func firstParts(n int) fserr.Parts { return fserr.AllParts >> (fserr.MaxParts - n) }

// decodePart decodes a part of a chain. Its index is from 1 to fserr.MaxParts if
// there is no error.
func decodePart(b []byte, e *fserr.Event) error {
	if len(b) < chainSize {
		return malformed("watch_notification_chain", "length %d, want at least %d", len(b), chainSize)
	}
	index, last := partIndex(b), partIsLast(b)
	data := b[chainSize:]
	switch {
	case index < 1 || index > fserr.MaxParts:
		return malformed("watch_notification_chain", "index %d, want 1 to %d", index, fserr.MaxParts)
	case len(data) > chainPartData || len(data) == 0:
		return malformed("watch_notification_chain", "%d bytes of data, want 1 to %d", len(data), chainPartData)
	case !last && len(data) < chainPartData:
		return malformed("watch_notification_chain", "%d bytes of data in a part that is not the last, want %d", len(data), chainPartData)
	}
	e.Kind = fserr.Fragment
	e.Record = fserr.Record{Missing: fserr.AllParts, Bytes: data}
	if last {
		e.Record.Missing = firstParts(index)
	}
	e.Record.Missing &^= 1 << (index - 1)
	e.Has |= fserr.HasBroken
	return nil
}

func partIndex(b []byte) int   { return int(native.Uint16(b[offChainIndex:])) }
func partIsLast(b []byte) bool { return native.Uint16(b[offChainFlags:])&chainLast != 0 }

// decodeLoss decodes both kinds of losses: mainline's is the queue's and has no
// count.
func decodeLoss(b []byte, info uint32, e *fserr.Event) {
	e.Kind = fserr.Lost
	if len(b) < lossSize {
		e.Watch, e.Has = 0, 0
		return
	}
	e.Count = native.Uint64(b[offLost:])
	e.Has |= fserr.HasCount
	if info&lossInfoWatch == 0 {
		e.Watch = 0
		e.Has &^= fserr.HasWatch
	}
	if info&lossInfoParts != 0 {
		e.Loss |= fserr.LostParts
	}
	if info&lossInfoRemoval != 0 {
		e.Loss |= fserr.LostRemoval
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

// bigEndian is native's order as a constant: each record asks for it.
const bigEndian = runtime.GOARCH == "s390x" || runtime.GOARCH == "ppc64" || runtime.GOARCH == "mips" || runtime.GOARCH == "mips64"

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
