// SPDX-License-Identifier: MIT

package fan

import (
	"testing"

	"wqfan/internal/golden"
)

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		golden.Fuzz(t, b, metadataSize, Decode)
	})
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
