// SPDX-License-Identifier: MIT

package fserr_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"wqfan/fserr"
)

// words returns the bytes of integers of fixed size.
func words(v ...any) []byte {
	var b []byte
	for _, v := range v {
		var err error
		if b, err = binary.Append(b, binary.NativeEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

func ext4(b []byte) fserr.Record { return fserr.Record{Magic: fserr.EXT4Magic, Type: 1, Bytes: b} }
func xfs(b []byte) fserr.Record  { return fserr.Record{Magic: fserr.XFSMagic, Type: 1, Bytes: b} }

func TestRecordString(t *testing.T) {
	for _, test := range []struct {
		record fserr.Record
		want   string
	}{
		{fserr.Record{}, "0x0/0:"},
		{fserr.Record{Magic: 0x9123683e, Type: 1, Bytes: []byte{1, 2}}, "0x9123683e/1:0102"},
		{fserr.Record{Magic: fserr.EXT4Magic, Type: 2, Bytes: words(uint64(0), uint64(0), uint64(0))[:3]}, "0xef53/2:000000"},
		{fserr.Record{Magic: fserr.EXT4Magic, Type: 1, Missing: 1 << 1, Bytes: []byte{1}}, "0xef53/1:01 without parts 2"},
		{fserr.Record{Missing: fserr.AllParts}, "0x0/0: without parts 1-"},

		{ext4(words(uint64(33), uint64(12), uint32(4), uint32(16))), "0xef53/1(ext4: dir-block, inode 12 (directory), block 33)"},
		{ext4(words(uint64(0), uint64(0), uint32(0), uint32(30))), "0xef53/1(ext4: test)"},
		{ext4(words(uint64(0), uint64(2), uint32(15), uint32(99))), "0xef53/1(ext4: code 99, inode 2 (inode type 15))"},
		{ext4(words(uint64(0), uint64(2), uint32(8), uint32(6), uint64(1))), "0xef53/1(ext4: extent, inode 2 (file))"}, // it may grow
		{ext4(make([]byte, 3)), "0xef53/1:000000"},
		// A channel that does not tell the type means the only one.
		{fserr.Record{Magic: fserr.EXT4Magic, Bytes: words(uint64(5), uint64(0), uint32(0), uint32(2))}, "0xef53/0(ext4: block-bitmap, block 5)"},

		{xfs(words(uint32(0), uint32(1<<8|1), uint64(0), uint64(0))), "0x58465342/1(xfs: filesystem sick: counters, metadir)"},
		{xfs(words(uint32(1), uint32(1<<4|1<<5), uint64(3), uint64(0))), "0x58465342/1(xfs: AG 3 sick: bnobt, cntbt)"},
		{xfs(words(uint32(2), uint32(1<<4|1<<30), uint64(133), uint32(7), uint32(0))), "0x58465342/1(xfs: inode 133 gen 7 sick: dir, 0x40000000)"},
		{xfs(words(uint32(3), uint32(1<<3), uint64(1), uint64(0))), "0x58465342/1(xfs: realtime group 1 sick: rmapbt)"},
		{xfs(words(uint32(9), uint32(1), uint64(0), uint64(0))), "0x58465342/1(xfs: group 9 sick: 0x1)"},
	} {
		if got := test.record.String(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestRecordDecode(t *testing.T) {
	block := words(uint64(33), uint64(12), uint32(4), uint32(16))
	if got, err := ext4(block).Decode(); err != nil || got != (fserr.EXT4Record{Block: 33, Ino: 12, InodeType: 4, Code: 16}) {
		t.Errorf("got %v, %v", got, err)
	}
	sick := words(uint32(2), uint32(16), uint64(133), uint32(7), uint32(0))
	if got, err := xfs(sick).Decode(); err != nil || got != (fserr.XFSRecord{Group: fserr.XFSInode, Sick: 16, Ino: 133, Gen: 7}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, test := range []struct {
		record fserr.Record
		want   string
	}{
		{fserr.Record{Magic: 0x1234, Type: 1}, "record of type 1 of the filesystem with magic 0x1234: unknown format"},
		{fserr.Record{Magic: fserr.EXT4Magic, Type: 2, Bytes: block}, "record of type 2 of the filesystem with magic 0xef53: unknown format"},
		{ext4(block[:23]), "record: ext4_error_record at byte 0: 23 bytes, want 24"},
		{fserr.Record{Magic: fserr.XFSMagic, Type: 1, Missing: 1, Bytes: sick}, "record: xfs_error_record at byte 0: parts 1 are missing"},
	} {
		_, err := test.record.Decode()
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
		var unknown *fserr.UnknownRecordError
		var format *fserr.FormatError
		if !errors.As(err, &unknown) && !errors.As(err, &format) {
			t.Errorf("%T", err)
		}
	}
	// Those who know better are not given something else.
	if _, err := fserr.DecodeXFS(ext4(block)); !errors.As(err, new(*fserr.UnknownRecordError)) {
		t.Errorf("ext4's record as XFS's: %v", err)
	}
}

func TestParts(t *testing.T) {
	for p, want := range map[fserr.Parts]string{
		0: "", 1: "1", 2: "2", 0b1110: "2-4", 0b1011_0001: "1,5-6,8", 1 << 63: "64-", fserr.AllParts: "1-", fserr.AllParts &^ 0xff: "9-",
		1 | 1<<62: "1,63", 3 | 1<<63: "1-2,64-",
	} {
		if got := p.String(); got != want {
			t.Errorf("%#x: got %q, want %q", uint64(p), got, want)
		}
	}
	if n := fserr.Parts(0b1011).Count(); n != 3 {
		t.Errorf("%d parts, want 3", n)
	}
}

func TestRecordsAllocateNothing(t *testing.T) {
	e, x := ext4(make([]byte, 24)), xfs(make([]byte, 24))
	if n := testing.AllocsPerRun(100, func() {
		_, err1 := fserr.DecodeEXT4(e)
		_, err2 := fserr.DecodeXFS(x)
		if err1 != nil || err2 != nil {
			t.Error(err1, err2)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecodeEXT4(b *testing.B) {
	r := ext4(make([]byte, 24))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fserr.DecodeEXT4(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeXFS(b *testing.B) {
	r := xfs(make([]byte, 24))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fserr.DecodeXFS(r); err != nil {
			b.Fatal(err)
		}
	}
}

// Any bytes are words or bytes.
func FuzzRecord(f *testing.F) {
	f.Add(uint32(fserr.EXT4Magic), uint32(1), uint64(0), words(uint64(33), uint64(12), uint32(4), uint32(16)))
	f.Add(uint32(fserr.XFSMagic), uint32(1), uint64(0), words(uint32(2), uint32(16), uint64(133), uint64(7)))
	f.Add(uint32(fserr.XFSMagic), uint32(0), uint64(1<<63|1), []byte{1})
	f.Fuzz(func(t *testing.T, magic, typ uint32, missing uint64, b []byte) {
		r := fserr.Record{Magic: magic, Type: typ, Missing: fserr.Parts(missing), Bytes: b}
		says, err := r.Decode()
		if (says == nil) == (err == nil) || r.String() == "" {
			t.Fatalf("%v: %v, %v", r, says, err)
		}
		if err == nil && missing != 0 {
			t.Fatalf("%v of a record that is not whole", says)
		}
	})
}
