// SPDX-License-Identifier: MIT

package kmsg

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/fserr"
	"wqfan/internal/golden"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Line
	}{
		{"6,0,0,-;Linux version 7.3.4\n", Line{Level: 6, Text: []byte("Linux version 7.3.4")}},
		{"30,18446744073709551615,5140900,c,caller=T1;a\\x0ab; c\n SUBSYSTEM=block\n DEVICE=b8:0\n",
			Line{Level: 6, Facility: 3, Seq: 1<<64 - 1, Micros: 5140900, Cont: true, Text: []byte("a\\x0ab; c")}},
		{"7,1,2,;\n", Line{Level: 7, Seq: 1, Micros: 2, Text: []byte{}}},
	} {
		got, n, err := Parse([]byte(test.in + "6,1,1,-;the next record\n"))
		if err != nil || n != len(test.in) {
			t.Errorf("%q: %d bytes, %v", test.in, n, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q: %s", test.in, diff)
		}
	}
}

func TestParseMalformed(t *testing.T) {
	const says = "kmsg: record at byte 0: "
	golden.DecodeBad(t, Decode, []golden.Bad{
		{"nothing", nil, 0, says + "0 bytes left without an end of line"},
		{"cut off", []byte("6,0,0,-;Linux"), 0, says + "13 bytes left without an end of line"},
		{"no semicolon", []byte("6,0,0,-\n;\n"), 8, says + `no semicolon in "6,0,0,-"`},
		{"three fields", []byte("6,0,0;text\n"), 11, says + `prefix "6,0,0", want "priority,sequence,µs,flags"`},
		{"no number", []byte("6,-1,0,-;text\n"), 14, says + `prefix "6,-1,0,-", want "priority,sequence,µs,flags"`},
		{"an empty number", []byte("6,,0,-;text\n"), 12, says + `prefix "6,,0,-", want "priority,sequence,µs,flags"`},
		{"a number too large", []byte("6,18446744073709551616,0,-;text\n"), 32, says + `prefix "6,18446744073709551616,0,-", want "priority,sequence,µs,flags"`},
		{"a priority too large", []byte("4294967296,0,0,-;text\n"), 22, says + "priority 4294967296"},
	})
}

func TestFault(t *testing.T) {
	fault := func(magic uint32, device string, ino uint64, errno fserr.Errno) *Fault {
		return &Fault{Magic: magic, Device: []byte(device), Ino: ino, Errno: errno}
	}
	for text, want := range map[string]*Fault{
		"EXT4-fs error (device vda): trigger_test_error:129: comm kmsg.test: wqfan":                                                      fault(fserr.EXT4Magic, "vda", 0, 0),
		"EXT4-fs error (device dm-0): ext4_lookup:1785: inode #2: comm ls: 'x' linked to parent dir":                                     fault(fserr.EXT4Magic, "dm-0", 2, 0),
		"EXT4-fs error (device sda1): htree_dirblock_to_tree:1051: inode #12: block 8: comm ls: bad entry in directory: rec_len is zero": fault(fserr.EXT4Magic, "sda1", 12, 0),
		"EXT4-fs error (device sda1) in ext4_reserve_inode_write:6280: IO failure":                                                       fault(fserr.EXT4Magic, "sda1", 0, 5),
		"EXT4-fs error (device sda1) in ext4_reserve_inode_write:6280: Corrupt filesystem":                                               fault(fserr.EXT4Magic, "sda1", 0, fserr.EFSCORRUPTED),
		"EXT4-fs error (device sda1) in ext4_evict_inode:262: error 28":                                                                  fault(fserr.EXT4Magic, "sda1", 0, 28),
		"XFS (vdb): Metadata corruption detected at xfs_inode_buf_verify+0x1a0/0x1f0, xfs_inode block 0x80 xfs_inode_buf_verify":         fault(fserr.XFSMagic, "vdb", 0, fserr.EFSCORRUPTED),
		"XFS (vdb): Metadata corruption detected at xfs_dinode_verify.part.0+0x2c1/0x6a0, inode 0x83 dinode":                             fault(fserr.XFSMagic, "vdb", 0x83, fserr.EFSCORRUPTED),
		"XFS (vdb): Metadata CRC error detected at xfs_agf_read_verify+0x110/0x180, xfs_agf block 0x1":                                   fault(fserr.XFSMagic, "vdb", 0, fserr.EFSBADCRC),
		`XFS (dm-0): metadata I/O error in "xfs_read_agf+0x88/0x110" at daddr 0x1 len 1 error 5`:                                         fault(fserr.XFSMagic, "dm-0", 0, 5),
		"XFS (dm-0): log I/O error -5": fault(fserr.XFSMagic, "dm-0", 0, 5),
		"XFS (dm-0): Internal error ltbno + ltlen > bno at line 1955 of file fs/xfs/libxfs/xfs_alloc.c.  Caller xfs_free_ag_extent+0x3ff/": fault(fserr.XFSMagic, "dm-0", 0, 0),
		"BTRFS critical (device vdc): corrupt leaf: root=5 block=30425088 slot=6 ino=257":                                                  fault(btrfsMagic, "vdc", 0, 0),
		"BTRFS error (device vdc state EA): level verify failed on logical 30490624 mirror 1 wanted 1 found 0":                             fault(btrfsMagic, "vdc state EA", 0, 0),

		"EXT4-fs warning (device vda): ext4_dirblock_csum_verify:375: inode #12: comm ls: No space for directory leaf checksum.": nil,
		"EXT4-fs (vda): error count since last fsck: 1":                                                          nil,
		"XFS (vdb): Unmount and run xfs_repair":                                                                  nil,
		"XFS (vdb): Corruption of in-memory data (0x8) detected at xfs_trans_cancel.  Shutting down filesystem.": nil,
		"XFS (vdb": nil,
		"BTRFS warning (device vdc): checksum verify failed":                            nil,
		"I/O error, dev dm-0, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2": nil,
		"Buffer I/O error on dev dm-0, logical block 0, async page read":                nil,
		"": nil,
	} {
		f, ok := Line{Text: []byte(text)}.Fault()
		if want == nil {
			want = &Fault{}
			if ok {
				t.Errorf("%s: is none", text)
			}
		} else if !ok {
			t.Errorf("%s: not found", text)
		}
		if diff := cmp.Diff(*want, f); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestSuppressed(t *testing.T) {
	for text, want := range map[string]string{
		"EXT4-fs error: 990 callbacks suppressed":            "EXT4-fs error/990",
		"audit: rate: 1 callbacks suppressed":                "audit: rate/1",
		"EXT4-fs error: many callbacks suppressed":           "",
		"EXT4-fs error: 1 callbacks suppressed, or the like": "",
		"5 callbacks suppressed":                             "",
	} {
		got := ""
		if who, n, ok := (Line{Text: []byte(text)}).Suppressed(); ok {
			got = fmt.Sprintf("%s/%d", who, n)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	text := func(level uint32, s string) fserr.Record { return fserr.Record{Type: level, Bytes: []byte(s)} }
	golden.DecodeGood(t, Decode, []golden.Good{
		{"an error", []byte("2,7,8,-;EXT4-fs error (device vda): f:1: comm c: t\n"), fserr.Event{Kind: fserr.Error, Has: fserr.HasMagic | fserr.HasRecord,
			Magic: fserr.EXT4Magic, Record: text(2, "EXT4-fs error (device vda): f:1: comm c: t")}},
		{"an error with a number", []byte("1,7,8,-;XFS (vdb): log I/O error -5\n"), fserr.Event{Kind: fserr.Error,
			Has: fserr.HasMagic | fserr.HasErrno | fserr.HasRecord, Magic: fserr.XFSMagic, Errno: 5, Record: text(1, "XFS (vdb): log I/O error -5")}},
		{"errors suppressed", []byte("4,7,8,-;EXT4-fs error: 990 callbacks suppressed\n"), fserr.Event{Kind: fserr.Lost,
			Has: fserr.HasCount | fserr.HasRecord, Count: 990, Record: text(4, "EXT4-fs error: 990 callbacks suppressed")}},
		{"other lines suppressed", []byte("4,7,8,-;net: 990 callbacks suppressed\n"), fserr.Event{Kind: fserr.Other,
			Has: fserr.HasRecord, Record: text(4, "net: 990 callbacks suppressed")}},
		{"an empty line", []byte("4,7,8,-;\n K=V\n"), fserr.Event{Kind: fserr.Other}},
	})
}

// A line that does not follow the last one has a loss in front of it.
func TestGap(t *testing.T) {
	l := &Log{next: 5}
	b := []byte("6,8,0,-;text\n")
	var e fserr.Event
	if n, err := l.decode(b, &e); n != 0 || err != nil || e.Kind != fserr.Lost || e.Count != 3 || e.Has != fserr.HasCount {
		t.Errorf("%d, %v, %v; want 3 lost", n, err, e)
	}
	if n, err := l.decode(b, &e); n != len(b) || err != nil || e.Kind != fserr.Other || l.next != 9 {
		t.Errorf("%d, %v, %v; want the line", n, err, e)
	}
}

// TestCaptured decodes lines of real logs, one per line of testdata/*.hex.
func TestCaptured(t *testing.T) { golden.Records(t, "testdata/*.hex", Decode) }

func benchmarks() []golden.Record {
	return []golden.Record{
		{"error", []byte("2,7,8,-;EXT4-fs error (device sda1): htree_dirblock_to_tree:1051: inode #12: block 8: comm ls: bad entry\n")},
		{"other", []byte("6,7,8,-;clocksource: Switched to clocksource tsc\n SUBSYSTEM=clocksource\n")},
		{"suppressed", []byte("4,7,8,-;EXT4-fs error: 990 callbacks suppressed\n")},
	}
}

func TestDecodeAllocatesNothing(t *testing.T) { golden.AllocatesNothing(t, Decode, benchmarks()) }

func BenchmarkDecode(b *testing.B) { golden.Bench(b, Decode, benchmarks()) }

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) { golden.Fuzz(t, b, len("0,0,0,;\n"), Decode) })
}
