// SPDX-License-Identifier: MIT

package wq

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
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
