// SPDX-License-Identifier: MIT

package bench

import (
	"errors"
	"testing"
)

func TestBracket(t *testing.T) {
	for _, limit := range []float64{0, 1, 999, 1000, 1234, 50_000, 999_999, 1_000_000, 2_000_000} {
		trials := 0
		passed, failed, err := bracket(1000, 1_000_000, 0.05, func(load float64) (bool, error) {
			trials++
			return load <= limit, nil
		})
		switch {
		case err != nil:
			t.Fatal(err)
		case limit >= 1_000_000 && (passed != 1_000_000 || failed != 0),
			limit < 1000 && (passed > limit || failed <= limit || failed > 1050),
			limit >= 1000 && limit < 1_000_000 && (passed > limit || failed <= limit || failed > passed*1.05),
			trials > 12:
			t.Errorf("limit %v: between %v and %v after %d trials", limit, passed, failed, trials)
		}
	}
	want := errors.New("trial")
	if _, _, err := bracket(1, 10, 0.05, func(float64) (bool, error) { return false, want }); err != want {
		t.Errorf("error %v", err)
	}
}
