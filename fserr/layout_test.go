// SPDX-License-Identifier: MIT

package fserr

import (
	"strings"
	"testing"

	"wqfan/internal/clayout"
	"wqfan/internal/need"
)

// TestErrnoLayout compares the error names with linux/errno.h.
func TestErrnoLayout(t *testing.T) {
	want := make(map[string]int64)
	for errno, name := range errnoNames {
		switch errno {
		case EFSCORRUPTED: // in the kernel only
			name = "EUCLEAN"
		case EFSBADCRC:
			name = "EBADMSG"
		}
		want[name] = int64(errno)
	}
	clayout.Check(t, []string{"linux/errno.h"}, want)
}

// macro returns the name that a header has for one of ours.
func macro(prefix, name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// TestEXT4Layout compares ext4's record with linux/ext4.h of the series.
func TestEXT4Layout(t *testing.T) {
	headers := []string{"linux/ext4.h", "linux/magic.h"}
	if !clayout.Has(t, headers, "EXT4_ERROR_RECORD") {
		need.Missing(t, "the headers lack EXT4_ERROR_RECORD: set %s to the include folder of the series' headers_install", clayout.IncludeEnv)
	}
	want := map[string]int64{
		"EXT4_SUPER_MAGIC":                               EXT4Magic,
		"EXT4_ERROR_RECORD":                              ext4ErrorRecord,
		"sizeof(struct ext4_error_record)":               ext4RecordSize,
		"offsetof(struct ext4_error_record, block)":      offEXT4Block,
		"offsetof(struct ext4_error_record, ino)":        offEXT4Ino,
		"offsetof(struct ext4_error_record, inode_type)": offEXT4InodeType,
		"offsetof(struct ext4_error_record, code)":       offEXT4Code,
	}
	for i, name := range ext4Codes {
		want[macro("EXT4_ERROR_CODE_", name)] = int64(i)
	}
	clayout.Check(t, headers, want)
}

// TestXFSLayout compares XFS's record with the series' fs/xfs/libxfs/xfs_fs.h.
func TestXFSLayout(t *testing.T) {
	want := map[string]int64{
		"XFS_SUPER_MAGIC":                                XFSMagic,
		"XFS_ERROR_RECORD":                               xfsErrorRecord,
		"XFS_ERROR_GROUP_FS":                             int64(XFSWhole),
		"XFS_ERROR_GROUP_AG":                             int64(XFSAG),
		"XFS_ERROR_GROUP_INODE":                          int64(XFSInode),
		"XFS_ERROR_GROUP_RTGROUP":                        int64(XFSRTGroup),
		"sizeof(struct xfs_error_record)":                xfsRecordSize,
		"offsetof(struct xfs_error_record, group)":       offXFSGroup,
		"offsetof(struct xfs_error_record, sick)":        offXFSSick,
		"offsetof(struct xfs_error_record, e.inode.ino)": offXFSIno,
		"offsetof(struct xfs_error_record, e.inode.gen)": offXFSGen,
		"offsetof(struct xfs_error_record, e.agno)":      offXFSAGNo,
	}
	for group, prefix := range map[XFSGroup]string{
		XFSWhole: "XFS_FSOP_GEOM_SICK_", XFSAG: "XFS_AG_GEOM_SICK_", XFSInode: "XFS_BS_SICK_", XFSRTGroup: "XFS_RTGROUP_GEOM_SICK_",
	} {
		for bit, name := range xfsSick[group] {
			want[macro(prefix, name)] = 1 << bit
		}
	}
	clayout.Check(t, append(clayout.XFS(t), "linux/magic.h"), want)
}
