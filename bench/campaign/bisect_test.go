// SPDX-License-Identifier: MIT

package campaign

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/bench/stat"
)

func TestBisection(t *testing.T) {
	tests := []struct {
		name      string
		good, bad int
		guilty    int
		slower    float64
		metric    string
		measured  []int
		err       error
		found     string
	}{
		{"in the middle", 9, 16, 13, 1.05, "", []int{9, 16, 12, 14, 13}, nil, "p50 report-cost"},
		{"the first", 9, 16, 10, 1.05, "p50 report-cost", []int{9, 16, 12, 10}, nil, "p50 report-cost"},
		{"the last", 9, 16, 16, 1.05, "p50 report-cost", []int{9, 16, 12, 14, 15}, nil, "p50 report-cost"},
		{"an improvement", 9, 12, 11, 0.95, "p50 report-cost", []int{9, 12, 10, 11}, nil, "p50 report-cost"},
		{"next to each other", 9, 10, 10, 1.05, "p50 report-cost", []int{9, 10}, nil, "p50 report-cost"},
		{"nothing", 9, 16, 17, 1.05, "", []int{9, 16}, ErrUnmoved, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var measured, told []int
			b := Bisection{Good: tt.good, Bad: tt.bad, Metric: tt.metric, Step: func(n int, _ stat.Metric) { told = append(told, n) }}
			b.Measure = func(n int) (*result.Run, error) {
				measured = append(measured, n)
				r := resulttest.Repeated{Boots: 10, Seed: uint64(n)}
				if n >= tt.guilty {
					r.Slower = tt.slower
				}
				return r.Load(filepath.Join(t.TempDir(), "run"))
			}
			n, m, err := b.Run()
			if !errors.Is(err, tt.err) || !slices.Equal(measured, tt.measured) {
				t.Fatalf("measured %v, want %v: %v", measured, tt.measured, err)
			}
			if err == nil && (n != tt.guilty || m.Name != tt.found || !slices.Equal(told, measured[1:])) {
				t.Errorf("patch %d moved %s, told of %v; want %d and %s", n, m.Name, told, tt.guilty, tt.found)
			}
		})
	}

	broken := errors.New("does not boot")
	b := Bisection{Good: 1, Bad: 4, Step: func(int, stat.Metric) {}, Measure: func(n int) (*result.Run, error) {
		if n == 2 {
			return nil, broken
		}
		return resulttest.Repeated{Boots: 10, Seed: uint64(n), Slower: 1 + float64(n/4)/10}.Load(filepath.Join(t.TempDir(), "run"))
	}}
	if _, _, err := b.Run(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
