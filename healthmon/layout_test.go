// SPDX-License-Identifier: MIT

package healthmon

import (
	"testing"
	"unsafe"

	"wqfan/internal/clayout"
)

// TestLayout compares uapi.go with what the C compiler makes of XFS's header.
func TestLayout(t *testing.T) {
	want := map[string]int64{
		"XFS_IOC_HEALTH_MONITOR":             iocHealthMonitor,
		"sizeof(struct xfs_health_monitor)":  int64(unsafe.Sizeof(healthMonitor{})),
		"XFS_HEALTH_MONITOR_FMT_V0":          formatV0,
		"XFS_HEALTH_MONITOR_VERBOSE":         flagVerbose,
		"BBSIZE":                             blockSize,
		"XFS_HEALTH_SHUTDOWN_DEVICE_REMOVED": 1 << (len(reasons) - 1),

		"offsetof(struct xfs_health_monitor, flags)":  int64(unsafe.Offsetof(healthMonitor{}.flags)),
		"offsetof(struct xfs_health_monitor, format)": int64(unsafe.Offsetof(healthMonitor{}.format)),

		"sizeof(struct xfs_health_monitor_event)":                       eventSize,
		"offsetof(struct xfs_health_monitor_event, domain)":             offDomain,
		"offsetof(struct xfs_health_monitor_event, type)":               offType,
		"offsetof(struct xfs_health_monitor_event, time_ns)":            offTime,
		"offsetof(struct xfs_health_monitor_event, e.lost.count)":       offLostCount,
		"offsetof(struct xfs_health_monitor_event, e.fs.mask)":          offMask,
		"offsetof(struct xfs_health_monitor_event, e.group.mask)":       offMask,
		"offsetof(struct xfs_health_monitor_event, e.group.gno)":        offGroup,
		"offsetof(struct xfs_health_monitor_event, e.inode.mask)":       offMask,
		"offsetof(struct xfs_health_monitor_event, e.inode.gen)":        offInodeGen,
		"offsetof(struct xfs_health_monitor_event, e.inode.ino)":        offInodeIno,
		"offsetof(struct xfs_health_monitor_event, e.shutdown.reasons)": offMask,
		"offsetof(struct xfs_health_monitor_event, e.media.daddr)":      offDaddr,
		"offsetof(struct xfs_health_monitor_event, e.media.bbcount)":    offBlocks,
		"offsetof(struct xfs_health_monitor_event, e.filerange.pos)":    offPos,
		"offsetof(struct xfs_health_monitor_event, e.filerange.len)":    offLen,
		"offsetof(struct xfs_health_monitor_event, e.filerange.ino)":    offIno,
		"offsetof(struct xfs_health_monitor_event, e.filerange.gen)":    offGen,
		"offsetof(struct xfs_health_monitor_event, e.filerange.error)":  offError,
	}
	for name, v := range map[string]Domain{
		"MOUNT": Mount, "FS": FS, "AG": AG, "INODE": Inode, "RTGROUP": RTGroup, "DATADEV": DataDev, "RTDEV": RTDev,
		"LOGDEV": LogDev, "FILERANGE": FileRange,
	} {
		want["XFS_HEALTH_MONITOR_DOMAIN_"+name] = int64(v)
	}
	for name, v := range map[string]Type{
		"RUNNING": Running, "LOST": Lost, "UNMOUNT": Unmount, "SICK": Sick, "CORRUPT": Corrupt, "HEALTHY": Healthy,
		"SHUTDOWN": Shutdown, "MEDIA_ERROR": MediaError, "BUFREAD": BufRead, "BUFWRITE": BufWrite, "DIOREAD": DIORead,
		"DIOWRITE": DIOWrite, "DATALOST": DataLost,
	} {
		want["XFS_HEALTH_MONITOR_TYPE_"+name] = int64(v)
	}
	clayout.Check(t, clayout.XFS(t), want)
}
