// SPDX-License-Identifier: MIT

package wq

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"wqfan/fserr"
)

// Filter lets records into a queue: those of one type, with one of the
// subtypes, whose info word agrees (struct watch_notification_type_filter,
// linux/watch_queue.h).
type Filter struct {
	Type     uint32  // TypeKey, TypeFSError
	Subtypes []uint8 // an error's class, a KeyChange; 0 to 31, none for all of these
	Info     uint32  // what info&Mask must be
	Mask     uint32  // any bits of info but those of the length
}

// SetFilter lets only records into the queue that one of the filters lets in,
// up to 16 of them. No filters let everything in again. Losses and removals are
// not filtered.
//
// A filter of a type that the kernel does not have is ignored by it, and if no
// other is left, nothing gets into the queue.
func (q *Queue) SetFilter(filters []Filter) error {
	spec, err := newFilterSpec(filters)
	if err != nil {
		return err
	}
	var arg unsafe.Pointer
	if spec != nil {
		arg = unsafe.Pointer(spec)
	}
	return q.r.Do("IOC_WATCH_QUEUE_SET_FILTER", func(fd int) error {
		return ioctl(fd, iocSetFilter, arg)
	}, nil)
}

// FSRule lets filesystem errors into a queue: those that agree with each of its
// fields that is not zero (struct watch_fs_rule, linux/watch_queue.h of the
// series).
type FSRule struct {
	Classes []fserr.Class // one of these
	Errno   fserr.Errno
	Magic   uint32 // of the kind of filesystem, statfs(2)'s f_type
	Ino     uint64 // inode number; an error of no inode has none
}

// SetFSFilter lets only those filesystem errors into the queue that one of the
// rules lets in, up to 16 of them, beside what SetFilter asks for. No rules let
// everything in again. On a kernel without the series the error wraps
// [errors.ErrUnsupported].
func (q *Queue) SetFSFilter(rules []FSRule) error {
	spec, err := newFSFilterSpec(rules)
	if err != nil {
		return err
	}
	return q.seriesIoctl("IOC_WATCH_QUEUE_SET_FS_FILTER", iocSetFSFilter, unsafe.Pointer(spec), patchFSFilter, nil)
}

// newFSFilterSpec returns nil for no rules.
func newFSFilterSpec(rules []FSRule) (*fsFilterSpec, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	if len(rules) > maxRules {
		return nil, fmt.Errorf("%d rules: the kernel takes at most %d: %w", len(rules), maxRules, unix.EINVAL)
	}
	spec := &fsFilterSpec{n: uint32(len(rules))}
	for i, r := range rules {
		k := fsRule{error: int32(r.Errno), magic: r.Magic, ino: r.Ino}
		for _, c := range r.Classes {
			if c > maxSubtype {
				return nil, fmt.Errorf("rule %d: %v: the kernel's rules know 0 to %d: %w", i, c, maxSubtype, unix.EINVAL)
			}
			k.classes |= 1 << c
			k.flags |= ruleClasses
		}
		if r.Errno != 0 {
			k.flags |= ruleError
		}
		if r.Magic != 0 {
			k.flags |= ruleMagic
		}
		if r.Ino != 0 {
			k.flags |= ruleIno
		}
		spec.rules[i] = k
	}
	return spec, nil
}

// Reserve keeps notes of a queue for records of one type with certain subtypes
// (struct watch_queue_reserve, linux/watch_queue.h of the series).
type Reserve struct {
	Type     uint32  // TypeKey, TypeFSError
	Subtypes []uint8 // an error's class, a KeyChange; 0 to 31, none for all of these
	Slots    uint32  // fewer than the queue has notes
}

// SetReserve keeps notes of the queue: whatever else is in it, so many records of
// the kind find room. It replaces an earlier reserve; no Slots remove it. On a
// kernel without the series the error wraps [errors.ErrUnsupported].
func (q *Queue) SetReserve(r Reserve) error {
	spec, err := newReserveSpec(r)
	if err != nil {
		return err
	}
	return q.seriesIoctl("IOC_WATCH_QUEUE_SET_RESERVE", iocSetReserve, unsafe.Pointer(&spec), patchReserve, map[error]string{
		unix.EINVAL: "the reserve must be smaller than the queue, and of a type that the kernel has, but not TypeMeta",
	})
}

func newReserveSpec(r Reserve) (reserveSpec, error) {
	spec := reserveSpec{typ: r.Type, slots: r.Slots}
	for _, s := range r.Subtypes {
		if s > maxSubtype {
			return spec, fmt.Errorf("reserve: subtype %d: the kernel's reserve knows 0 to %d: %w", s, maxSubtype, unix.EINVAL)
		}
		spec.subtypes |= 1 << s
	}
	if len(r.Subtypes) == 0 {
		spec.subtypes = 1<<32 - 1
	}
	return spec, nil
}

// newFilterSpec returns nil for no filters.
func newFilterSpec(filters []Filter) (*filterSpec, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	if len(filters) > maxFilters {
		return nil, fmt.Errorf("%d filters: the kernel takes at most %d: %w", len(filters), maxFilters, unix.EINVAL)
	}
	spec := &filterSpec{n: uint32(len(filters))}
	for i, f := range filters {
		switch {
		case f.Mask&infoLength != 0:
			return nil, fmt.Errorf("filter %d: mask %#x covers the length of a record (%#x): %w", i, f.Mask, infoLength, unix.EINVAL)
		case f.Info&^f.Mask != 0:
			return nil, fmt.Errorf("filter %d: info %#x has bits outside of the mask %#x: %w", i, f.Info, f.Mask, unix.EINVAL)
		case len(f.Subtypes) > 0 && slices.Max(f.Subtypes) > maxSubtype:
			// Mainline copies one word of the eight and then reads what
			// lies behind it: such a filter lets in what memory says.
			return nil, fmt.Errorf("filter %d: subtype %d: the kernel's filter knows 0 to %d: %w", i, slices.Max(f.Subtypes), maxSubtype, unix.EINVAL)
		}
		t := typeFilter{typ: f.Type, infoFilter: f.Info, infoMask: f.Mask}
		for _, s := range f.Subtypes {
			t.subtypes[s/32] |= 1 << (s % 32)
		}
		if len(f.Subtypes) == 0 {
			t.subtypes[0] = 1<<32 - 1
		}
		spec.filters[i] = t
	}
	return spec, nil
}
