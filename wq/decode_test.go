// SPDX-License-Identifier: MIT

package wq

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/golden"
)

// record returns a struct watch_notification followed by a body of integers of
// fixed size. Its length is filled in; info has the rest.
func record(typ uint32, subtype uint8, info uint32, body ...any) []byte {
	b := make([]byte, headerSize)
	if bigEndian {
		typ <<= 8
	}
	native.PutUint32(b, typ)
	b[offSubtype] = subtype
	for _, v := range body {
		var err error
		if b, err = binary.Append(b, native, v); err != nil {
			panic(err)
		}
	}
	native.PutUint32(b[offInfo:], info|uint32(len(b)))
	return b
}

// fsError returns a struct fs_error_notification.
func fsError(class fserr.Class, info uint32) []byte {
	return record(TypeFSError, uint8(class), info,
		uint64(7), uint64(1e9), uint64(1<<40+12), int64(4096), uint64(512), uint32(0xabcd), int32(117), [2]uint32{0xf51d0, 0xf51d1})
}

func TestDecode(t *testing.T) {
	const always = fserr.HasWatch | fserr.HasClass | fserr.HasSeq | fserr.HasTime | fserr.HasErrno | fserr.HasFSID
	fsid := fserr.FSID{0xf51d0, 0xf51d1}
	key := record(TypeKey, 1, 0x0200, uint32(0x1234), uint32(5))
	removal := record(TypeMeta, metaRemoval, 0x0300)
	removalID := record(TypeMeta, metaRemoval, 0x0300, uint64(0x700000))
	unknownMeta := record(TypeMeta, 2, 0x0300)
	unknown := record(0xabcdef, 0xff, 0x0400, uint64(1))
	golden.DecodeGood(t, Decode, []golden.Good{
		{"an error of an inode", fsError(fserr.BufferedRead, 0xff00|fsErrorInfoInode|fsErrorInfoRange), fserr.Event{
			Kind: fserr.Error, Has: always | fserr.HasInode | fserr.HasRange, Class: fserr.BufferedRead, Watch: 255, Errno: 117, FSID: fsid,
			Ino: 1<<40 + 12, Gen: 0xabcd, Pos: 4096, Len: 512, Seq: 7, Time: 1e9}},
		{"an error of the filesystem", fsError(fserr.Metadata, 0x0100), fserr.Event{
			Kind: fserr.Error, Has: always, Class: fserr.Metadata, Watch: 1, Errno: 117, FSID: fsid, Seq: 7, Time: 1e9}},
		{"a range of the filesystem, posted later", fsError(fserr.DataLost, 0x0100|fsErrorInfoRange|fsErrorInfoDeferred), fserr.Event{
			Kind: fserr.Error, Has: always | fserr.HasRange, Class: fserr.DataLost, Watch: 1, Errno: 117, FSID: fsid,
			Pos: 4096, Len: 512, Seq: 7, Time: 1e9}},
		{"a longer error record", record(TypeFSError, 5, 0x0100, fsError(fserr.Metadata, 0)[headerSize:], uint64(99)), fserr.Event{
			Kind: fserr.Error, Has: always, Class: fserr.Metadata, Watch: 1, Errno: 117, FSID: fsid, Seq: 7, Time: 1e9}},
		{"an error with the filesystem's magic", errorRecord(0x0100, 0, 0, 0), fserr.Event{
			Kind: fserr.Error, Has: always | fserr.HasMagic, Class: fserr.Metadata, Watch: 1, Errno: 117, FSID: fserr.FSID{1, 2}, Magic: testMagic, Seq: 7, Time: 1e9}},
		{"an error and where it was noticed", errorRecord(0x0100|fsErrorInfoLocation, 0, 0, 0, uint64(0xffffffff81000000)), fserr.Event{
			Kind: fserr.Error, Has: always | fserr.HasMagic | fserr.HasLocation, Class: fserr.Metadata, Watch: 1, Errno: 117, FSID: fserr.FSID{1, 2},
			Magic: testMagic, Seq: 7, Time: 1e9, IP: 0xffffffff81000000}},
		{"the first note of a chain", errorRecord(0x0100|fsErrorInfoChain, 9, 5, 209), fserr.Event{
			Kind: fserr.Error, Has: always | fserr.HasMagic | fserr.HasBroken, Class: fserr.Metadata, Watch: 1, Errno: 117, FSID: fserr.FSID{1, 2},
			Magic: testMagic, Seq: 7, Time: 1e9, Record: fserr.Record{Magic: testMagic, Type: 9, Missing: 7}}},
		{"a part", part(1, 5, 2, blob(312)), fserr.Event{
			Kind: fserr.Fragment, Has: fserr.HasWatch | fserr.HasBroken, Watch: 1, Record: fserr.Record{Missing: fserr.AllParts &^ 2, Bytes: blob(312)[104:208]}}},
		{"a last part", part(1, 5, 3, blob(312)), fserr.Event{
			Kind: fserr.Fragment, Has: fserr.HasWatch | fserr.HasBroken, Watch: 1, Record: fserr.Record{Missing: 3, Bytes: blob(312)[208:]}}},
		{"a loss", record(TypeMeta, metaLoss, 0), fserr.Event{Kind: fserr.Lost}},
		{"a counted loss", record(TypeMeta, metaLoss, 0x0300|lossInfoWatch, uint64(1<<40)), fserr.Event{
			Kind: fserr.Lost, Has: fserr.HasWatch | fserr.HasCount, Watch: 3, Count: 1 << 40}},
		{"a loss of parts", record(TypeMeta, metaLoss, 0x0300|lossInfoWatch|lossInfoParts, uint64(0)), fserr.Event{
			Kind: fserr.Lost, Has: fserr.HasWatch | fserr.HasCount, Watch: 3, Loss: fserr.LostParts}},
		{"a loss of watches that are gone", record(TypeMeta, metaLoss, lossInfoRemoval|lossInfoParts, uint64(2)), fserr.Event{
			Kind: fserr.Lost, Has: fserr.HasCount, Count: 2, Loss: fserr.LostParts | fserr.LostRemoval}},
		{"a removal", removal, fserr.Event{
			Kind: fserr.Removed, Has: fserr.HasWatch | fserr.HasRecord, Watch: 3, Record: fserr.Record{Bytes: removal}}},
		{"a removal with an id", removalID, fserr.Event{
			Kind: fserr.Removed, Has: fserr.HasWatch | fserr.HasRecord, Watch: 3, Record: fserr.Record{Bytes: removalID}}},
		{"another meta record", unknownMeta, fserr.Event{
			Kind: fserr.Other, Has: fserr.HasWatch | fserr.HasRecord, Watch: 3, Record: fserr.Record{Bytes: unknownMeta}}},
		{"a key", key, fserr.Event{
			Kind: fserr.Other, Has: fserr.HasWatch | fserr.HasRecord, Watch: 2, Record: fserr.Record{Type: TypeKey, Bytes: key}}},
		{"an unknown type", unknown, fserr.Event{
			Kind: fserr.Other, Has: fserr.HasWatch | fserr.HasRecord, Watch: 4, Record: fserr.Record{Type: 0xabcdef, Bytes: unknown}}},
	})
}

func TestDecodeMalformed(t *testing.T) {
	cut := func(b []byte, n int) []byte { return b[:n] }
	length := func(n uint32) []byte {
		b := fsError(fserr.Metadata, 0)
		native.PutUint32(b[offInfo:], n)
		return b
	}
	golden.DecodeBad(t, Decode, []golden.Bad{
		{"nothing", nil, 0, "watch_queue: watch_notification at byte 0: 0 bytes left, want 8"},
		{"half a header", cut(fsError(0, 0), 7), 0, "watch_queue: watch_notification at byte 0: 7 bytes left, want 8"},
		{"cut off", cut(fsError(0, 0), 63), 0, "watch_queue: watch_notification at byte 0: length 64 with 63 bytes left, want at least 8"},
		{"length 0", length(0), 0, "watch_queue: watch_notification at byte 0: length 0 with 64 bytes left, want at least 8"},
		{"length 7", length(7), 0, "watch_queue: watch_notification at byte 0: length 7 with 64 bytes left, want at least 8"},
		{"length 127", length(127), 0, "watch_queue: watch_notification at byte 0: length 127 with 64 bytes left, want at least 8"},
		{"a short location", errorRecord(fsErrorInfoLocation, 0, 0, 0), 80, "watch_queue: fs_error_location_notification at byte 0: length 80, want 96"},
		{"a chain of nothing", errorRecord(fsErrorInfoChain, 1, 5, 0), 80, "watch_queue: watch_chain_ref at byte 0: chain_len 0, want 1 to 6656"},
		{"a chain too long", errorRecord(fsErrorInfoChain, 1, 5, 6657), 80, "watch_queue: watch_chain_ref at byte 0: chain_len 6657, want 1 to 6656"},
		{"a short part", record(TypeChain, 2, 0, uint32(5)), 12, "watch_queue: watch_notification_chain at byte 0: length 12, want at least 16"},
		{"an empty part", record(TypeChain, 2, 0, uint32(5), uint16(1), uint16(1)), 16, "watch_queue: watch_notification_chain at byte 0: 0 bytes of data, want 1 to 104"},
		{"a part 0", record(TypeChain, 2, 0, uint32(5), uint16(0), uint16(1), blob(8)), 24, "watch_queue: watch_notification_chain at byte 0: index 0, want 1 to 64"},
		{"a part 65", record(TypeChain, 2, 0, uint32(5), uint16(65), uint16(1), blob(8)), 24, "watch_queue: watch_notification_chain at byte 0: index 65, want 1 to 64"},
		{"half a part", record(TypeChain, 2, 0, uint32(5), uint16(1), uint16(0), blob(96)), 112,
			"watch_queue: watch_notification_chain at byte 0: 96 bytes of data in a part that is not the last, want 104"},
		{"a short error", record(TypeFSError, 5, 0, uint64(1)), 16, "watch_queue: fs_error_notification at byte 0: length 16, want 64"},
	})
}

func TestDecodeKey(t *testing.T) {
	got, err := DecodeKey(record(TypeKey, 2, 0x0100, uint32(0x2f00d), uint32(77)))
	if want := (Key{Change: KeyLinked, ID: 0x2f00d, Aux: 77}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, test := range []struct {
		in   []byte
		want string
	}{
		{nil, "watch_queue: key_notification at byte 0: 0 bytes, want 16"},
		{record(TypeKey, 2, 0, uint32(1)), "watch_queue: key_notification at byte 0: 12 bytes, want 16"},
		{fsError(0, 0), "watch_queue: key_notification at byte 0: type 2, want 1"},
	} {
		if _, err := DecodeKey(test.in); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	for c, want := range map[KeyChange]string{KeyInstantiated: "instantiated", KeySetattr: "setattr", 8: "key change 8"} {
		if c.String() != want {
			t.Errorf("got %q, want %q", c, want)
		}
	}
}

func TestRemovalID(t *testing.T) {
	if id, ok := RemovalID(record(TypeMeta, metaRemoval, 0, uint64(0x700000))); !ok || id != 0x700000 {
		t.Errorf("got %#x, %v", id, ok)
	}
	if id, ok := RemovalID(record(TypeMeta, metaRemoval, 0)); ok || id != 0 {
		t.Errorf("got %#x, %v of a record without one", id, ok)
	}
}

// TestCaptured decodes what read(2) gave on real queues, and records made by
// hand: testdata/*.hex, one per line, beside what they should be.
func TestCaptured(t *testing.T) { golden.Records(t, "testdata/*.hex", Decode) }

func TestFilterSpec(t *testing.T) {
	spec, err := newFilterSpec([]Filter{
		{Type: TypeFSError, Subtypes: []uint8{0, 5, 31}, Info: 0x0100, Mask: infoID},
		{Type: TypeKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := filterSpec{n: 2}
	want.filters[0] = typeFilter{typ: 2, infoFilter: 0x0100, infoMask: 0xff00, subtypes: [8]uint32{1<<31 | 1<<5 | 1}}
	want.filters[1] = typeFilter{typ: 1, subtypes: [8]uint32{1<<32 - 1}}
	if *spec != want {
		t.Errorf("got %+v, want %+v", *spec, want)
	}
	if spec, err := newFilterSpec(nil); spec != nil || err != nil {
		t.Errorf("no filters: %v, %v", spec, err)
	}
	for _, test := range []struct {
		filters []Filter
		want    string
	}{
		{make([]Filter, 17), "17 filters: the kernel takes at most 16: invalid argument"},
		{[]Filter{{Mask: 0x40}}, "filter 0: mask 0x40 covers the length of a record (0x7f): invalid argument"},
		{[]Filter{{}, {Info: 0x0300, Mask: 0x0100}}, "filter 1: info 0x300 has bits outside of the mask 0x100: invalid argument"},
		{[]Filter{{Subtypes: []uint8{1, 32}}}, "filter 0: subtype 32: the kernel's filter knows 0 to 31: invalid argument"},
	} {
		if _, err := newFilterSpec(test.filters); !errors.Is(err, unix.EINVAL) || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestParseStats(t *testing.T) {
	const head = "pos:\t0\nflags:\t04000\nmnt_id:\t14\nino:\t9\n"
	s, err := parseStats([]byte(head + "watch_queue notes:32 depth:5 high:31 posted:10 filtered:1 lost:3 parts_lost:4 later:x\nwatch id:1 posted:10 filtered:1 lost:3 parts_lost:4\n"))
	if diff := cmp.Diff(Stats{Notes: 32, Depth: 5, High: 31, Posted: 10, Filtered: 1, Lost: 3, PartsLost: 4,
		Watches: []WatchStats{{ID: 1, Posted: 10, Filtered: 1, Lost: 3, PartsLost: 4}}}, s); err != nil || diff != "" {
		t.Error(err, diff)
	}
	// The first nine patches.
	s, err = parseStats([]byte(head + "watch_queue notes:32 depth:5 posted:10 filtered:1 lost:3\nwatch id:1 posted:4 filtered:1 lost:0\nwatch id:255 posted:6 filtered:0 lost:3\n"))
	want := Stats{Notes: 32, Depth: 5, Posted: 10, Filtered: 1, Lost: 3, Watches: []WatchStats{{ID: 1, Posted: 4, Filtered: 1}, {ID: 255, Posted: 6, Lost: 3}}}
	if diff := cmp.Diff(want, s); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := parseStats([]byte(head)); !errors.Is(err, errors.ErrUnsupported) || strings.Contains(err.Error(), "\n") {
		t.Errorf("without counters: %v", err)
	}
	for _, bad := range []string{
		"watch_queue notes:32 depth:5 posted:10 filtered:1",
		"watch_queue notes:32 depth:5 posted:10 filtered:1 lost:-1\n",
		"watch_queue notes:32 depth:5 posted:10 filtered:1 lost:3\nwatch id:256 posted:4 filtered:1 lost:0\n",
		"watch_queue \n",
	} {
		if s, err := parseStats([]byte(bad)); err == nil || cmp.Diff(Stats{}, s) != "" {
			t.Errorf("%q gives %+v, %v", bad, s, err)
		}
	}
}

func TestPointString(t *testing.T) {
	for p, want := range map[Point]string{Direct: "direct", Deferred: "deferred", 2: "point 2"} {
		if p.String() != want {
			t.Errorf("got %q, want %q", p, want)
		}
	}
}

func TestFSFilterSpec(t *testing.T) {
	spec, err := newFSFilterSpec([]FSRule{
		{Classes: []fserr.Class{fserr.BufferedRead, fserr.Metadata}, Errno: 5},
		{Magic: fserr.EXT4Magic, Ino: 12},
		{},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := fsFilterSpec{n: 3}
	want.rules[0] = fsRule{flags: ruleClasses | ruleError, classes: 1<<5 | 1, error: 5}
	want.rules[1] = fsRule{flags: ruleMagic | ruleIno, magic: fserr.EXT4Magic, ino: 12}
	if *spec != want {
		t.Errorf("got %+v, want %+v", *spec, want)
	}
	if spec, err := newFSFilterSpec(nil); spec != nil || err != nil {
		t.Errorf("no rules: %v, %v", spec, err)
	}
	for _, test := range []struct {
		rules []FSRule
		want  string
	}{
		{make([]FSRule, 17), "17 rules: the kernel takes at most 16: invalid argument"},
		{[]FSRule{{}, {Classes: []fserr.Class{32}}}, "rule 1: class 32: the kernel's rules know 0 to 31: invalid argument"},
	} {
		if _, err := newFSFilterSpec(test.rules); !errors.Is(err, unix.EINVAL) || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestReserveSpec(t *testing.T) {
	for _, test := range []struct {
		reserve Reserve
		want    reserveSpec
	}{
		{Reserve{}, reserveSpec{subtypes: 1<<32 - 1}},
		{Reserve{Type: TypeFSError, Subtypes: []uint8{0, 5, 31}, Slots: 7}, reserveSpec{typ: TypeFSError, subtypes: 1<<31 | 1<<5 | 1, slots: 7}},
	} {
		if got, err := newReserveSpec(test.reserve); err != nil || got != test.want {
			t.Errorf("got %+v, %v, want %+v", got, err, test.want)
		}
	}
	if _, err := newReserveSpec(Reserve{Subtypes: []uint8{32}}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a subtype that is too large: %v", err)
	}
}

// The patches that errors name must be in the series.
func TestPatchNames(t *testing.T) {
	golden.Patches(t, "../kernel-patches", patchSource, patchCounters, patchLossCount, patchFSFilter, patchReserve, patchChains)
}

func benchmarks() []golden.Record {
	return []golden.Record{
		{"inode", errorRecord(fsErrorInfoInode|fsErrorInfoRange, 0, 0, 0)},
		{"filesystem", errorRecord(0, 0, 0, 0)},
		{"first series", fsError(fserr.BufferedRead, fsErrorInfoInode|fsErrorInfoRange)},
		{"part", part(1, 5, 1, blob(312))},
		{"key", record(TypeKey, 1, 0, uint64(1))},
		{"loss", record(TypeMeta, metaLoss, 0)},
	}
}

func TestDecodeAllocatesNothing(t *testing.T) { golden.AllocatesNothing(t, Decode, benchmarks()) }

func BenchmarkDecode(b *testing.B) { golden.Bench(b, Decode, benchmarks()) }

func BenchmarkBesideC(b *testing.B) {
	golden.BesideC(b, Decode, "wq", benchmarks()[:2])
}

func TestInstructionsBesideC(t *testing.T) { golden.InstructionsBesideC(t, Decode, benchmarks()[:2]) }
