// SPDX-License-Identifier: MIT

package fan

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/golden"
)

// event returns a struct fanotify_event_metadata followed by infos.
func event(mask uint64, infos ...[]byte) []byte {
	b := make([]byte, metadataSize)
	for _, i := range infos {
		b = append(b, i...)
	}
	native.PutUint32(b[offEventLen:], uint32(len(b)))
	b[offVers] = metadataVersion
	native.PutUint16(b[offMetadataLen:], metadataSize)
	native.PutUint64(b[offMask:], mask)
	native.PutUint32(b[offMask+8:], 1<<32-1) // FAN_NOFD
	native.PutUint32(b[offPID:], 42)
	return b
}

// info returns a struct fanotify_event_info_header followed by a body of
// integers of fixed size and of bytes, padded to four.
func info(typ byte, body ...any) []byte {
	b := []byte{typ, 0, 0, 0}
	for _, v := range body {
		if s, ok := v.(string); ok {
			b = append(b, s...)
			continue
		}
		var err error
		if b, err = binary.Append(b, native, v); err != nil {
			panic(err)
		}
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	native.PutUint16(b[offInfoLen:], uint16(len(b)))
	return b
}

// fid returns a struct fanotify_event_info_fid.
func fid(typ int32, handle string) []byte {
	return info(infoFID, uint32(0xf51d0), uint32(0xf51d1), uint32(len(handle)), typ, handle)
}

func bytesOf(v ...any) string { return string(info(0, v...)[infoHeaderSize:]) }

// edit returns b with the bytes at off replaced.
func edit(b []byte, off int, v any) []byte {
	if _, err := binary.Encode(b[off:], native, v); err != nil {
		panic(err)
	}
	return b
}

var (
	ino32  = bytesOf(uint32(12), uint32(0xabcd))
	ino64  = bytesOf(uint64(1<<40+1), uint32(0xabcd))
	btrfs  = bytesOf(uint64(257), uint64(5), uint32(7))
	broken = info(infoError, int32(117), uint32(3))
	fsid   = fserr.FSID{0xf51d0, 0xf51d1}
)

// detail returns a struct fanotify_event_info_error_detail.
func detail(flags uint32) []byte {
	return info(infoErrorDetail, int32(117), uint32(fserr.DataLost), flags, uint64(1<<40+12), uint32(0xabcd), uint32(0), int64(-4096), uint64(512))
}

// fsRecord returns a struct fanotify_event_info_fs_record.
func fsRecord(data string) []byte {
	return info(infoFSRecord, uint32(0xef53), uint32(0xf51d0), uint32(0xf51d1), uint32(7), uint32(len(data)), data)
}

func handle(typ int32, b string) fserr.Handle { return fserr.Handle{Type: typ, Bytes: []byte(b)} }

func TestDecode(t *testing.T) {
	const detail0 = fserr.HasPID | fserr.HasErrno | fserr.HasCount
	const detailed = detail0 | fserr.HasFSID | fserr.HasClass
	const located = detail0 | fserr.HasFSID | fserr.HasHandle | fserr.HasInode
	golden.DecodeGood(t, Decode, []golden.Good{
		{"an inode of ext4", event(unix.FAN_FS_ERROR, fid(1, ino32), broken),
			fserr.Event{Kind: fserr.Error, Has: located, PID: 42, Errno: 117, Count: 3, FSID: fsid, Ino: 12, Gen: 0xabcd, Handle: handle(1, ino32)}},
		{"the other order", event(unix.FAN_FS_ERROR, broken, fid(1, ino32)),
			fserr.Event{Kind: fserr.Error, Has: located, PID: 42, Errno: 117, Count: 3, FSID: fsid, Ino: 12, Gen: 0xabcd, Handle: handle(1, ino32)}},
		{"an inode of XFS", event(unix.FAN_FS_ERROR, fid(0x81, ino64), broken),
			fserr.Event{Kind: fserr.Error, Has: located, PID: 42, Errno: 117, Count: 3, FSID: fsid, Ino: 1<<40 + 1, Gen: 0xabcd, Handle: handle(0x81, ino64)}},
		{"an inode of btrfs", event(unix.FAN_FS_ERROR, fid(0x4d, btrfs), broken),
			fserr.Event{Kind: fserr.Error, Has: located, PID: 42, Errno: 117, Count: 3, FSID: fsid, Ino: 257, Gen: 7, Handle: handle(0x4d, btrfs)}},
		{"a handle with a parent", event(unix.FAN_FS_ERROR, fid(2, ino32+ino32), broken),
			fserr.Event{Kind: fserr.Error, Has: located, PID: 42, Errno: 117, Count: 3, FSID: fsid, Ino: 12, Gen: 0xabcd, Handle: handle(2, ino32+ino32)}},
		{"a handle that is too short for its type", event(unix.FAN_FS_ERROR, fid(1, "ab"), broken),
			fserr.Event{Kind: fserr.Error, Has: located &^ fserr.HasInode, PID: 42, Errno: 117, Count: 3, FSID: fsid, Handle: handle(1, "ab")}},
		{"a handle of another type", event(unix.FAN_FS_ERROR, fid(0x71, ino64), broken),
			fserr.Event{Kind: fserr.Error, Has: located &^ fserr.HasInode, PID: 42, Errno: 117, Count: 3, FSID: fsid, Handle: handle(0x71, ino64)}},
		{"the filesystem as a whole", event(unix.FAN_FS_ERROR, fid(0xff, ""), broken),
			fserr.Event{Kind: fserr.Error, Has: detail0 | fserr.HasFSID, PID: 42, Errno: 117, Count: 3, FSID: fsid}},
		{"a pidfd between", event(unix.FAN_FS_ERROR, fid(0xff, ""), info(infoPIDFD, int32(9)), broken),
			fserr.Event{Kind: fserr.Error, Has: detail0 | fserr.HasFSID | fserr.HasPIDFD, PID: 42, PIDFD: 9, Errno: 117, Count: 3, FSID: fsid}},
		{"no pidfd", event(unix.FAN_FS_ERROR, info(infoPIDFD, int32(-1)), broken),
			fserr.Event{Kind: fserr.Error, Has: detail0, PID: 42, Errno: 117, Count: 3}},
		{"unknown records", event(unix.FAN_FS_ERROR, info(99), info(200, "some bytes"), broken, info(6, "more")),
			fserr.Event{Kind: fserr.Error, Has: detail0, PID: 42, Errno: 117, Count: 3}},
		{"a longer error record", event(unix.FAN_FS_ERROR, info(infoError, int32(5), uint32(1), uint64(0))),
			fserr.Event{Kind: fserr.Error, Has: detail0, PID: 42, Errno: 5, Count: 1}},
		{"a negative error number", event(unix.FAN_FS_ERROR, info(infoError, int32(-5), uint32(1))),
			fserr.Event{Kind: fserr.Error, Has: detail0, PID: 42, Errno: 5, Count: 1}},
		{"longer metadata", edit(event(unix.FAN_FS_ERROR, make([]byte, 8), broken), offMetadataLen, uint16(metadataSize+8)),
			fserr.Event{Kind: fserr.Error, Has: detail0, PID: 42, Errno: 117, Count: 3}},
		{"no records", event(unix.FAN_FS_ERROR),
			fserr.Event{Kind: fserr.Error, Has: fserr.HasPID, PID: 42}},
		{"in detail", event(unix.FAN_FS_ERROR, fid(1, ino32), broken, detail(detailInode|detailRange)),
			fserr.Event{Kind: fserr.Error, Has: located | fserr.HasClass | fserr.HasRange, PID: 42, Class: fserr.DataLost, Errno: 117, Count: 3, FSID: fsid,
				Ino: 1<<40 + 12, Gen: 0xabcd, Handle: handle(1, ino32), Pos: -4096, Len: 512}},
		{"in detail, of the filesystem", event(unix.FAN_FS_ERROR, fid(0xff, ""), broken, detail(0)),
			fserr.Event{Kind: fserr.Error, Has: detailed, PID: 42, Class: fserr.DataLost, Errno: 117, Count: 3, FSID: fsid}},
		{"the filesystem's record", event(unix.FAN_FS_ERROR, broken, detail(0), fsRecord("five!")),
			fserr.Event{Kind: fserr.Error, Has: detailed | fserr.HasMagic | fserr.HasRecord, PID: 42, Class: fserr.DataLost, Errno: 117, Count: 3, FSID: fsid,
				Magic: 0xef53, Record: fserr.Record{Magic: 0xef53, Type: 7, Bytes: []byte("five!")}}},
		{"the record as a blob", event(unix.FAN_FS_ERROR, fid(0xff, ""), broken, detail(0), info(infoFSBlob, uint32(0xef53), "five!")),
			fserr.Event{Kind: fserr.Error, Has: detailed | fserr.HasMagic | fserr.HasRecord, PID: 42, Class: fserr.DataLost, Errno: 117, Count: 3, FSID: fsid,
				Magic: 0xef53, Record: fserr.Record{Magic: 0xef53, Bytes: []byte("five!\x00\x00\x00")}}},
		{"a record that was not kept", event(unix.FAN_FS_ERROR, fid(0xff, ""), broken, detail(detailRecordLost)),
			fserr.Event{Kind: fserr.Error, Has: detailed | fserr.HasBroken, PID: 42, Class: fserr.DataLost, Errno: 117, Count: 3, FSID: fsid,
				Record: fserr.Record{Missing: fserr.AllParts}}},
		{"a location", event(unix.FAN_FS_ERROR, broken, info(infoErrorLocation, uint32(0), uint64(0xffffffff81000000))),
			fserr.Event{Kind: fserr.Error, Has: detail0 | fserr.HasLocation, PID: 42, Errno: 117, Count: 3, IP: 0xffffffff81000000}},
		{"a counted overflow", edit(event(unix.FAN_Q_OVERFLOW, info(infoOverflow, uint32(0), uint64(1<<40))), offPID, int32(0)),
			fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 1 << 40}},
		{"a record beside an open", event(unix.FAN_OPEN, fsRecord("")),
			fserr.Event{Kind: fserr.Other, Has: fserr.HasPID | fserr.HasFSID | fserr.HasRecord, PID: 42, FSID: fsid,
				Record: fserr.Record{Type: unix.FAN_OPEN, Bytes: event(unix.FAN_OPEN, fsRecord(""))}}},
		{"an overflow", edit(event(unix.FAN_Q_OVERFLOW), offPID, int32(0)),
			fserr.Event{Kind: fserr.Lost}},
		{"an open", event(unix.FAN_OPEN, fid(1, ino32)),
			fserr.Event{Kind: fserr.Other, Has: located&^(fserr.HasErrno|fserr.HasCount) | fserr.HasRecord, PID: 42, FSID: fsid, Ino: 12, Gen: 0xabcd,
				Handle: handle(1, ino32), Record: fserr.Record{Type: unix.FAN_OPEN, Bytes: event(unix.FAN_OPEN, fid(1, ino32))}}},
	})
}

func TestDecodeMalformed(t *testing.T) {
	good := func() []byte { return event(unix.FAN_FS_ERROR, fid(1, ino32), broken) }
	const atFID, atError = metadataSize, metadataSize + 28
	golden.DecodeBad(t, Decode, []golden.Bad{
		{"nothing", nil, 0, "fanotify: fanotify_event_metadata at byte 0: 0 bytes left, want 24"},
		{"half a header", good()[:23], 0, "fanotify: fanotify_event_metadata at byte 0: 23 bytes left, want 24"},
		{"cut off", good()[:60], 0, "fanotify: fanotify_event_metadata at byte 0: event_len 64 with 60 bytes left, want at least 24"},
		{"event_len 0", edit(good(), 0, uint32(0)), 0, "fanotify: fanotify_event_metadata at byte 0: event_len 0 with 64 bytes left, want at least 24"},
		{"event_len huge", edit(good(), 0, uint32(1<<32-1)), 0, "fanotify: fanotify_event_metadata at byte 0: event_len 4294967295 with 64 bytes left, want at least 24"},
		{"vers", edit(good(), offVers, byte(4)), 64, "fanotify: fanotify_event_metadata at byte 0: vers 4, want 3"},
		{"metadata_len small", edit(good(), offMetadataLen, uint16(20)), 64, "fanotify: fanotify_event_metadata at byte 0: metadata_len 20 in an event of 64 bytes"},
		{"metadata_len large", edit(good(), offMetadataLen, uint16(65)), 64, "fanotify: fanotify_event_metadata at byte 0: metadata_len 65 in an event of 64 bytes"},
		{"half an info header", edit(good()[:26], offEventLen, uint32(26)), 26, "fanotify: fanotify_event_info_header at byte 24: 2 bytes left, want 4"},
		{"info len 0", edit(good(), atFID+offInfoLen, uint16(0)), 64, "fanotify: fanotify_event_info_header at byte 24: len 0 with 40 bytes left, want at least 4"},
		{"info len large", edit(good(), atError+offInfoLen, uint16(16)), 64, "fanotify: fanotify_event_info_header at byte 52: len 16 with 12 bytes left, want at least 4"},
		{"short error", event(unix.FAN_FS_ERROR, info(infoError, uint32(0))), 32, "fanotify: fanotify_event_info_error at byte 24: len 8, want 12"},
		{"short pidfd", event(unix.FAN_FS_ERROR, info(infoPIDFD)), 28, "fanotify: fanotify_event_info_pidfd at byte 24: len 4, want 8"},
		{"short fid", event(unix.FAN_FS_ERROR, info(infoFID, uint64(0), uint32(0))), 40, "fanotify: fanotify_event_info_fid at byte 24: len 16, want at least 20"},
		{"short detail", event(unix.FAN_FS_ERROR, detail(0)[:44]), 68, "fanotify: fanotify_event_info_header at byte 24: len 48 with 44 bytes left, want at least 4"},
		{"shorter detail", event(unix.FAN_FS_ERROR, edit(detail(0)[:44], offInfoLen, uint16(44))), 68, "fanotify: fanotify_event_info_error_detail at byte 24: len 44, want 48"},
		{"class", event(unix.FAN_FS_ERROR, edit(detail(0), offDetailClass, uint32(256))), 72, "fanotify: fanotify_event_info_error_detail at byte 24: error_class 256"},
		{"short record", event(unix.FAN_FS_ERROR, info(infoFSRecord, uint64(0))), 36, "fanotify: fanotify_event_info_fs_record at byte 24: len 12, want at least 24"},
		{"record len large", event(unix.FAN_FS_ERROR, edit(fsRecord("data"), offRecordLen, uint32(5))), 52, "fanotify: fanotify_event_info_fs_record at byte 24: len 5 with 4 bytes left"},
		{"record len huge", event(unix.FAN_FS_ERROR, edit(fsRecord("data"), offRecordLen, uint32(1<<32-1))), 52, "fanotify: fanotify_event_info_fs_record at byte 24: len 4294967295 with 4 bytes left"},
		{"short blob", event(unix.FAN_FS_ERROR, info(infoFSBlob)), 28, "fanotify: fanotify_event_info_fs_blob at byte 24: len 4, want at least 8"},
		{"short location", event(unix.FAN_FS_ERROR, info(infoErrorLocation, uint32(0))), 32, "fanotify: fanotify_event_info_error_location at byte 24: len 8, want 16"},
		{"short overflow", event(unix.FAN_Q_OVERFLOW, info(infoOverflow, uint32(0))), 32, "fanotify: fanotify_event_info_overflow at byte 24: len 8, want 16"},
		{"handle_bytes large", edit(good(), atFID+offHandle, uint32(9)), 64, "fanotify: file_handle at byte 36: handle_bytes 9 with 8 bytes left"},
		{"handle_bytes huge", edit(good(), atFID+offHandle, uint32(1<<32-1)), 64, "fanotify: file_handle at byte 36: handle_bytes 4294967295 with 8 bytes left"},
	})
}

func TestParseStats(t *testing.T) {
	const head = "pos:\t0\nflags:\t02\nmnt_id:\t15\nfanotify flags:200 event-flags:0\n"
	s, err := parseStats([]byte(head + "fanotify errors queued:2 merged:998 dropped:7\nfanotify sdev:700000 mflags:0 mask:8000 ignored_mask:0 \n"))
	if want := (Stats{Queued: 2, Merged: 998, Dropped: 7}); err != nil || s != want {
		t.Errorf("got %+v, %v, want %+v", s, err, want)
	}
	if _, err := parseStats([]byte(head)); !errors.Is(err, errors.ErrUnsupported) || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), `the kernel lacks the patch "fanotify: count queued, merged and dropped error events"`) {
		t.Errorf("without counters: %v", err)
	}
	for _, line := range []string{"fanotify errors queued:2 merged:998", "fanotify errors queued:-2 merged:998 dropped:0", "fanotify errors "} {
		if s, err := parseStats([]byte(line)); err == nil || s != (Stats{}) {
			t.Errorf("%q gives %+v, %v", line, s, err)
		}
	}
}

// TestCaptured decodes what read(2) gave on real groups: testdata/*.hex, one
// event per line, beside what it should be.
func TestCaptured(t *testing.T) { golden.Records(t, "testdata/*.hex", Decode) }

// The patches that errors name must be in the series.
func TestPatchNames(t *testing.T) {
	golden.Patches(t, "../kernel-patches", patchCounters, patchDetailed, patchRecord, patchInode, patchMerge, patchOverflow, patchLocation)
}

func benchmarks() []golden.Record {
	return []golden.Record{
		{"inode", event(unix.FAN_FS_ERROR, fid(1, ino32), broken)},
		{"filesystem", event(unix.FAN_FS_ERROR, fid(0xff, ""), broken)},
		{"detailed", event(unix.FAN_FS_ERROR, fid(1, ino32), broken, detail(detailInode|detailRange), fsRecord(string(make([]byte, 24))))},
		{"pidfd", event(unix.FAN_FS_ERROR, fid(1, ino32), info(infoPIDFD, int32(9)), broken)},
		{"overflow", event(unix.FAN_Q_OVERFLOW)},
		{"open", event(unix.FAN_OPEN, fid(1, ino32))},
	}
}

func TestDecodeAllocatesNothing(t *testing.T) { golden.AllocatesNothing(t, Decode, benchmarks()) }

func BenchmarkDecode(b *testing.B) { golden.Bench(b, Decode, benchmarks()) }

func BenchmarkBesideC(b *testing.B) {
	golden.BesideC(b, Decode, "fan", benchmarks()[:3])
}

func TestInstructionsBesideC(t *testing.T) { golden.InstructionsBesideC(t, Decode, benchmarks()[:3]) }
