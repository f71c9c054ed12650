// SPDX-License-Identifier: MIT

package healthmon

// What fs/xfs/libxfs/xfs_fs.h defines. The tests compare each of these with
// what a C compiler makes of the header. The number of the ioctl is that of
// most architectures; alpha, mips, powerpc and sparc encode it differently.
const (
	iocHealthMonitor = 0x40205844 // XFS_IOC_HEALTH_MONITOR
	formatV0         = 0          // XFS_HEALTH_MONITOR_FMT_V0
	flagVerbose      = 1          // XFS_HEALTH_MONITOR_VERBOSE

	// struct xfs_health_monitor_event
	eventSize    = 64
	offDomain    = 0  // __u32 domain
	offType      = 4  // __u32 type
	offTime      = 8  // __u64 time_ns
	offLostCount = 16 // __u64 lost.count
	offMask      = 16 // __u32 fs.mask, group.mask, inode.mask, shutdown.reasons
	offGroup     = 20 // __u32 group.gno
	offInodeGen  = 20 // __u32 inode.gen
	offInodeIno  = 24 // __u64 inode.ino
	offDaddr     = 16 // __u64 media.daddr
	offBlocks    = 24 // __u64 media.bbcount
	offPos       = 16 // __u64 filerange.pos
	offLen       = 24 // __u64 filerange.len
	offIno       = 32 // __u64 filerange.ino
	offGen       = 40 // __u32 filerange.gen
	offError     = 44 // __u32 filerange.error

	blockSize = 512 // BBSIZE: daddr and bbcount are in these
)

// healthMonitor is struct xfs_health_monitor.
type healthMonitor struct {
	flags  uint64
	format uint8
	_      [23]uint8
}

// Domain is what an event is about: XFS_HEALTH_MONITOR_DOMAIN_*.
type Domain uint32

// The domains, in the kernel's order.
const (
	Mount     Domain = iota // the mount, or the monitor itself
	FS                      // metadata of the whole filesystem
	AG                      // metadata of an allocation group
	Inode                   // metadata of a file
	RTGroup                 // metadata of a realtime group
	DataDev                 // a range of the data device
	RTDev                   // a range of the realtime device
	LogDev                  // a range of the log device
	FileRange               // a range of a file
)

var domainNames = [...]string{"mount", "fs", "ag", "inode", "rtgroup", "datadev", "rtdev", "logdev", "filerange"}

// Type is what happened: XFS_HEALTH_MONITOR_TYPE_*.
type Type uint32

// The types, in the kernel's order.
const (
	Running    Type = iota // the monitor is attached: its first event
	Lost                   // events found the queue full
	Unmount                // the filesystem is gone
	Sick                   // metadata was found corrupt in use
	Corrupt                // metadata was found corrupt by a check
	Healthy                // metadata was found in order or was repaired
	Shutdown               // the filesystem has shut down
	MediaError             // a device reported ranges that cannot be read
	BufRead                // a buffered read failed
	BufWrite               // a buffered write failed
	DIORead                // a direct read failed
	DIOWrite               // a direct write failed
	DataLost               // a device reported data of a file lost
)

var typeNames = [...]string{
	"running", "lost", "unmount", "sick", "corrupt", "healthy", "shutdown", "media error",
	"bufread", "bufwrite", "dioread", "diowrite", "datalost",
}

// reasons are the bits of a shutdown's mask, from the lowest:
// XFS_HEALTH_SHUTDOWN_*.
var reasons = [...]string{
	"meta-io-error", "log-io-error", "force-umount", "corrupt-incore", "corrupt-ondisk", "device-removed",
}
