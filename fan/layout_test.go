// SPDX-License-Identifier: MIT

package fan

import (
	"testing"

	"golang.org/x/sys/unix"

	"wqfan/internal/clayout"
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
