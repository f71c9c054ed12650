// SPDX-License-Identifier: MIT

package kernel

import (
	"fmt"
	"io"
	"os"

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
		return &bars{w: w}
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

// bars draws a bar for the current stage.
type bars struct {
	w     io.Writer
	stage string
	bar   *progressbar.ProgressBar
}

func (b *bars) Stage(name string) {
	if name == b.stage {
		return
	}
	b.end()
	b.stage = name
	if name != "" {
		b.bar = progressbar.NewOptions(-1, b.options(name)...)
		b.bar.RenderBlank()
	}
}

func (b *bars) options(description string) []progressbar.Option {
	return []progressbar.Option{
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetDescription("kernel: " + description),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionClearOnFinish(),
	}
}

func (b *bars) Step(done, total int, unit string, approx bool) {
	if b.bar == nil {
		return
	}
	about := ""
	if approx {
		about = "~"
	}
	if total > 0 {
		b.bar.ChangeMax(max(total, done+1)) // a full bar would end itself
		b.bar.Describe(fmt.Sprintf("kernel: %s, %d of %s%d %s", b.stage, done, about, total, unit))
	}
	b.bar.Set(done)
}

func (b *bars) Note(text string) {
	if b.bar != nil {
		b.bar.Clear()
	}
	fmt.Fprintln(b.w, "kernel:", text)
}

func (b *bars) end() {
	if b.bar != nil {
		b.bar.Clear()
		fmt.Fprintln(b.w, "kernel:", b.stage)
		b.bar = nil
	}
}
