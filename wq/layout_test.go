// SPDX-License-Identifier: MIT

package wq

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
	"wqfan/internal/clayout"
	"wqfan/internal/need"
)

// TestLayout compares uapi.go with what the C compiler makes of the headers.
func TestLayout(t *testing.T) {
	var filter filterSpec
	clayout.Check(t, []string{"linux/watch_queue.h", "linux/keyctl.h"}, map[string]int64{
		"O_NOTIFICATION_PIPE":        oNotificationPipe,
		"IOC_WATCH_QUEUE_SET_SIZE":   iocSetSize,
		"IOC_WATCH_QUEUE_SET_FILTER": iocSetFilter,
		"KEYCTL_WATCH_KEY":           unix.KEYCTL_WATCH_KEY,

		"WATCH_TYPE_META":                 TypeMeta,
		"WATCH_TYPE_KEY_NOTIFY":           TypeKey,
		"WATCH_META_REMOVAL_NOTIFICATION": metaRemoval,
		"WATCH_META_LOSS_NOTIFICATION":    metaLoss,

		"sizeof(struct watch_notification)":                                      headerSize,
		"offsetof(struct watch_notification, info)":                              offInfo,
		"((const unsigned char *)&(struct watch_notification){.subtype = 7})[3]": 7,
		"WATCH_INFO_LENGTH":    infoLength,
		"WATCH_INFO_ID":        infoID,
		"WATCH_INFO_ID__SHIFT": infoIDShift,

		"sizeof(struct watch_notification_removal)":       removalSize,
		"offsetof(struct watch_notification_removal, id)": offRemovalID,

		"sizeof(struct key_notification)":           keySize,
		"offsetof(struct key_notification, key_id)": offKeyID,
		"offsetof(struct key_notification, aux)":    offKeyAux,
		"NOTIFY_KEY_INSTANTIATED":                   int64(KeyInstantiated),
		"NOTIFY_KEY_UPDATED":                        int64(KeyUpdated),
		"NOTIFY_KEY_LINKED":                         int64(KeyLinked),
		"NOTIFY_KEY_UNLINKED":                       int64(KeyUnlinked),
		"NOTIFY_KEY_CLEARED":                        int64(KeyCleared),
		"NOTIFY_KEY_REVOKED":                        int64(KeyRevoked),
		"NOTIFY_KEY_INVALIDATED":                    int64(KeyInvalidated),
		"NOTIFY_KEY_SETATTR":                        int64(KeySetattr),

		"sizeof(struct watch_notification_filter)":                        int64(unsafe.Offsetof(filter.filters)),
		"offsetof(struct watch_notification_filter, nr_filters)":          int64(unsafe.Offsetof(filter.n)),
		"sizeof(struct watch_notification_type_filter)":                   int64(unsafe.Sizeof(filter.filters[0])),
		"offsetof(struct watch_notification_type_filter, type)":           int64(unsafe.Offsetof(filter.filters[0].typ)),
		"offsetof(struct watch_notification_type_filter, info_filter)":    int64(unsafe.Offsetof(filter.filters[0].infoFilter)),
		"offsetof(struct watch_notification_type_filter, info_mask)":      int64(unsafe.Offsetof(filter.filters[0].infoMask)),
		"offsetof(struct watch_notification_type_filter, subtype_filter)": int64(unsafe.Offsetof(filter.filters[0].subtypes)),
	})
}

// TestSeriesLayout does the same for what the series adds.
func TestSeriesLayout(t *testing.T) {
	headers := []string{"linux/watch_queue.h", "linux/fs.h"}
	if !clayout.Has(t, headers, "WATCH_TYPE_FS_ERROR") {
		need.Missing(t, "the headers lack WATCH_TYPE_FS_ERROR: set %s to the include folder of the series' headers_install", clayout.IncludeEnv)
	}
	var w fsErrorWatch
	var reserve reserveSpec
	var rules fsFilterSpec
	clayout.Check(t, headers, map[string]int64{
		"IOC_WATCH_QUEUE_SET_OPTIONS":                    iocSetOptions,
		"IOC_WATCH_QUEUE_SET_FS_FILTER":                  iocSetFSFilter,
		"IOC_WATCH_QUEUE_SET_RESERVE":                    iocSetReserve,
		"WATCH_QUEUE_LOSS_COUNT":                         lossCount,
		"WATCH_QUEUE_CHAIN_WHOLE":                        chainWhole,
		"sizeof(struct watch_queue_options)":             int64(unsafe.Sizeof(queueOptions{})),
		"offsetof(struct watch_queue_options, flags)":    int64(unsafe.Offsetof(queueOptions{}.flags)),
		"sizeof(struct watch_queue_reserve)":             int64(unsafe.Sizeof(reserve)),
		"offsetof(struct watch_queue_reserve, type)":     int64(unsafe.Offsetof(reserve.typ)),
		"offsetof(struct watch_queue_reserve, subtypes)": int64(unsafe.Offsetof(reserve.subtypes)),
		"offsetof(struct watch_queue_reserve, slots)":    int64(unsafe.Offsetof(reserve.slots)),
		"WATCH_FS_RULE_CLASSES":                          ruleClasses,
		"WATCH_FS_RULE_ERROR":                            ruleError,
		"WATCH_FS_RULE_MAGIC":                            ruleMagic,
		"WATCH_FS_RULE_INO":                              ruleIno,
		"offsetof(struct watch_fs_filter, nr)":           int64(unsafe.Offsetof(rules.n)),
		"sizeof(struct watch_fs_filter)":                 int64(unsafe.Offsetof(rules.rules)),
		"sizeof(struct watch_fs_rule)":                   int64(unsafe.Sizeof(rules.rules[0])),
		"offsetof(struct watch_fs_rule, flags)":          int64(unsafe.Offsetof(rules.rules[0].flags)),
		"offsetof(struct watch_fs_rule, classes)":        int64(unsafe.Offsetof(rules.rules[0].classes)),
		"offsetof(struct watch_fs_rule, error)":          int64(unsafe.Offsetof(rules.rules[0].error)),
		"offsetof(struct watch_fs_rule, magic)":          int64(unsafe.Offsetof(rules.rules[0].magic)),
		"offsetof(struct watch_fs_rule, ino)":            int64(unsafe.Offsetof(rules.rules[0].ino)),

		"sizeof(struct watch_notification_loss)":         lossSize,
		"offsetof(struct watch_notification_loss, lost)": offLost,
		"WATCH_LOSS_INFO_WATCH":                          lossInfoWatch,
		"WATCH_LOSS_INFO_REMOVAL":                        lossInfoRemoval,
		"WATCH_LOSS_INFO_PARTS":                          lossInfoParts,

		"WATCH_TYPE_CHAIN":                                 TypeChain,
		"sizeof(struct watch_notification_chain)":          chainSize,
		"offsetof(struct watch_notification_chain, chain)": offChain,
		"offsetof(struct watch_notification_chain, index)": offChainIndex,
		"offsetof(struct watch_notification_chain, flags)": offChainFlags,
		"offsetof(struct watch_notification_chain, data)":  chainSize,
		"WATCH_CHAIN_LAST":                                 chainLast,
		"WATCH_CHAIN_PART_DATA":                            chainPartData,
		"sizeof(struct watch_chain_ref)":                   chainRefSize,
		"offsetof(struct watch_chain_ref, chain)":          0,
		"offsetof(struct watch_chain_ref, chain_len)":      offRefLen,
		"FS_ERROR_INFO_CHAIN":                              fsErrorInfoChain,
		"FS_ERROR_INFO_LOCATION":                           fsErrorInfoLocation,

		"sizeof(struct fs_error_location_notification)":          locationSize,
		"offsetof(struct fs_error_location_notification, ip)":    offIP,
		"offsetof(struct fs_error_location_notification, chain)": locationSize - chainRefSize,

		"WATCH_TYPE_FS_ERROR":     TypeFSError,
		"FS_ERROR_INFO_INODE":     fsErrorInfoInode,
		"FS_ERROR_INFO_RANGE":     fsErrorInfoRange,
		"FS_ERROR_INFO_DEFERRED":  fsErrorInfoDeferred,
		"FS_ERROR_BUFFERED_READ":  int64(fserr.BufferedRead),
		"FS_ERROR_BUFFERED_WRITE": int64(fserr.BufferedWrite),
		"FS_ERROR_DIRECTIO_READ":  int64(fserr.DirectIORead),
		"FS_ERROR_DIRECTIO_WRITE": int64(fserr.DirectIOWrite),
		"FS_ERROR_DATA_LOST":      int64(fserr.DataLost),
		"FS_ERROR_METADATA":       int64(fserr.Metadata),

		"sizeof(struct fs_error_notification)":                fsErrorSize,
		"offsetof(struct fs_error_notification, magic)":       offMagic,
		"offsetof(struct fs_error_notification, record_type)": offRecordType,
		"offsetof(struct fs_error_notification, chain)":       fsErrorSize - chainRefSize,
		"offsetof(struct fs_error_notification, seq)":         offSeq,
		"offsetof(struct fs_error_notification, time)":        offTime,
		"offsetof(struct fs_error_notification, ino)":         offIno,
		"offsetof(struct fs_error_notification, pos)":         offPos,
		"offsetof(struct fs_error_notification, len)":         offLen,
		"offsetof(struct fs_error_notification, gen)":         offGen,
		"offsetof(struct fs_error_notification, error)":       offError,
		"offsetof(struct fs_error_notification, fsid)":        offFSID,
		"sizeof(((struct fs_error_notification *)0)->fsid)":   8,
		"sizeof(((struct fs_error_notification *)0)->gen)":    4,
		"sizeof(((struct fs_error_notification *)0)->error)":  4,

		"FS_IOC_WATCH_ERRORS":                         fsIocWatchErrors,
		"FS_ERROR_WATCH_DEFERRED":                     fsErrorWatchDeferred,
		"FS_ERROR_WATCH_FILE":                         fsErrorWatchFile,
		"FS_ERROR_WATCH_LOCATION":                     fsErrorWatchLocation,
		"sizeof(struct fs_error_watch)":               int64(unsafe.Sizeof(w)),
		"offsetof(struct fs_error_watch, queue_fd)":   int64(unsafe.Offsetof(w.queueFD)),
		"offsetof(struct fs_error_watch, watch_id)":   int64(unsafe.Offsetof(w.watchID)),
		"offsetof(struct fs_error_watch, flags)":      int64(unsafe.Offsetof(w.flags)),
		"offsetof(struct fs_error_watch, __reserved)": int64(unsafe.Offsetof(w.reserved)),
	})
}
