// SPDX-License-Identifier: MIT

package kmsg

import (
	"bytes"
	"fmt"
	"math"

	"wqfan/fserr"
)

// Line is a record of the log (Documentation/ABI/testing/dev-kmsg). Its bytes
// belong to what was parsed.
type Line struct {
	Level    uint8  // LOGLEVEL_*, linux/kern_levels.h: 0 is the worst, 7 is for debugging
	Facility uint32 // LOG_*, of syslog(3); 0 is the kernel
	Seq      uint64 // number of the line since boot
	Micros   uint64 // when it was logged, by the local CPU's clock: µs since boot
	Cont     bool   // a fragment of a line: the next one goes on
	Text     []byte // what is not printable is escaped as \xNN
}

// The worst case of a record: PRINTK_MESSAGE_MAX, kernel/printk/internal.h. A
// read(2) with a shorter buffer loses the line.
const maxRecord = 2048

// Parse reads the first record of b and returns the number of bytes it takes.
// It allocates only for an error.
//
// The error is a [*fserr.FormatError]; the number returned with it is how far the
// next record is away, or 0 when there is none.
func Parse(b []byte) (Line, int, error) {
	n := end(b)
	if n == 0 {
		return Line{}, 0, malformed("%d bytes left without an end of line", len(b))
	}
	first, _, _ := bytes.Cut(b[:n], []byte{'\n'})
	prefix, text, ok := bytes.Cut(first, []byte{';'})
	if !ok {
		return Line{}, n, malformed("no semicolon in %q", clip(first))
	}
	l := Line{Text: text[:len(text):len(text)]}
	var prio uint64
	rest := prefix
	for _, v := range []*uint64{&prio, &l.Seq, &l.Micros} {
		var field []byte
		field, rest, ok = bytes.Cut(rest, []byte{','})
		if ok {
			*v, ok = number(field)
		}
		if !ok {
			return Line{}, n, malformed("prefix %q, want \"priority,sequence,µs,flags\"", clip(prefix))
		}
	}
	if prio > math.MaxUint32 {
		return Line{}, n, malformed("priority %d", prio)
	}
	l.Level, l.Facility = uint8(prio&7), uint32(prio>>3)
	l.Cont = len(rest) > 0 && rest[0] == 'c'
	return l, n, nil
}

// end returns the length of the first record of b, with the lines of its
// dictionary, which begin with a blank, or 0.
func end(b []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return 0
		}
		n += i + 1
		if n == len(b) || b[n] != ' ' {
			return n
		}
	}
}

// number is strconv.ParseUint for bytes, in base 10.
func number(b []byte) (uint64, bool) {
	var v uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || v > (math.MaxUint64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, len(b) > 0
}

// Fault is the filesystem error that a line tells of. What the line does not say
// is zero.
type Fault struct {
	Magic  uint32      // the filesystem: statfs(2)'s f_type, linux/magic.h
	Device []byte      // name of the block device: "vda", "dm-0"
	Ino    uint64      // inode number; the line never has the generation
	Errno  fserr.Errno // if the line has a number, or words that stand for one
}

const btrfsMagic = 0x9123683e // BTRFS_SUPER_MAGIC, linux/magic.h

// Fault finds a filesystem error in a line of ext4, XFS or btrfs. Warnings are
// none, nor what those say who noticed the same before or after the filesystem:
// block devices, XFS about its own shutdown.
func (l Line) Fault() (Fault, bool) {
	for _, fs := range [...]struct {
		prefix string
		magic  uint32
	}{
		{"EXT4-fs error (device ", fserr.EXT4Magic},
		{"XFS (", fserr.XFSMagic},
		{"BTRFS error (device ", btrfsMagic},
		{"BTRFS critical (device ", btrfsMagic},
	} {
		rest, ok := bytes.CutPrefix(l.Text, []byte(fs.prefix))
		if !ok {
			continue
		}
		f := Fault{Magic: fs.magic}
		if f.Device, rest, ok = bytes.Cut(rest, []byte{')'}); !ok {
			continue
		}
		switch fs.magic {
		case fserr.EXT4Magic:
			f.Ino, f.Errno = ext4(rest)
		case fserr.XFSMagic:
			f.Ino, f.Errno, ok = xfs(rest)
		}
		if ok {
			return f, true
		}
	}
	return Fault{}, false
}

// ext4Words are how ext4_decode_error, fs/ext4/super.c, puts error numbers.
var ext4Words = [...]struct {
	words string
	errno fserr.Errno
}{
	{"Corrupt filesystem", fserr.EFSCORRUPTED}, {"Filesystem failed CRC", fserr.EFSBADCRC}, {"IO failure", 5}, {"Out of memory", 12},
	{"Journal has aborted", 30}, {"Readonly filesystem", 30},
}

// ext4 reads ": function:line: inode #12: …" of __ext4_error and its kin, and
// " in function:line: words" of __ext4_std_error.
func ext4(text []byte) (ino uint64, errno fserr.Errno) {
	ino, _ = after(text, ": inode #")
	if !bytes.HasPrefix(text, []byte(" in ")) {
		return ino, 0
	}
	for _, w := range ext4Words {
		if bytes.HasSuffix(text, []byte(w.words)) {
			return ino, w.errno
		}
	}
	n, _ := after(text, ": error ")
	return ino, fserr.Errno(n)
}

// xfs reads the alarms about metadata and I/O. What surrounds them (the hex dump,
// the advice to run xfs_repair, the shutdown) is about the same error.
func xfs(text []byte) (ino uint64, errno fserr.Errno, ok bool) {
	for _, alarm := range [...]struct {
		words  string
		number string // stands before the error number
		errno  fserr.Errno
	}{
		{": Metadata corruption detected at ", "", fserr.EFSCORRUPTED},
		{": Metadata CRC error detected at ", "", fserr.EFSBADCRC},
		{": Internal error ", "", 0},
		{": metadata I/O error in ", " error ", 0},
		{": log I/O error ", "error -", 0},
	} {
		if !bytes.HasPrefix(text, []byte(alarm.words)) {
			continue
		}
		if alarm.number != "" {
			n, _ := after(text, alarm.number)
			alarm.errno = fserr.Errno(n)
		}
		ino, _ = after(text, ", inode ")
		return ino, alarm.errno, true
	}
	return 0, 0, false
}

// after returns the number that follows the last of words, decimal or 0x hexadecimal.
func after(text []byte, words string) (uint64, bool) {
	i := bytes.LastIndex(text, []byte(words))
	if i < 0 {
		return 0, false
	}
	rest := text[i+len(words):]
	if hex, ok := bytes.CutPrefix(rest, []byte("0x")); ok {
		var v uint64
		i := 0
		for ; i < len(hex) && i < 16; i++ {
			switch c := hex[i]; {
			case '0' <= c && c <= '9':
				v = v<<4 | uint64(c-'0')
			case 'a' <= c && c <= 'f':
				v = v<<4 | uint64(c-'a'+10)
			default:
				return v, i > 0
			}
		}
		return v, i > 0
	}
	n := 0
	for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
		n++
	}
	return number(rest[:n])
}

// Suppressed returns how many lines ___ratelimit, lib/ratelimit.c, says that it
// kept out of the log, and who would have written them: "EXT4-fs error".
func (l Line) Suppressed() (who []byte, n uint64, ok bool) {
	text, ok := bytes.CutSuffix(l.Text, []byte(" callbacks suppressed"))
	if !ok {
		return nil, 0, false
	}
	i := bytes.LastIndex(text, []byte(": "))
	if i < 0 {
		return nil, 0, false
	}
	n, ok = number(text[i+2:])
	return text[:i], n, ok
}

// filesystems are how those begin whose suppressed lines are filesystem errors,
// or were: the name is the author's, at worst that of a function.
var filesystems = [...]string{"EXT4-fs error", "xfs_", "btrfs_", "fserror_"}

// Decode decodes the first record of b, what read(2) on /dev/kmsg gave, into e
// and returns the number of bytes it takes. It is pure, and allocates only for an
// error.
//
//   - A filesystem error becomes an Error: Magic, and Errno where the line has
//     one; see [Line.Fault] for the device and the inode.
//   - Suppressed lines of a filesystem become a Lost with a count.
//   - Everything else becomes an Other.
//
// The Record of an event has the line's text as its Bytes, which belong to b, and
// the line's level as its Type. The clock of the log is not CLOCK_MONOTONIC, so
// there is no Time.
//
// The error is that of [Parse].
func Decode(b []byte, e *fserr.Event) (int, error) {
	*e = fserr.Event{}
	l, n, err := Parse(b)
	if err != nil {
		return n, err
	}
	e.Kind = fserr.Other
	if len(l.Text) > 0 {
		e.Record = fserr.Record{Type: uint32(l.Level), Bytes: l.Text}
		e.Has = fserr.HasRecord
	}
	if f, ok := l.Fault(); ok {
		e.Kind, e.Magic = fserr.Error, f.Magic
		e.Has |= fserr.HasMagic
		if f.Errno != 0 {
			e.Errno = f.Errno
			e.Has |= fserr.HasErrno
		}
		return n, nil
	}
	if who, lost, ok := l.Suppressed(); ok {
		for _, fs := range filesystems {
			if bytes.HasPrefix(who, []byte(fs)) {
				e.Kind, e.Count = fserr.Lost, lost
				e.Has |= fserr.HasCount
			}
		}
	}
	return n, nil
}

// clip bounds what an error quotes.
func clip(b []byte) []byte { return b[:min(len(b), 64)] }

func malformed(format string, a ...any) error {
	return &fserr.FormatError{Channel: "kmsg", Record: "record", Problem: fmt.Sprintf(format, a...)}
}
