// SPDX-License-Identifier: MIT

package fan

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

var native = binary.NativeEndian

// Decode decodes the first event of b, what read(2) on a fanotify group gave,
// into e and returns the number of bytes it takes. It is pure, and allocates
// only for an error.
//
//   - FAN_FS_ERROR becomes an Error: Errno and Count, FSID, Handle, and Ino and
//     Gen where the type of the handle is known to hold them. An error of the
//     filesystem as a whole has no handle. A detailed group tells more, and
//     the filesystem's own record.
//   - FAN_Q_OVERFLOW becomes a Lost, without a count unless the group asked for
//     one.
//   - Everything else becomes an Other whose Record has the low half of the mask
//     (all that FAN_* bits use) as its Type and the whole event as its Bytes.
//
// Information records may come in any order; those of unknown types are
// skipped, and what no record says is absent from e.
//
// The bytes of Handle and Record belong to b. The error is a
// [*fserr.FormatError]; the number returned with it is how far the next event
// is away, or 0 when that cannot be told.
func Decode(b []byte, e *fserr.Event) (int, error) {
	*e = fserr.Event{}
	if len(b) < metadataSize {
		return 0, malformed("fanotify_event_metadata", 0, "%d bytes left, want %d", len(b), metadataSize)
	}
	n := int(native.Uint32(b[offEventLen:]))
	if n < metadataSize || n > len(b) {
		return 0, malformed("fanotify_event_metadata", 0, "event_len %d with %d bytes left, want at least %d", uint32(n), len(b), metadataSize)
	}
	if v := b[offVers]; v != metadataVersion {
		return n, malformed("fanotify_event_metadata", 0, "vers %d, want %d", v, metadataVersion)
	}
	at := int(native.Uint16(b[offMetadataLen:]))
	if at < metadataSize || at > n {
		return n, malformed("fanotify_event_metadata", 0, "metadata_len %d in an event of %d bytes", at, n)
	}
	b = b[:n:n]
	has := fserr.Field(0) // in a register: e.Has would go through memory each time
	if pid := int32(native.Uint32(b[offPID:])); pid != 0 {
		e.PID = pid
		has |= fserr.HasPID
	}
	switch mask := native.Uint64(b[offMask:]); {
	case mask&unix.FAN_Q_OVERFLOW != 0:
		e.Kind = fserr.Lost
	case mask&unix.FAN_FS_ERROR != 0:
		e.Kind = fserr.Error
	default:
		e.Kind = fserr.Other
		e.Record = fserr.Record{Type: uint32(mask), Bytes: b}
		has |= fserr.HasRecord
	}
	for at < n {
		size, told, err := decodeInfo(b, at, e)
		if err != nil {
			e.Has = has
			return n, err
		}
		has |= told
		at += size
	}
	if has&fserr.HasRecord != 0 {
		has &^= fserr.HasBroken
	}
	e.Has = has
	return n, nil
}

// decodeInfo decodes the information record at the given place of an event. It
// returns its length and the fields that it tells.
func decodeInfo(event []byte, at int, e *fserr.Event) (int, fserr.Field, error) {
	b := event[at:]
	if len(b) < infoHeaderSize {
		return 0, 0, malformed("fanotify_event_info_header", at, "%d bytes left, want %d", len(b), infoHeaderSize)
	}
	n := int(native.Uint16(b[offInfoLen:]))
	if n < infoHeaderSize || n > len(b) {
		return 0, 0, malformed("fanotify_event_info_header", at, "len %d with %d bytes left, want at least %d", n, len(b), infoHeaderSize)
	}
	b = b[:n:n]
	var has fserr.Field
	var err error
	switch b[offInfoType] {
	case infoError:
		if n < errorSize {
			return 0, 0, malformed("fanotify_event_info_error", at, "len %d, want %d", n, errorSize)
		}
		e.Errno = errno(int32(native.Uint32(b[offError:])))
		e.Count = uint64(native.Uint32(b[offErrorCount:]))
		has = fserr.HasErrno | fserr.HasCount
	case infoPIDFD:
		if n < pidfdSize {
			return 0, 0, malformed("fanotify_event_info_pidfd", at, "len %d, want %d", n, pidfdSize)
		}
		// Below zero are FAN_NOPIDFD, the process is gone, and FAN_EPIDFD.
		if fd := int32(native.Uint32(b[offPIDFD:])); fd >= 0 {
			e.PIDFD = fd
			has = fserr.HasPIDFD
		}
	case infoFID:
		has, err = decodeFID(b, at, e)
	case infoErrorDetail:
		has, err = decodeDetail(b, at, e)
	case infoFSRecord:
		has, err = decodeRecord(b, at, e)
	case infoFSBlob:
		if n < blobSize {
			return 0, 0, malformed("fanotify_event_info_fs_blob", at, "len %d, want at least %d", n, blobSize)
		}
		if e.Kind == fserr.Error {
			e.Magic = native.Uint32(b[offBlobMagic:])
			e.Record = fserr.Record{Magic: e.Magic, Bytes: b[blobSize:]}
			has = fserr.HasMagic | fserr.HasRecord
		}
	case infoErrorLocation:
		if n < locationSize {
			return 0, 0, malformed("fanotify_event_info_error_location", at, "len %d, want %d", n, locationSize)
		}
		e.IP = native.Uint64(b[offIP:])
		has = fserr.HasLocation
	case infoOverflow:
		if n < overflowSize {
			return 0, 0, malformed("fanotify_event_info_overflow", at, "len %d, want %d", n, overflowSize)
		}
		e.Count = native.Uint64(b[offDropped:])
		has = fserr.HasCount
	}
	return n, has, err
}

func decodeFID(b []byte, at int, e *fserr.Event) (fserr.Field, error) {
	if len(b) < offHandle+handleSize {
		return 0, malformed("fanotify_event_info_fid", at, "len %d, want at least %d", len(b), offHandle+handleSize)
	}
	e.FSID = fserr.FSID{native.Uint32(b[offFSID:]), native.Uint32(b[offFSID+4:])}
	h := b[offHandle:]
	size := native.Uint32(h[offHandleBytes:])
	if uint64(size) > uint64(len(h)-handleSize) {
		return 0, malformed("file_handle", at+offHandle, "handle_bytes %d with %d bytes left", size, len(h)-handleSize)
	}
	if size == 0 { // an error of the filesystem as a whole: FILEID_INVALID
		return fserr.HasFSID, nil
	}
	end := offHandleHandle + int(size)
	e.Handle.Type = int32(native.Uint32(h[offHandleType:]))
	e.Handle.Bytes = h[offHandleHandle:end:end]
	return fserr.HasFSID | fserr.HasHandle | decodeInode(e.Handle.Type, e.Handle.Bytes, e), nil
}

func decodeDetail(b []byte, at int, e *fserr.Event) (fserr.Field, error) {
	if len(b) < detailSize {
		return 0, malformed("fanotify_event_info_error_detail", at, "len %d, want %d", len(b), detailSize)
	}
	class := native.Uint32(b[offDetailClass:])
	if class > 0xff {
		return 0, malformed("fanotify_event_info_error_detail", at, "error_class %d", class)
	}
	e.Class = fserr.Class(class)
	e.Errno = errno(int32(native.Uint32(b[offDetailError:])))
	has := fserr.HasClass | fserr.HasErrno
	flags := native.Uint32(b[offDetailFlags:])
	if flags&detailInode != 0 {
		e.Ino, e.Gen = native.Uint64(b[offDetailIno:]), native.Uint32(b[offDetailGen:])
		has |= fserr.HasInode
	}
	if flags&detailRange != 0 {
		e.Pos, e.Len = int64(native.Uint64(b[offDetailPos:])), native.Uint64(b[offDetailLen:])
		has |= fserr.HasRange
	}
	// Then no record follows.
	if flags&detailRecordLost != 0 && e.Kind == fserr.Error && e.Record.Bytes == nil {
		e.Record.Missing = fserr.AllParts
		has |= fserr.HasBroken
	}
	return has, nil
}

func decodeRecord(b []byte, at int, e *fserr.Event) (fserr.Field, error) {
	if len(b) < recordSize {
		return 0, malformed("fanotify_event_info_fs_record", at, "len %d, want at least %d", len(b), recordSize)
	}
	size := native.Uint32(b[offRecordLen:])
	if uint64(size) > uint64(len(b)-recordSize) {
		return 0, malformed("fanotify_event_info_fs_record", at, "len %d with %d bytes left", size, len(b)-recordSize)
	}
	e.FSID = fserr.FSID{native.Uint32(b[offRecordFSID:]), native.Uint32(b[offRecordFSID+4:])}
	if e.Kind != fserr.Error { // it has itself as its Record
		return fserr.HasFSID, nil
	}
	end := recordSize + int(size)
	magic := native.Uint32(b[offRecordMagic:])
	e.Magic, e.Record.Magic = magic, magic
	e.Record.Type = native.Uint32(b[offRecordType:])
	e.Record.Missing = 0
	e.Record.Bytes = b[recordSize:end:end]
	return fserr.HasFSID | fserr.HasMagic | fserr.HasRecord, nil
}

// decodeInode finds the inode in a handle if its type is a known one.
func decodeInode(typ int32, h []byte, e *fserr.Event) fserr.Field {
	switch typ {
	case fileidIno32Gen, fileidIno32GenParent:
		if len(h) < 8 {
			return 0
		}
		e.Ino, e.Gen = uint64(native.Uint32(h)), native.Uint32(h[4:])
	case fileidIno64Gen, fileidIno64GenParent:
		if len(h) < 12 {
			return 0
		}
		e.Ino, e.Gen = native.Uint64(h), native.Uint32(h[8:])
	case fileidBtrfs:
		if len(h) < 20 {
			return 0
		}
		e.Ino, e.Gen = native.Uint64(h), native.Uint32(h[16:])
	default:
		return 0
	}
	return fserr.HasInode
}

// errno returns the error number that a record means. It should be positive,
// but before Linux 7.0 __ext4_std_error reported -EIO and the like.
func errno(v int32) fserr.Errno {
	if v < 0 {
		v = -v
	}
	return fserr.Errno(v)
}

func malformed(record string, at int, format string, a ...any) error {
	return &fserr.FormatError{Channel: "fanotify", Record: record, Offset: at, Problem: fmt.Sprintf(format, a...)}
}
