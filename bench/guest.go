// SPDX-License-Identifier: MIT

// Package bench is the driver: inside a guest it runs the cells of a plan
// against the channels and records what came of each. The rooms below it make
// the kernel, the guest and the flood, and read the records; see DESIGN in the
// README for who may call whom.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

// Task is what one boot is to do.
type Task struct {
	Mode   result.Mode
	Boot   scenario.Boot
	Mounts map[string]string // filesystem type → where it is mounted
}

// Record is one line from the guest: what the clock costs, then each cell, then
// what the guest ran in.
type Record struct {
	Clock *result.Calibration `json:",omitempty"`
	Cell  *result.Cell        `json:",omitempty"`
	Env   *result.Environment `json:",omitempty"`
}

// Run runs a task and emits its records. A cell that fails does not stop the
// others; their errors are joined. An error that is ErrIdentity says that some
// cell could not account for every error.
func Run(ctx context.Context, t Task, emit func(Record) error, progress func(string)) error {
	// The flood is one long system call. With one P for one CPU it would hold
	// that P until the runtime's monitor takes it away, up to 10 ms later, and
	// the first errors would wait for it.
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	clock, err := calibrate()
	if err != nil {
		return err
	}
	if err := emit(Record{Clock: &clock}); err != nil {
		return err
	}
	var errs []error
	done := 0
	for i, c := range t.Boot.Cells {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		cells := []result.Cell{{}}
		switch {
		case c.Scenario != scenario.Corruption:
			cells[0], err = measure(ctx, c, t)
		case slices.ContainsFunc(t.Boot.Cells[:i], func(b scenario.Cell) bool { return together(b, c) }):
			continue // was run with the first cell of its filesystem
		default:
			group := slices.DeleteFunc(slices.Clone(t.Boot.Cells), func(b scenario.Cell) bool { return !together(b, c) })
			cells, err = corruption(ctx, group)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.ID(), err))
		}
		for _, out := range cells {
			if err := emit(Record{Cell: &out}); err != nil {
				return errors.Join(append(errs, err)...)
			}
			done++
			progress(fmt.Sprintf("%d/%d %s", done, len(t.Boot.Cells), out.ID))
		}
	}
	env := Environment()
	return errors.Join(append(errs, emit(Record{Env: &env}))...)
}

// together says that two cells meet the same real corruption.
func together(a, b scenario.Cell) bool {
	return a.Scenario == scenario.Corruption && b.Scenario == scenario.Corruption && a.FS == b.FS
}
