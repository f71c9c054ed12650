// SPDX-License-Identifier: MIT

package fan

// What linux/fanotify.h defines. The tests compare each of these with what a C
// compiler makes of the header. The flags and event bits that x/sys/unix has
// are taken from there.
const (
	metadataVersion = 3 // FANOTIFY_METADATA_VERSION

	// struct fanotify_event_metadata
	metadataSize    = 24
	offEventLen     = 0  // __u32 event_len
	offVers         = 4  // __u8 vers
	offMetadataLen  = 6  // __u16 metadata_len
	offMask         = 8  // __aligned_u64 mask
	offPID          = 20 // __s32 pid
	infoFID         = 1  // FAN_EVENT_INFO_TYPE_FID
	infoPIDFD       = 4  // FAN_EVENT_INFO_TYPE_PIDFD
	infoError       = 5  // FAN_EVENT_INFO_TYPE_ERROR
	infoHeaderSize  = 4  // struct fanotify_event_info_header
	offInfoType     = 0  // __u8 info_type
	offInfoLen      = 2  // __u16 len
	offFSID         = 4  // struct fanotify_event_info_fid: __kernel_fsid_t fsid
	offHandle       = 12 // struct file_handle handle
	pidfdSize       = 8  // struct fanotify_event_info_pidfd
	offPIDFD        = 4  // __s32 pidfd
	errorSize       = 12 // struct fanotify_event_info_error
	offError        = 4  // __s32 error
	offErrorCount   = 8  // __u32 error_count
	handleSize      = 8  // struct file_handle, linux/fcntl.h and fcntl.h: without its bytes
	offHandleBytes  = 0  // unsigned int handle_bytes
	offHandleType   = 4  // int handle_type
	offHandleHandle = 8  // unsigned char f_handle[]
)

// What the series adds to linux/fanotify.h.
const (
	reportDetailedError = 0x00008000 // FAN_REPORT_DETAILED_ERROR
	reportFSBlob        = 0x00010000 // FAN_REPORT_FS_BLOB
	mergeWhenFull       = 0x00020000 // FAN_MERGE_WHEN_FULL
	reportOverflow      = 0x00040000 // FAN_REPORT_OVERFLOW
	reportErrorLocation = 0x00080000 // FAN_REPORT_ERROR_LOCATION

	infoErrorDetail   = 8  // FAN_EVENT_INFO_TYPE_ERROR_DETAIL
	infoFSRecord      = 9  // FAN_EVENT_INFO_TYPE_FS_RECORD
	infoFSBlob        = 14 // FAN_EVENT_INFO_TYPE_FS_BLOB
	infoOverflow      = 15 // FAN_EVENT_INFO_TYPE_OVERFLOW
	infoErrorLocation = 16 // FAN_EVENT_INFO_TYPE_ERROR_LOCATION

	// struct fanotify_event_info_error_detail
	detailSize       = 48
	offDetailError   = 4  // __s32 error
	offDetailClass   = 8  // __u32 error_class
	offDetailFlags   = 12 // __u32 flags
	offDetailIno     = 16 // __u64 inode
	offDetailGen     = 24 // __u32 generation
	offDetailPos     = 32 // __s64 offset
	offDetailLen     = 40 // __u64 length
	detailInode      = 1  // FAN_ERROR_DETAIL_INODE
	detailRange      = 2  // FAN_ERROR_DETAIL_RANGE
	detailRecordLost = 4  // FAN_ERROR_DETAIL_RECORD_LOST

	recordSize     = 24 // struct fanotify_event_info_fs_record, without its data
	offRecordMagic = 4  // __u32 magic
	offRecordFSID  = 8  // __kernel_fsid_t fsid
	offRecordType  = 16 // __u32 type
	offRecordLen   = 20 // __u32 len
	blobSize       = 8  // struct fanotify_event_info_fs_blob, without its data
	offBlobMagic   = 4  // __u32 magic
	overflowSize   = 16 // struct fanotify_event_info_overflow
	offDropped     = 8  // __u64 dropped
	locationSize   = 16 // struct fanotify_event_info_error_location
	offIP          = 8  // __u64 ip
)

// Types of file handles that hold an inode number and a generation in a known
// place: enum fid_type, linux/exportfs.h, which is not part of the uapi.
const (
	fileidIno32Gen       = 0x01 // FILEID_INO32_GEN: u32 ino, u32 gen. ext4, XFS with small numbers
	fileidIno32GenParent = 0x02 // FILEID_INO32_GEN_PARENT: the same, then the parent's
	fileidBtrfs          = 0x4d // FILEID_BTRFS_WITHOUT_PARENT: u64 objectid, u64 root, u32 gen
	fileidIno64Gen       = 0x81 // FILEID_INO64_GEN: u64 ino, u32 gen. XFS
	fileidIno64GenParent = 0x82 // FILEID_INO64_GEN_PARENT: the same, then the parent's
)
