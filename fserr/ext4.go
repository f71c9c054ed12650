// SPDX-License-Identifier: MIT

package fserr

import "fmt"

// EXT4Magic is EXT4_SUPER_MAGIC (linux/magic.h).
const EXT4Magic = 0xef53

// struct ext4_error_record, linux/ext4.h of the series.
const (
	ext4ErrorRecord  = 1 // EXT4_ERROR_RECORD
	ext4RecordSize   = 24
	offEXT4Block     = 0  // __u64 block
	offEXT4Ino       = 8  // __u64 ino
	offEXT4InodeType = 16 // __u32 inode_type
	offEXT4Code      = 20 // __u32 code
)

// EXT4Record is what ext4 says of an error: struct ext4_error_record,
// linux/ext4.h of the series.
type EXT4Record struct {
	Block     uint64    // where the error was noticed; 0 if that is no block
	Ino       uint64    // in which inode; 0 if in none
	InodeType InodeType // of that inode
	Code      EXT4Code
}

// DecodeEXT4 decodes a record of ext4. The error is an [*UnknownRecordError] or a
// [*FormatError].
func DecodeEXT4(r Record) (EXT4Record, error) {
	if err := r.check(EXT4Magic, ext4ErrorRecord, "ext4_error_record", ext4RecordSize); err != nil {
		return EXT4Record{}, err
	}
	b := r.Bytes[:ext4RecordSize]
	return EXT4Record{
		Block:     native.Uint64(b[offEXT4Block:]),
		Ino:       native.Uint64(b[offEXT4Ino:]),
		InodeType: InodeType(native.Uint32(b[offEXT4InodeType:])),
		Code:      EXT4Code(native.Uint32(b[offEXT4Code:])),
	}, nil
}

// String returns what the record says in one line.
func (r EXT4Record) String() string {
	s := "ext4: " + r.Code.String()
	if r.Ino != 0 {
		s += fmt.Sprintf(", inode %d (%v)", r.Ino, r.InodeType)
	}
	if r.Block != 0 {
		s += fmt.Sprintf(", block %d", r.Block)
	}
	return s
}

// InodeType is the kind of an inode, as in the d_type of a directory entry: the
// S_IFMT bits of its mode, shifted right by 12.
type InodeType uint32

var inodeTypes = map[InodeType]string{
	1: "fifo", 2: "character device", 4: "directory", 6: "block device", 8: "file", 10: "symlink", 12: "socket",
}

// String returns the kind in words.
func (t InodeType) String() string {
	if n, ok := inodeTypes[t]; ok {
		return n
	}
	return fmt.Sprintf("inode type %d", uint32(t))
}

// EXT4Code says what ext4 was looking at or doing when it noticed an error: enum
// ext4_error_code, linux/ext4.h of the series.
type EXT4Code uint32

// ext4Codes are the kernel's names, in the order of its numbers.
var ext4Codes = [...]string{
	"other", "group-desc", "block-bitmap", "block-alloc", "block-free", "block-ref", "extent", "inode-bitmap",
	"inode-alloc", "inode-free", "inode", "inode-table", "inode-update", "orphan", "inline-data", "dir-entry",
	"dir-block", "dir-index", "dir-update", "xattr", "xattr-inode", "symlink", "crypto", "verity", "quota", "journal",
	"writeback", "super", "resize", "mmp", "test",
}

// String returns the kernel's name of the code, without EXT4_ERROR_CODE_ and in
// lower case.
func (c EXT4Code) String() string {
	if int(c) < len(ext4Codes) {
		return ext4Codes[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}
