// SPDX-License-Identifier: MIT

package stat

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"wqfan/bench/model"
	"wqfan/bench/result"
	"wqfan/fserr"
)

// A reader that reads 100 records each 1 ms, stands still with a full queue for
// 1 ms twice and for 4 ms once, and goes on; one that was not behind, as nothing
// was lost; and one of another arm.
func TestDrainOf(t *testing.T) {
	tl := &result.Timeline{}
	read := uint64(0)
	for ms := int64(1); ms <= 20; ms++ {
		if ms != 3 && ms != 6 && (ms <= 10 || ms > 14) {
			read += 100
		}
		tl.At = append(tl.At, ms*1e6)
		tl.Reported = append(tl.Reported, uint64(ms)*200)
		tl.Read = append(tl.Read, read)
		tl.Lost = append(tl.Lost, 0)
	}
	lost := fserr.Account{Signalled: 1}
	idle := &result.Timeline{At: []int64{1}, Reported: []uint64{1}, Read: []uint64{1}}
	run := &result.Run{Cells: []result.Cell{
		{Arm: "wq", Timeline: tl, Account: lost}, {Arm: "wq"}, {Arm: "wq", Timeline: idle}, {Arm: "fan", Timeline: idle, Account: lost},
	}}
	d, err := DrainOf(run, "wq")
	if err != nil {
		t.Fatal(err)
	}
	want := Drain{Rate: 70_000, Cells: 1, Stall: Stalls{N: 3, P50: 0.001, P99: 0.004, Max: 0.004, Step: 0.001}}
	if diff := cmp.Diff(want, d, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
	if d, err = DrainOf(run, "fan"); err != nil || d.Stall != (Stalls{}) {
		t.Errorf("a reader that never stood still: %+v, %v", d, err)
	}
	if _, err := DrainOf(run, "wq-base"); err == nil {
		t.Error("an arm without a timeline has a drain rate")
	}
}

func TestStallsOf(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		at                   []int64
		reported, read, lost []uint64
		want                 []float64
	}{
		{"nothing queued", []int64{1e9, 2e9, 3e9}, []uint64{5, 5, 5}, []uint64{5, 5, 5}, nil, nil},
		{"from the start", []int64{1e9, 2e9, 3e9}, []uint64{5, 5, 5}, []uint64{0, 0, 5}, nil, []float64{2}},
		{"to the end", []int64{1e9, 2e9, 3e9}, []uint64{5, 9, 9}, []uint64{5, 5, 5}, nil, []float64{2}},
		{"what is missing was lost", []int64{1e9, 2e9, 3e9}, []uint64{5, 9, 9}, []uint64{5, 5, 5}, []uint64{0, 4, 4}, nil},
		{"two", []int64{1e9, 2e9, 3e9, 4e9}, []uint64{9, 9, 9, 9}, []uint64{1, 1, 2, 2}, nil, []float64{1, 1}},
	} {
		got := stallsOf(&result.Timeline{At: tt.at, Reported: tt.reported, Read: tt.read, Lost: tt.lost})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The record in the hands of a reader that takes a time for each is in no queue;
// of one whose reads took several nothing is said.
func TestPredictedLoss(t *testing.T) {
	c := result.Cell{Params: result.Params{Schedule: "poisson", Interval: 95_000, Each: 100_000, Queue: 32, Errors: 20_000}}
	want, wantErr := model.MD1KFlood(100./95, 33, 20_000, 10)
	if loss, stdErr, ok := PredictedLoss(&c, 32, 1, 10); loss != want || stdErr != wantErr || !ok {
		t.Errorf("%g ± %g, %v, want %g ± %g", loss, stdErr, ok, want, wantErr)
	}
	demand := model.Demand{Burst: 1, Within: 95_000}
	want, wantErr = model.MD1KFlood(100./95, 33, 20_000, 1)
	if loss, stdErr := model.Predicted(demand, model.Reader{Each: 100_000}, 32, 20_000); loss != want || stdErr != wantErr {
		t.Errorf("of wqfan size: %g ± %g, want %g ± %g", loss, stdErr, want, wantErr)
	}
	c.Reader.Records, c.Reader.Reads = 19_000, 18_999
	if _, _, ok := PredictedLoss(&c, 32, 1, 10); ok {
		t.Error("something is predicted of a read that took two")
	}
	// Less than fills the queue is not lost.
	if loss, stdErr := model.MD1KFlood(2, 33, 30, 1); loss != 0 || stdErr != 0 {
		t.Errorf("30 errors lose %g ± %g in a queue of 33", loss, stdErr)
	}
}
