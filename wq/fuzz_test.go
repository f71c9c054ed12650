// SPDX-License-Identifier: MIT

package wq

import (
	"errors"
	"testing"

	"wqfan/fserr"
	"wqfan/internal/golden"
)

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		golden.Fuzz(t, b, headerSize, Decode)
	})
}

func FuzzDecodeKey(f *testing.F) {
	f.Add(record(TypeKey, 1, 0x0100, uint32(1), uint32(2)))
	f.Add(record(TypeMeta, metaRemoval, 0x0100, uint64(1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeKey(b); err != nil {
			var format *fserr.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("%T: %v", err, err)
			}
		}
		RemovalID(b)
	})
}

func FuzzParseStats(f *testing.F) {
	f.Add([]byte("pos:\t0\nwatch_queue notes:32 depth:5 posted:10 filtered:0 lost:3\nwatch id:1 posted:10 filtered:0 lost:3\n"))
	f.Add([]byte("watch id:1 posted:10"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStats(b); err != nil && (s.Posted != 0 || s.Watches != nil) {
			t.Fatalf("%+v with %v", s, err)
		}
	})
}
