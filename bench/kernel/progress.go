// SPDX-License-Identifier: MIT

package kernel

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress hears what a build is doing. Its methods are not called at the same
// time by two goroutines.
type Progress interface {
	// Stage begins a stage and ends the one before. The empty name ends
	// the last one. Calls with the name of the current stage change nothing.
	Stage(name string)
	// Step says how far the stage is; total is 0 when unknown, and a guess
	// when approx is set.
	Step(done, total int, unit string, approx bool)
	// Note is something to be told: what is used instead of what, and why.
	Note(text string)
}

type silent struct{}

func (silent) Stage(string)                {}
func (silent) Step(int, int, string, bool) {}
func (silent) Note(string)                 {}

// NewProgress shows progress on w: a bar where w is a terminal, one line for
// each stage elsewhere.
func NewProgress(w io.Writer) Progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bars{lines: lines{w: w}}
	}
	return &lines{w: w}
}

// lines writes one line for each stage.
type lines struct {
	w     io.Writer
	stage string
}

func (l *lines) Stage(name string) {
	if name != "" && name != l.stage {
		fmt.Fprintln(l.w, "kernel:", name)
	}
	l.stage = name
}

func (l *lines) Step(int, int, string, bool) {}

func (l *lines) Note(text string) { fmt.Fprintln(l.w, "kernel:", text) }

// bars is lines with a bar below the stages that count something.
type bars struct {
	lines
	bar *progressbar.ProgressBar
}

func (b *bars) Stage(name string) {
	if name == b.stage {
		return
	}
	if b.bar != nil {
		b.bar.Clear()
		b.bar = nil
	}
	b.lines.Stage(name)
}

func (b *bars) Step(done, total int, unit string, approx bool) {
	if total <= 0 {
		return
	}
	if b.bar == nil {
		b.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(b.w),
			progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(true))
	}
	about := ""
	if approx {
		about = "~"
		b.bar.ChangeMax(max(total, done+1)) // a guess is never full
	}
	b.bar.Describe(fmt.Sprintf("  %d of %s%d %s", done, about, total, unit))
	b.bar.Set(min(done, total))
}

func (b *bars) Note(text string) {
	if b.bar != nil {
		b.bar.Clear()
	}
	b.lines.Note(text)
}
