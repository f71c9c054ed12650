// SPDX-License-Identifier: MIT

package golden

import (
	"errors"
	"testing"
	"unsafe"

	"wqfan/fserr"
)

// Fuzz decodes the records of b one after the other and checks what must hold
// for any bytes: a record is at least least bytes long and within b, so is what
// the event points to, and what is wrong is a *fserr.FormatError.
func Fuzz(t *testing.T, b []byte, least int, decode Decoder) {
	t.Helper()
	for len(b) > 0 {
		var e fserr.Event
		n, err := decode(b, &e)
		if n < 0 || n > len(b) {
			t.Fatalf("took %d bytes of %d", n, len(b))
		}
		if err != nil {
			var format *fserr.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%T: %v", err, err)
			}
			if format.Offset < 0 || format.Offset > len(b) {
				t.Fatalf("offset %d in %d bytes", format.Offset, len(b))
			}
			if n == 0 {
				return
			}
			b = b[n:]
			continue
		}
		if n < least {
			t.Fatalf("a record of %d bytes", n)
		}
		if e.Kind < fserr.Error || e.Kind > fserr.Fragment {
			t.Fatalf("kind %v", e.Kind)
		}
		if e.Is(fserr.HasHandle) != (len(e.Handle.Bytes) > 0) || len(e.Record.Bytes) > 0 && e.Has&(fserr.HasRecord|fserr.HasBroken) == 0 ||
			e.Is(fserr.HasRecord|fserr.HasBroken) || e.Is(fserr.HasBroken) != (e.Record.Missing != 0) {
			t.Fatalf("fields and bytes disagree: %v", e)
		}
		within(t, b[:n], e.Handle.Bytes)
		within(t, b[:n], e.Record.Bytes)
		_ = e.String()
		b = b[n:]
	}
}

// within checks that part is memory of whole, also up to its capacity.
func within(t *testing.T, whole, part []byte) {
	t.Helper()
	if len(part) == 0 {
		return
	}
	off := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	if off > uintptr(len(whole)) || off+uintptr(cap(part)) > uintptr(len(whole)) {
		t.Fatalf("bytes %d to %d of a record of %d", off, off+uintptr(cap(part)), len(whole))
	}
}
