// SPDX-License-Identifier: MIT

package golden

import (
	"testing"

	"wqfan/fserr"
)

// Record is a record by name.
type Record = struct {
	Name string
	In   []byte
}

// Bench decodes each record over and over.
func Bench(b *testing.B, decode Decoder, records []Record) {
	for _, r := range records {
		b.Run(r.Name, func(b *testing.B) {
			var e fserr.Event
			b.ReportAllocs()
			b.SetBytes(int64(len(r.In)))
			for b.Loop() {
				if _, err := decode(r.In, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// AllocatesNothing decodes each record and expects no allocation.
func AllocatesNothing(t *testing.T, decode Decoder, records []Record) {
	for _, r := range records {
		var e fserr.Event
		if n := testing.AllocsPerRun(100, func() {
			if _, err := decode(r.In, &e); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", r.Name, n)
		}
	}
}
