// SPDX-License-Identifier: MIT

package wq

import (
	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

// Types of records: enum watch_notification_type, linux/watch_queue.h.
const (
	TypeMeta    = 0 // WATCH_TYPE_META
	TypeKey     = 1 // WATCH_TYPE_KEY_NOTIFY
	TypeFSError = 2 // WATCH_TYPE_FS_ERROR, with the project's series
	TypeChain   = 3 // WATCH_TYPE_CHAIN, with the project's series
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
	iocSetOptions  = 0x40105762 // IOC_WATCH_QUEUE_SET_OPTIONS
	iocSetFSFilter = 0x40085763 // IOC_WATCH_QUEUE_SET_FS_FILTER
	iocSetReserve  = 0x40105764 // IOC_WATCH_QUEUE_SET_RESERVE

	lossCount  = 1 // WATCH_QUEUE_LOSS_COUNT
	chainWhole = 2 // WATCH_QUEUE_CHAIN_WHOLE

	ruleClasses = 1  // WATCH_FS_RULE_CLASSES
	ruleError   = 2  // WATCH_FS_RULE_ERROR
	ruleMagic   = 4  // WATCH_FS_RULE_MAGIC
	ruleIno     = 8  // WATCH_FS_RULE_INO
	maxRules    = 16 // watch_queue_set_fs_filter, kernel/watch_queue.c

	// struct watch_notification_loss
	lossSize        = 16
	offLost         = 8          // __u64 lost
	lossInfoWatch   = 0x00010000 // WATCH_LOSS_INFO_WATCH
	lossInfoRemoval = 0x00020000 // WATCH_LOSS_INFO_REMOVAL
	lossInfoParts   = 0x00040000 // WATCH_LOSS_INFO_PARTS

	// struct watch_notification_chain
	chainSize     = 16
	offChain      = 8   // __u32 chain
	offChainIndex = 12  // __u16 index
	offChainFlags = 14  // __u16 flags
	chainLast     = 1   // WATCH_CHAIN_LAST
	chainPartData = 104 // WATCH_CHAIN_PART_DATA

	// struct watch_chain_ref, at the end of a first note
	chainRefSize = 8
	offRefLen    = 4                              // __u32 chain_len
	chainDataMax = fserr.MaxParts * chainPartData // WATCH_CHAIN_DATA_MAX, linux/watch_queue.h of the kernel

	fsErrorInfoInode    = 0x00010000 // FS_ERROR_INFO_INODE
	fsErrorInfoRange    = 0x00020000 // FS_ERROR_INFO_RANGE
	fsErrorInfoDeferred = 0x00040000 // FS_ERROR_INFO_DEFERRED
	fsErrorInfoChain    = 0x00080000 // FS_ERROR_INFO_CHAIN
	fsErrorInfoLocation = 0x00100000 // FS_ERROR_INFO_LOCATION

	// struct fs_error_notification has grown with the series. Before patch
	// "watch_queue: filter filesystem errors by what they are about" it ends
	// with fsid.
	fsErrorSizeV1 = 64
	fsErrorSize   = 80
	offSeq        = 8  // __u64 seq
	offTime       = 16 // __u64 time
	offIno        = 24 // __u64 ino
	offPos        = 32 // __s64 pos
	offLen        = 40 // __u64 len
	offGen        = 48 // __u32 gen
	offError      = 52 // __s32 error
	offFSID       = 56 // __u32 fsid[2]
	offMagic      = 64 // __u32 magic
	offRecordType = 68 // __u32 record_type

	// struct fs_error_location_notification
	locationSize = 96
	offIP        = 80 // __u64 ip

	fsIocWatchErrors     = 0x40101508 // FS_IOC_WATCH_ERRORS
	fsErrorWatchDeferred = 1          // FS_ERROR_WATCH_DEFERRED
	fsErrorWatchFile     = 2          // FS_ERROR_WATCH_FILE
	fsErrorWatchLocation = 4          // FS_ERROR_WATCH_LOCATION
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

// queueOptions is struct watch_queue_options, linux/watch_queue.h of the series.
type queueOptions struct {
	flags    uint32
	reserved [3]uint32
}

// reserveSpec is struct watch_queue_reserve, linux/watch_queue.h of the series.
type reserveSpec struct {
	typ      uint32
	subtypes uint32
	slots    uint32
	reserved uint32
}

// fsRule is struct watch_fs_rule, linux/watch_queue.h of the series.
type fsRule struct {
	flags   uint32
	classes uint32
	error   int32
	magic   uint32
	ino     uint64
}

// fsFilterSpec is struct watch_fs_filter with room for all rules that the kernel
// takes.
type fsFilterSpec struct {
	n        uint32
	reserved uint32
	rules    [maxRules]fsRule
}
