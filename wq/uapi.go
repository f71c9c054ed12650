// SPDX-License-Identifier: MIT

package wq

import "golang.org/x/sys/unix"

// Types of records: enum watch_notification_type, linux/watch_queue.h.
const (
	TypeMeta    = 0 // WATCH_TYPE_META
	TypeKey     = 1 // WATCH_TYPE_KEY_NOTIFY
	TypeFSError = 2 // WATCH_TYPE_FS_ERROR, with the project's series
)

// What linux/watch_queue.h defines. The tests compare each of these with what a
// C compiler makes of the header. The numbers of the ioctls are those of most
// architectures; alpha, mips, powerpc and sparc encode them differently.
const (
	oNotificationPipe = unix.O_EXCL // O_NOTIFICATION_PIPE
	iocSetSize        = 0x5760      // IOC_WATCH_QUEUE_SET_SIZE
	iocSetFilter      = 0x5761      // IOC_WATCH_QUEUE_SET_FILTER

	metaRemoval = 0 // WATCH_META_REMOVAL_NOTIFICATION
	metaLoss    = 1 // WATCH_META_LOSS_NOTIFICATION

	// struct watch_notification
	headerSize      = 8          // type:24, subtype:8 in the first word
	offSubtype      = 3          // the same byte in either byte order
	offInfo         = 4          // __u32 info
	infoLength      = 0x0000007f // WATCH_INFO_LENGTH
	infoID          = 0x0000ff00 // WATCH_INFO_ID
	infoIDShift     = 8          // WATCH_INFO_ID__SHIFT
	noteSize        = 128        // WATCH_QUEUE_NOTE_SIZE, kernel/watch_queue.c
	maxFilters      = 16         // watch_queue_set_filter, kernel/watch_queue.c
	maxSubtype      = 31         // of struct watch_type_filter's one u32, linux/watch_queue.h
	removalSize     = 16         // struct watch_notification_removal
	offRemovalID    = 8          // __u64 id
	keySize         = 16         // struct key_notification
	offKeyID        = 8          // __u32 key_id
	offKeyAux       = 12         // __u32 aux
	typeFilterSize  = 44         // struct watch_notification_type_filter
	filterHeaderLen = 8          // struct watch_notification_filter
)

// What the series adds to linux/watch_queue.h and linux/fs.h.
const (
	fsErrorInfoInode    = 0x00010000 // FS_ERROR_INFO_INODE
	fsErrorInfoRange    = 0x00020000 // FS_ERROR_INFO_RANGE
	fsErrorInfoDeferred = 0x00040000 // FS_ERROR_INFO_DEFERRED

	// struct fs_error_notification
	fsErrorSize = 64
	offSeq      = 8  // __u64 seq
	offTime     = 16 // __u64 time
	offIno      = 24 // __u64 ino
	offPos      = 32 // __s64 pos
	offLen      = 40 // __u64 len
	offGen      = 48 // __u32 gen
	offError    = 52 // __s32 error
	offFSID     = 56 // __u32 fsid[2]

	fsIocWatchErrors     = 0x40101508 // FS_IOC_WATCH_ERRORS
	fsErrorWatchDeferred = 1          // FS_ERROR_WATCH_DEFERRED
)

// fsErrorWatch is struct fs_error_watch, linux/fs.h of the series.
type fsErrorWatch struct {
	queueFD  int32
	watchID  int32
	flags    uint32
	reserved uint32
}

// typeFilter is struct watch_notification_type_filter.
type typeFilter struct {
	typ        uint32
	infoFilter uint32
	infoMask   uint32
	subtypes   [8]uint32
}

// filterSpec is struct watch_notification_filter with room for all filters
// that the kernel takes.
type filterSpec struct {
	n        uint32
	reserved uint32
	filters  [maxFilters]typeFilter
}
