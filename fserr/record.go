// SPDX-License-Identifier: MIT

package fserr

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

var native = binary.NativeEndian

// Record is what a filesystem adds about its own error: the filesystem's magic
// (statfs f_type), a type code of that filesystem, and bytes that only it
// defines. Where a channel does not tell the type it is 0. In an event that is
// no filesystem error it is the channel's own record, whole: Magic is 0 and
// Type is the channel's type of record. Bytes points into the buffer of the
// source and is valid until its next read.
type Record struct {
	Magic   uint32
	Type    uint32
	Missing Parts // what of Bytes is not data but zero, or cut off at the end
	Bytes   []byte
}

// String returns what the record says if its format is known, and its bytes
// otherwise or if some are missing.
func (r Record) String() string {
	if r.Missing != 0 {
		return fmt.Sprintf("%#x/%d:%x without parts %v", r.Magic, r.Type, r.Bytes, r.Missing)
	}
	if decode := formats[r.Magic]; decode != nil {
		if says, err := decode(r); err == nil {
			return fmt.Sprintf("%#x/%d(%v)", r.Magic, r.Type, says)
		}
	}
	return fmt.Sprintf("%#x/%d:%x", r.Magic, r.Type, r.Bytes)
}

// formats are the filesystems whose records are known, by magic. What is not
// here, or of a type that its filesystem does not have here, stays bytes.
var formats = map[uint32]func(Record) (fmt.Stringer, error){
	EXT4Magic: func(r Record) (fmt.Stringer, error) { return DecodeEXT4(r) },
	XFSMagic:  func(r Record) (fmt.Stringer, error) { return DecodeXFS(r) },
}

// Decode returns what the record says: an [EXT4Record] or an [XFSRecord]. Those
// who know which it is save an allocation with [DecodeEXT4] or [DecodeXFS].
func (r Record) Decode() (fmt.Stringer, error) {
	decode := formats[r.Magic]
	if decode == nil {
		return nil, &UnknownRecordError{r.Magic, r.Type}
	}
	says, err := decode(r)
	if err != nil {
		return nil, err
	}
	return says, nil
}

// UnknownRecordError says that nothing is known of a kind of record.
type UnknownRecordError struct{ Magic, Type uint32 }

func (e *UnknownRecordError) Error() string {
	return fmt.Sprintf("record of type %d of the filesystem with magic %#x: unknown format", e.Type, e.Magic)
}

// check says whether r is a whole record of the one type that its filesystem
// has. A type that the channel did not tell can be no other.
func (r Record) check(magic, typ uint32, name string, size int) error {
	switch {
	case r.Magic != magic || r.Type != typ && r.Type != 0:
		return &UnknownRecordError{r.Magic, r.Type}
	case r.Missing != 0:
		return &FormatError{Channel: "record", Record: name, Problem: fmt.Sprintf("parts %v are missing", r.Missing)}
	case len(r.Bytes) < size:
		return &FormatError{Channel: "record", Record: name, Problem: fmt.Sprintf("%d bytes, want %d", len(r.Bytes), size)}
	}
	return nil
}

// Parts is a set of the numbered pieces that a long record comes in: part n, from
// 1 to MaxParts, is bit n-1.
type Parts uint64

// MaxParts is the most parts that a record has (WATCH_CHAIN_DATA_MAX,
// linux/watch_queue.h of the kernel, in parts).
const MaxParts = 64

// AllParts is what is missing of a record of which nothing came.
const AllParts Parts = 1<<MaxParts - 1

// Count returns how many parts are in the set.
func (p Parts) Count() int { return bits.OnesCount64(uint64(p)) }

// String returns the numbers and runs of numbers in the set: "2,5-7", and "9-"
// where all from there on are missing, however many there were.
func (p Parts) String() string {
	var b strings.Builder
	for n := 1; p != 0; {
		skip := bits.TrailingZeros64(uint64(p))
		first := n + skip
		run := bits.TrailingZeros64(^uint64(p >> skip))
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, first)
		switch last := first + run - 1; {
		case last == MaxParts:
			b.WriteByte('-')
		case run > 1:
			fmt.Fprintf(&b, "-%d", last)
		}
		n = first + run
		p = p >> skip >> run
	}
	return b.String()
}
