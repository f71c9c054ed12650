// SPDX-License-Identifier: MIT

package golden

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wqfan/fserr"
)

// Decoder is the parser of a channel.
type Decoder func(b []byte, e *fserr.Event) (n int, err error)

// Good is a record and what it means.
type Good = struct {
	Name string
	In   []byte
	Want fserr.Event
}

// DecodeGood decodes each record in front of another.
func DecodeGood(t *testing.T, decode Decoder, records []Good) {
	for _, r := range records {
		t.Run(r.Name, func(t *testing.T) {
			in := append(r.In, "the next record"...)
			e := fserr.Event{Kind: 99, Has: 0xffff, Ino: 1, Gen: 1, Count: 1} // of an earlier use
			n, err := decode(in, &e)
			if err != nil {
				t.Fatal(err)
			}
			if n != len(r.In) {
				t.Errorf("took %d bytes of %d", n, len(r.In))
			}
			if diff := cmp.Diff(r.Want, e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Bad is a malformed record, how many bytes on the next one is, or 0, and what
// the error says.
type Bad = struct {
	Name string
	In   []byte
	Skip int
	Want string
}

// DecodeBad decodes malformed records.
func DecodeBad(t *testing.T, decode Decoder, records []Bad) {
	for _, r := range records {
		t.Run(r.Name, func(t *testing.T) {
			var e fserr.Event
			n, err := decode(r.In, &e)
			var format *fserr.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("got %v, want a format error", err)
			}
			if err.Error() != r.Want {
				t.Errorf("got  %s\nwant %s", err, r.Want)
			}
			if n != r.Skip {
				t.Errorf("the next record is %d bytes away, want %d", n, r.Skip)
			}
		})
	}
}
