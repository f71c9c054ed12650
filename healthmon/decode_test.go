// SPDX-License-Identifier: MIT

package healthmon

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wqfan/fserr"
	"wqfan/internal/golden"
)

const stamp = 1_700_000_000_123_456_789

// record returns a struct xfs_health_monitor_event with a body of integers.
func record(d Domain, t Type, body ...any) []byte {
	b := make([]byte, offMask, eventSize)
	native.PutUint32(b[offDomain:], uint32(d))
	native.PutUint32(b[offType:], uint32(t))
	native.PutUint64(b[offTime:], stamp)
	for _, v := range body {
		var err error
		if b, err = binary.Append(b, native, v); err != nil {
			panic(err)
		}
	}
	return append(b, make([]byte, eventSize-len(b))...)
}

// The bodies of the union, in the kernel's order of fields.
var (
	running   = record(Mount, Running)
	lost      = record(Mount, Lost, uint64(1<<40))
	unmount   = record(Mount, Unmount)
	shutdown  = record(Mount, Shutdown, uint32(1<<2|1<<9))
	sickFS    = record(FS, Sick, uint32(1))
	sickAG    = record(AG, Corrupt, uint32(1<<3), uint32(7))
	sickInode = record(Inode, Sick, uint32(1<<4), uint32(0xabcd), uint64(1<<33))
	healthy   = record(RTGroup, Healthy, uint32(1), uint32(2))
	media     = record(LogDev, MediaError, uint64(10), uint64(2))
	fileRange = record(FileRange, DIORead, uint64(4096), uint64(512), uint64(131), uint32(0xabcd), uint32(5))
	strange   = record(99, BufRead, uint64(1))
	future    = record(Mount, 99)
)

func TestDecode(t *testing.T) {
	whole := func(b []byte, typ Type) fserr.Record { return fserr.Record{Type: uint32(typ), Bytes: b} }
	golden.DecodeGood(t, Decode, []golden.Good{
		{"running", running, fserr.Event{Kind: fserr.Other, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord, Record: whole(running, Running)}},
		{"lost", lost, fserr.Event{Kind: fserr.Lost, Has: fserr.HasCount, Count: 1 << 40}},
		{"unmount", unmount, fserr.Event{Kind: fserr.Removed, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord, Record: whole(unmount, Unmount)}},
		{"shutdown", shutdown, fserr.Event{Kind: fserr.Error, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord | fserr.HasClass, Class: fserr.Metadata, Record: whole(shutdown, Shutdown)}},
		{"a sick filesystem", sickFS, fserr.Event{Kind: fserr.Error, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord | fserr.HasClass, Class: fserr.Metadata, Record: whole(sickFS, Sick)}},
		{"a corrupt group", sickAG, fserr.Event{Kind: fserr.Error, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord | fserr.HasClass, Class: fserr.Metadata, Record: whole(sickAG, Corrupt)}},
		{"a sick inode", sickInode, fserr.Event{Kind: fserr.Error, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord | fserr.HasClass | fserr.HasInode, Class: fserr.Metadata,
			Ino: 1 << 33, Gen: 0xabcd, Record: whole(sickInode, Sick)}},
		{"healthy", healthy, fserr.Event{Kind: fserr.Other, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord, Record: whole(healthy, Healthy)}},
		{"a range of a device", media, fserr.Event{Kind: fserr.Error, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord | fserr.HasClass, Class: fserr.DataLost, Record: whole(media, MediaError)}},
		{"a range of a file", fileRange, fserr.Event{Kind: fserr.Error, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord | fserr.HasClass | fserr.HasInode | fserr.HasRange | fserr.HasErrno,
			Class: fserr.DirectIORead, Ino: 131, Gen: 0xabcd, Pos: 4096, Len: 512, Errno: 5, Record: whole(fileRange, DIORead)}},
		{"an unknown domain", strange, fserr.Event{Kind: fserr.Other, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord, Record: whole(strange, BufRead)}},
		{"an unknown type", future, fserr.Event{Kind: fserr.Other, Magic: fserr.XFSMagic, Has: fserr.HasMagic | fserr.HasRecord, Record: whole(future, 99)}},
	})
}

// Each type of a file's range has the class that fserror was told.
func TestClasses(t *testing.T) {
	for typ, want := range map[Type]fserr.Class{
		BufRead: fserr.BufferedRead, BufWrite: fserr.BufferedWrite, DIORead: fserr.DirectIORead, DIOWrite: fserr.DirectIOWrite, DataLost: fserr.DataLost,
	} {
		var e fserr.Event
		if _, err := Decode(record(FileRange, typ), &e); err != nil || e.Kind != fserr.Error || e.Class != want {
			t.Errorf("%v: got %v, %v, want class %v", typ, e, err, want)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	const says = "XFS health monitor: xfs_health_monitor_event at byte 0: "
	golden.DecodeBad(t, Decode, []golden.Bad{
		{"nothing", nil, 0, says + "0 bytes left, want 64"},
		{"cut off", fileRange[:63], 0, says + "63 bytes left, want 64"},
	})
}

func TestParse(t *testing.T) {
	at := time.Unix(0, stamp)
	for _, test := range []struct {
		in   []byte
		want Record
		says string
	}{
		{running, Record{Domain: Mount, Type: Running, Time: at}, "mount running"},
		{lost, Record{Domain: Mount, Type: Lost, Time: at, Lost: 1 << 40}, "mount lost count=1099511627776"},
		{shutdown, Record{Domain: Mount, Type: Shutdown, Time: at, Mask: 1<<2 | 1<<9}, "mount shutdown reasons=force-umount|0x200"},
		{record(Mount, Shutdown), Record{Domain: Mount, Type: Shutdown, Time: at}, "mount shutdown reasons=0x0"},
		{sickFS, Record{Domain: FS, Type: Sick, Time: at, Mask: 1}, "fs sick counters"},
		{sickAG, Record{Domain: AG, Type: Corrupt, Time: at, Mask: 8, Group: 7}, "ag corrupt 7 agi"},
		{sickInode, Record{Domain: Inode, Type: Sick, Time: at, Mask: 16, Ino: 1 << 33, Gen: 0xabcd}, "inode sick ino=8589934592 gen=43981 dir"},
		{media, Record{Domain: LogDev, Type: MediaError, Time: at, Pos: 5120, Len: 1024}, "logdev media error pos=5120 len=1024"},
		{fileRange, Record{Domain: FileRange, Type: DIORead, Time: at, Pos: 4096, Len: 512, Ino: 131, Gen: 0xabcd, Errno: 5},
			"filerange dioread ino=131 gen=43981 pos=4096 len=512 EIO"},
		{strange, Record{Domain: 99, Type: BufRead, Time: at}, "domain 99 bufread"},
		{future, Record{Domain: Mount, Type: 99, Time: at}, "mount type 99"},
	} {
		got, err := Parse(test.in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Error(diff)
		}
		if got.String() != test.says {
			t.Errorf("got %q, want %q", got, test.says)
		}
	}
}

func TestParseStats(t *testing.T) {
	const head = "pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t1055\n"
	s, err := parseStats([]byte(head + "state:\tdead\ndev:\t253:16\nformat:\tv0\nevents:\t513\nlost:\t489\n"))
	if want := (Stats{Queued: 513, Lost: 489, Dead: true}); err != nil || s != want {
		t.Errorf("got %+v, %v, want %+v", s, err, want)
	}
	for _, text := range []string{head, head + "events:\t1\n", head + "events:\t1\nlost:\t-1\n", head + "events:\t\nlost:\t1\n"} {
		if s, err := parseStats([]byte(text)); err == nil || s != (Stats{}) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q gives %+v, %v", text, s, err)
		}
	}
}

// TestCaptured decodes what read(2) gave on real monitors: testdata/*.hex, one
// event per line, beside what it should be.
func TestCaptured(t *testing.T) { golden.Records(t, "testdata/*.hex", Decode) }

func benchmarks() []golden.Record {
	return []golden.Record{{"file range", fileRange}, {"inode", sickInode}, {"lost", lost}}
}

func TestDecodeAllocatesNothing(t *testing.T) { golden.AllocatesNothing(t, Decode, benchmarks()) }

func BenchmarkDecode(b *testing.B) { golden.Bench(b, Decode, benchmarks()) }

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		golden.Fuzz(t, b, eventSize, Decode)
		if r, err := Parse(b); err == nil {
			_ = r.String()
		}
	})
}

func FuzzParseStats(f *testing.F) {
	f.Add([]byte("state:\talive\ndev:\t253:16\nformat:\tv0\nevents:\t1\nlost:\t0\n"))
	f.Add([]byte("events:\t18446744073709551616\nlost:\t0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStats(b); err != nil && s != (Stats{}) {
			t.Fatalf("%+v with %v", s, err)
		}
	})
}
