// SPDX-License-Identifier: MIT

package fan

import (
	"errors"
	"testing"
	"unsafe"

	"wqfan/fserr"
)

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; len(rest) > 0; {
			var e fserr.Event
			n, err := Decode(rest, &e)
			if n < 0 || n > len(rest) {
				t.Fatalf("took %d bytes of %d", n, len(rest))
			}
			if err != nil {
				var format *fserr.FormatError
				if !errors.As(err, &format) {
					t.Fatalf("%T: %v", err, err)
				}
				if format.Offset < 0 || format.Offset > len(rest) {
					t.Fatalf("offset %d in %d bytes", format.Offset, len(rest))
				}
				if n == 0 {
					return
				}
				rest = rest[n:]
				continue
			}
			if n < metadataSize {
				t.Fatalf("an event of %d bytes", n)
			}
			if e.Kind < fserr.Error || e.Kind > fserr.Other {
				t.Fatalf("kind %v", e.Kind)
			}
			within(t, rest[:n], e.Handle.Bytes)
			within(t, rest[:n], e.Record.Bytes)
			if e.Is(fserr.HasHandle) != (len(e.Handle.Bytes) > 0) || e.Is(fserr.HasRecord) != (len(e.Record.Bytes) > 0) {
				t.Fatalf("fields and bytes disagree: %v", e)
			}
			_ = e.String()
			rest = rest[n:]
		}
	})
}

// within checks that part is memory of whole, also up to its capacity.
func within(t *testing.T, whole, part []byte) {
	t.Helper()
	if len(part) == 0 {
		return
	}
	off := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	if off > uintptr(len(whole)) || off+uintptr(cap(part)) > uintptr(len(whole)) {
		t.Fatalf("bytes %d to %d of an event of %d", off, off+uintptr(cap(part)), len(whole))
	}
}

func FuzzParseStats(f *testing.F) {
	f.Add([]byte("pos:\t0\nfanotify errors queued:2 merged:998 dropped:7\n"))
	f.Add([]byte("fanotify errors queued:2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStats(b); err != nil && s != (Stats{}) {
			t.Fatalf("%+v with %v", s, err)
		}
	})
}
