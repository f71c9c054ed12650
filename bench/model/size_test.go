// SPDX-License-Identifier: MIT

package model

import (
	"math"
	"strings"
	"testing"
)

// trials are what a reader that looks each period leaves of the sizes, by the
// model itself.
func trials(d Demand, every float64, n uint64, sizes ...int) []Trial {
	var out []Trial
	for _, k := range sizes {
		loss, _ := Periodic(d.Rate(), every, k, 1)
		out = append(out, Trial{k, n, uint64(math.Round(loss * float64(n)))})
	}
	return out
}

// A check stands where the reader is the one that was assumed, and fails where
// it drains four times slower or faster than that.
func TestCheckFindsWrongDrain(t *testing.T) {
	d := Demand{Burst: 400, Within: 0.02, Loss: 0.01}
	const every, n = 0.02, 40_000
	for _, tt := range []struct {
		name    string
		assumed float64
		want    string
	}{
		{"right", every, ""},
		{"thought faster", every / 4, "the answer is too small"},
		{"thought slower", every * 4, "not the one that was assumed"},
	} {
		k := Answers(d, Reader{Every: tt.assumed})[0].Size
		wrong := Check(d, Reader{Every: tt.assumed}, trials(d, every, n, k/2, k, 2*k))
		if got := strings.Join(wrong, "; "); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: K %d: %q, want %q", tt.name, k, got, tt.want)
		}
	}
}

func TestCheckBurst(t *testing.T) {
	d := Demand{Burst: 1000, Within: 0.01, Loss: 0}
	right := Reader{Rate: 50_000, Stall: 0.002} // K = 1000 - 50000×0.008 = 600
	real := func(sizes ...int) (out []Trial) {
		for _, k := range sizes {
			out = append(out, Trial{k, 20_000, 20 * uint64(max(0, 600-k))})
		}
		return out
	}
	if a := Answers(d, right); a[0].Size != 600 || a[1].Size != Unreachable {
		t.Errorf("%+v", a)
	}
	if wrong := Check(d, right, real(300, 600, 1200)); wrong != nil {
		t.Error(wrong)
	}
	lossy := d
	lossy.Loss = 0.25
	if a := Answers(lossy, right); a[0].Size != 350 || !strings.HasSuffix(a[0].Assumes, "; 250 of the burst may be lost") {
		t.Errorf("%+v", a[0])
	}
	if wrong := Check(lossy, right, real(175, 350, 700)); wrong != nil {
		t.Error(wrong)
	}
	if wrong := Check(lossy, right, real(175, 349, 700)); wrong != nil {
		t.Error(wrong)
	}
	if loss, _ := Predicted(lossy, right, 350, 20_000); loss != 0.25 {
		t.Errorf("%g are lost of a quarter that may be", loss)
	}
	fast := Reader{Rate: 500_000, Stall: 0.002}
	if wrong := Check(d, fast, real(100, 200, 400)); len(wrong) == 0 {
		t.Error("a reader that was thought ten times faster stands")
	}
	slow := Reader{Rate: 500, Stall: 0.002}
	if wrong := Check(d, slow, real(498, 997, 1994)); len(wrong) != 0 {
		// 498 < 600 loses, so half of the answer does not show that it is generous.
		t.Error(wrong)
	}
}
