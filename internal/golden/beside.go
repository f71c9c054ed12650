// SPDX-License-Identifier: MIT

package golden

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wqfan/fserr"
	"wqfan/internal/clayout"
)

// BesideC decodes many copies of a record, and lets the C program source do the
// same, turn by turn so that both meet the same machine. It reports the least time
// of each for one record in nanoseconds, and Go's as a multiple of that of C that
// leaves behind the same events. C-bare is C that leaves in an event what is not
// reported as it was.
func BesideC(b *testing.B, decode Decoder, source string, records []Record) {
	bin := clayout.Program(b, source)
	for _, r := range records {
		b.Run(r.Name, func(b *testing.B) {
			in := bytes.Repeat(r.In, 1000)
			file := filepath.Join(b.TempDir(), "records")
			if err := os.WriteFile(file, in, 0o666); err != nil {
				b.Fatal(err)
			}
			events := make([]fserr.Event, 64)
			inGo, inC, inBareC := math.Inf(1), math.Inf(1), math.Inf(1)
			const rounds = 100
			for b.Loop() {
				for range rounds {
					inGo = min(inGo, decodeAll(b, decode, in, events))
				}
				out, err := exec.Command(bin, file, fmt.Sprint(rounds)).Output()
				if err != nil {
					b.Fatal(err)
				}
				var ns, bare float64
				if _, err := fmt.Sscan(string(out), &ns, &bare); err != nil {
					b.Fatalf("%q: %v", out, err)
				}
				inC, inBareC = min(inC, ns), min(inBareC, bare)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(inGo, "Go-ns/record")
			b.ReportMetric(inC, "C-ns/record")
			b.ReportMetric(inBareC, "C-bare-ns/record")
			b.ReportMetric(inGo/inC, "Go/C")
		})
	}
}

// decodeAll decodes in once and returns the nanoseconds for one record.
func decodeAll(b *testing.B, decode Decoder, in []byte, events []fserr.Event) float64 {
	start, n := time.Now(), 0
	for len(in) > 0 {
		size, err := decode(in, &events[n%len(events)])
		if err != nil {
			b.Fatal(err)
		}
		in = in[size:]
		n++
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}
