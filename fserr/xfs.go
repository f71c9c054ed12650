// SPDX-License-Identifier: MIT

package fserr

import (
	"fmt"
	"strings"
)

// XFSMagic is XFS_SUPER_MAGIC (linux/magic.h).
const XFSMagic = 0x58465342

// struct xfs_error_record, fs/xfs/libxfs/xfs_fs.h of the series.
const (
	xfsErrorRecord = 1 // XFS_ERROR_RECORD
	xfsRecordSize  = 24
	offXFSGroup    = 0  // __u32 group
	offXFSSick     = 4  // __u32 sick
	offXFSIno      = 8  // __u64 e.inode.ino
	offXFSGen      = 16 // __u32 e.inode.gen
	offXFSAGNo     = 8  // __u32 e.agno
)

// XFSGroup is what an error of XFS is in: XFS_ERROR_GROUP_*.
type XFSGroup uint32

// The groups, in the kernel's order.
const (
	XFSWhole   XFSGroup = iota // XFS_ERROR_GROUP_FS: the filesystem as a whole
	XFSAG                      // XFS_ERROR_GROUP_AG: an allocation group
	XFSInode                   // XFS_ERROR_GROUP_INODE: a file, or internal metadata
	XFSRTGroup                 // XFS_ERROR_GROUP_RTGROUP: a realtime group
)

// XFSRecord is what XFS says of an error in metadata: struct xfs_error_record,
// fs/xfs/libxfs/xfs_fs.h of the series.
type XFSRecord struct {
	Group XFSGroup
	Sick  uint32 // what was found sick there: the flags of the group's health ioctl
	Ino   uint64 // inode number, of XFSInode
	Gen   uint32 // inode generation, of XFSInode
	AG    uint32 // number of the XFSAG or XFSRTGroup
}

// DecodeXFS decodes a record of XFS. The error is an [*UnknownRecordError] or a
// [*FormatError].
func DecodeXFS(r Record) (XFSRecord, error) {
	if err := r.check(XFSMagic, xfsErrorRecord, "xfs_error_record", xfsRecordSize); err != nil {
		return XFSRecord{}, err
	}
	b := r.Bytes[:xfsRecordSize]
	x := XFSRecord{Group: XFSGroup(native.Uint32(b[offXFSGroup:])), Sick: native.Uint32(b[offXFSSick:])}
	switch x.Group {
	case XFSInode:
		x.Ino, x.Gen = native.Uint64(b[offXFSIno:]), native.Uint32(b[offXFSGen:])
	case XFSAG, XFSRTGroup:
		x.AG = native.Uint32(b[offXFSAGNo:])
	}
	return x, nil
}

// String returns what the record says in one line.
func (r XFSRecord) String() string {
	var what string
	switch r.Group {
	case XFSWhole:
		what = "filesystem"
	case XFSAG:
		what = fmt.Sprintf("AG %d", r.AG)
	case XFSInode:
		what = fmt.Sprintf("inode %d gen %d", r.Ino, r.Gen)
	case XFSRTGroup:
		what = fmt.Sprintf("realtime group %d", r.AG)
	default:
		what = fmt.Sprintf("group %d", uint32(r.Group))
	}
	return "xfs: " + what + " sick: " + strings.Join(r.SickNames(), ", ")
}

// xfsSick are the kernel's names of the flags of each group, from the lowest bit
// on: XFS_FSOP_GEOM_SICK_*, XFS_AG_GEOM_SICK_*, XFS_BS_SICK_*,
// XFS_RTGROUP_GEOM_SICK_*.
var xfsSick = [...][]string{
	XFSWhole:   {"counters", "uquota", "gquota", "pquota", "rt-bitmap", "rt-summary", "quotacheck", "nlinks", "metadir", "metapath"},
	XFSAG:      {"sb", "agf", "agfl", "agi", "bnobt", "cntbt", "inobt", "finobt", "rmapbt", "refcntbt", "inodes"},
	XFSInode:   {"inode", "bmbtd", "bmbta", "bmbtc", "dir", "xattr", "symlink", "parent", "dirtree"},
	XFSRTGroup: {"super", "bitmap", "summary", "rmapbt", "refcntbt"},
}

// SickNames returns the kernel's names of the flags in Sick, without their
// prefix and in lower case; what has no name is one hexadecimal number.
func (r XFSRecord) SickNames() []string {
	var names []string
	rest := r.Sick
	if int(r.Group) < len(xfsSick) {
		for i, n := range xfsSick[r.Group] {
			if rest&(1<<i) != 0 {
				names = append(names, n)
				rest &^= 1 << i
			}
		}
	}
	if rest != 0 {
		names = append(names, fmt.Sprintf("%#x", rest))
	}
	return names
}
