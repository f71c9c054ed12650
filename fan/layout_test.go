// SPDX-License-Identifier: MIT

package fan

import (
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/clayout"
	"wqfan/internal/need"
)

// TestLayout compares uapi.go with what the C compiler makes of the headers.
func TestLayout(t *testing.T) {
	clayout.Check(t, []string{"linux/fanotify.h"}, map[string]int64{
		"FANOTIFY_METADATA_VERSION": metadataVersion,
		"FAN_EVENT_METADATA_LEN":    metadataSize,
		"FAN_FS_ERROR":              unix.FAN_FS_ERROR,
		"FAN_Q_OVERFLOW":            unix.FAN_Q_OVERFLOW,
		"FAN_CLASS_NOTIF":           unix.FAN_CLASS_NOTIF,
		"FAN_CLOEXEC":               unix.FAN_CLOEXEC,
		"FAN_NONBLOCK":              unix.FAN_NONBLOCK,
		"FAN_UNLIMITED_QUEUE":       unix.FAN_UNLIMITED_QUEUE,
		"FAN_REPORT_FID":            unix.FAN_REPORT_FID,
		"FAN_REPORT_PIDFD":          unix.FAN_REPORT_PIDFD,
		"FAN_MARK_ADD":              unix.FAN_MARK_ADD,
		"FAN_MARK_REMOVE":           unix.FAN_MARK_REMOVE,
		"FAN_MARK_FILESYSTEM":       unix.FAN_MARK_FILESYSTEM,

		"sizeof(struct fanotify_event_metadata)":                 metadataSize,
		"offsetof(struct fanotify_event_metadata, event_len)":    offEventLen,
		"offsetof(struct fanotify_event_metadata, vers)":         offVers,
		"offsetof(struct fanotify_event_metadata, metadata_len)": offMetadataLen,
		"offsetof(struct fanotify_event_metadata, mask)":         offMask,
		"offsetof(struct fanotify_event_metadata, pid)":          offPID,

		"sizeof(struct fanotify_event_info_header)":              infoHeaderSize,
		"offsetof(struct fanotify_event_info_header, info_type)": offInfoType,
		"offsetof(struct fanotify_event_info_header, len)":       offInfoLen,

		"FAN_EVENT_INFO_TYPE_FID":                             infoFID,
		"sizeof(((struct fanotify_event_info_fid *)0)->fsid)": 8,
		"offsetof(struct fanotify_event_info_fid, fsid)":      offFSID,
		"offsetof(struct fanotify_event_info_fid, handle)":    offHandle,

		"FAN_EVENT_INFO_TYPE_PIDFD":                         infoPIDFD,
		"sizeof(struct fanotify_event_info_pidfd)":          pidfdSize,
		"offsetof(struct fanotify_event_info_pidfd, pidfd)": offPIDFD,

		"FAN_EVENT_INFO_TYPE_ERROR":                               infoError,
		"sizeof(struct fanotify_event_info_error)":                errorSize,
		"offsetof(struct fanotify_event_info_error, error)":       offError,
		"offsetof(struct fanotify_event_info_error, error_count)": offErrorCount,
	})
}

// TestSeriesLayout does the same for what the series adds.
func TestSeriesLayout(t *testing.T) {
	headers := []string{"linux/fanotify.h"}
	if !clayout.Has(t, headers, "FAN_REPORT_DETAILED_ERROR") {
		need.Missing(t, "the headers lack FAN_REPORT_DETAILED_ERROR: set %s to the include folder of the series' headers_install", clayout.IncludeEnv)
	}
	clayout.Check(t, headers, map[string]int64{
		"FAN_REPORT_DETAILED_ERROR": reportDetailedError,
		"FAN_REPORT_FS_BLOB":        reportFSBlob,
		"FAN_MERGE_WHEN_FULL":       mergeWhenFull,
		"FAN_REPORT_OVERFLOW":       reportOverflow,
		"FAN_REPORT_ERROR_LOCATION": reportErrorLocation,

		"FAN_ERROR_BUFFERED_READ":  int64(fserr.BufferedRead),
		"FAN_ERROR_BUFFERED_WRITE": int64(fserr.BufferedWrite),
		"FAN_ERROR_DIRECTIO_READ":  int64(fserr.DirectIORead),
		"FAN_ERROR_DIRECTIO_WRITE": int64(fserr.DirectIOWrite),
		"FAN_ERROR_DATA_LOST":      int64(fserr.DataLost),
		"FAN_ERROR_METADATA":       int64(fserr.Metadata),

		"FAN_EVENT_INFO_TYPE_ERROR_DETAIL":                               infoErrorDetail,
		"FAN_ERROR_DETAIL_INODE":                                         detailInode,
		"FAN_ERROR_DETAIL_RANGE":                                         detailRange,
		"FAN_ERROR_DETAIL_RECORD_LOST":                                   detailRecordLost,
		"sizeof(struct fanotify_event_info_error_detail)":                detailSize,
		"offsetof(struct fanotify_event_info_error_detail, error)":       offDetailError,
		"offsetof(struct fanotify_event_info_error_detail, error_class)": offDetailClass,
		"offsetof(struct fanotify_event_info_error_detail, flags)":       offDetailFlags,
		"offsetof(struct fanotify_event_info_error_detail, inode)":       offDetailIno,
		"offsetof(struct fanotify_event_info_error_detail, generation)":  offDetailGen,
		"offsetof(struct fanotify_event_info_error_detail, offset)":      offDetailPos,
		"offsetof(struct fanotify_event_info_error_detail, length)":      offDetailLen,

		"FAN_EVENT_INFO_TYPE_FS_RECORD":                         infoFSRecord,
		"offsetof(struct fanotify_event_info_fs_record, magic)": offRecordMagic,
		"offsetof(struct fanotify_event_info_fs_record, fsid)":  offRecordFSID,
		"offsetof(struct fanotify_event_info_fs_record, type)":  offRecordType,
		"offsetof(struct fanotify_event_info_fs_record, len)":   offRecordLen,
		"offsetof(struct fanotify_event_info_fs_record, data)":  recordSize,

		"FAN_EVENT_INFO_TYPE_FS_BLOB":                         infoFSBlob,
		"offsetof(struct fanotify_event_info_fs_blob, magic)": offBlobMagic,
		"offsetof(struct fanotify_event_info_fs_blob, data)":  blobSize,

		"FAN_EVENT_INFO_TYPE_OVERFLOW":                           infoOverflow,
		"sizeof(struct fanotify_event_info_overflow)":            overflowSize,
		"offsetof(struct fanotify_event_info_overflow, dropped)": offDropped,

		"FAN_EVENT_INFO_TYPE_ERROR_LOCATION":                      infoErrorLocation,
		"sizeof(struct fanotify_event_info_error_location)":       locationSize,
		"offsetof(struct fanotify_event_info_error_location, ip)": offIP,
	})
}

// The uapi headers have no struct file_handle: the C library's is the one that
// programs see.
func TestHandleLayout(t *testing.T) {
	clayout.Check(t, []string{"fcntl.h"}, map[string]int64{
		"sizeof(struct file_handle)":                 handleSize,
		"offsetof(struct file_handle, handle_bytes)": offHandleBytes,
		"offsetof(struct file_handle, handle_type)":  offHandleType,
		"offsetof(struct file_handle, f_handle)":     offHandleHandle,
	})
}
