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

// Types of file handles that hold an inode number and a generation in a known
// place: enum fid_type, linux/exportfs.h, which is not part of the uapi.
const (
	fileidIno32Gen       = 0x01 // FILEID_INO32_GEN: u32 ino, u32 gen. ext4, XFS with small numbers
	fileidIno32GenParent = 0x02 // FILEID_INO32_GEN_PARENT: the same, then the parent's
	fileidBtrfs          = 0x4d // FILEID_BTRFS_WITHOUT_PARENT: u64 objectid, u64 root, u32 gen
	fileidIno64Gen       = 0x81 // FILEID_INO64_GEN: u64 ino, u32 gen. XFS
	fileidIno64GenParent = 0x82 // FILEID_INO64_GEN_PARENT: the same, then the parent's
)
