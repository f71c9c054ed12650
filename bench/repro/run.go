// SPDX-License-Identifier: MIT

package repro

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
)

// Verdict is what a script decides about the running kernel.
type Verdict string

// The verdicts. A script that failed has none.
const (
	Reproduced    Verdict = "reproduced"
	NotReproduced Verdict = "not reproduced"
	NotApplicable Verdict = "not applicable"
)

// Result is what came of one behaviour.
type Result struct {
	About
	Kernel  string  `json:"kernel"`            // uname -r
	Verdict Verdict `json:"verdict,omitempty"` // "": the script failed, Err says how
	// AsFixed says of a behaviour that was not reproduced that the kernel did
	// what a fixed one does.
	AsFixed bool     `json:"as_fixed,omitempty"`
	Reason  string   `json:"reason,omitempty"` // of a verdict that is not Reproduced
	Err     string   `json:"error,omitempty"`
	Want    []string `json:"want,omitempty"` // what the script prints where it reproduces, if it printed neither that nor what a fixed kernel does
	Run
	Remedy *Remedy `json:"remedy,omitempty"`
}

// Remedy is the same flood with the patch's option asked for.
type Remedy struct {
	Shown  bool     `json:"shown"`            // the script printed what a remedied channel does
	Reason string   `json:"reason,omitempty"` // why it could not be shown: what this kernel lacks
	Want   []string `json:"want,omitempty"`   // if it ran and printed something else
	Run
}

// Run is one script on its way.
type Run struct {
	Printed []string `json:"printed,omitempty"`
	Steps   []Step   `json:"steps,omitempty"`
}

// Step is one line of a script: what was sent, what the queue held, what was
// read.
type Step struct {
	Script  string   `json:"script"`
	Notes   []string `json:"notes,omitempty"`
	Printed []string `json:"printed,omitempty"`
}

// OK says that the kernel is one of the two kinds that the script knows, or
// that the behaviour does not apply to it: it was reproduced, or the kernel
// does what a fixed one does; and a remedy that the kernel has does its work.
func (r *Result) OK() bool {
	if r.Remedy != nil && !r.Remedy.Shown && r.Remedy.Reason == "" {
		return false
	}
	return r.Verdict == Reproduced || r.Verdict == NotApplicable || r.AsFixed
}

// Perform runs behaviours one after the other on the running kernel and gives
// each result to emit. It needs root. Its error is not a behaviour's: the
// machine could not be prepared, emit failed, or ctx ended.
func Perform(ctx context.Context, behaviours []Behaviour, disks Disks, emit func(Result) error) error {
	return onThread(func() error { return perform(ctx, behaviours, disks, emit) })
}

// onThread calls f on a thread that ends with it, and with it what f changes of
// the thread: its mount namespace, its CPUs, its priority.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread would not end. It is not to be had as long as
			// this goroutine holds it.
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f() // and the thread ends, for it is still locked
	}()
	return <-done
}

func perform(ctx context.Context, behaviours []Behaviour, disks Disks, emit func(Result) error) error {
	if err := privateMounts(); err != nil {
		return fmt.Errorf("a place to mount filesystems: %w", err)
	}
	for _, b := range behaviours {
		r := b.perform(ctx, disks)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

// base is where filesystems are mounted. It is covered by a tmpfs in a mount
// namespace of the calling thread.
const base = "/mnt"

// privateMounts gives the calling thread a mount namespace of its own: what is
// mounted there is seen by nobody else and goes with the thread.
func privateMounts() error {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare the mount namespace: %w (needs root)", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, "mode=700,size=100%"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", base, err)
	}
	return nil
}

// perform runs the script, decides, and shows the remedy.
func (b *Behaviour) perform(ctx context.Context, disks Disks) Result {
	r := Result{About: b.About, Kernel: release()}
	run, err := play(ctx, b.script, disks)
	r.Run = run
	switch {
	case isUnsupported(err):
		r.Verdict, r.Reason = NotApplicable, err.Error()
	case err != nil:
		r.Err = err.Error()
		return r
	case slices.Equal(run.Printed, b.reproduced):
		r.Verdict = Reproduced
	case b.fixed != nil && slices.Equal(run.Printed, b.fixed):
		r.Verdict, r.AsFixed, r.Reason = NotReproduced, true, b.Fixed
	default:
		r.Verdict, r.Reason, r.Want = NotReproduced, "the kernel does something else", b.reproduced
	}
	if b.remedy == nil || r.Verdict == NotApplicable {
		return r
	}
	run, err = play(ctx, b.remedy, disks)
	r.Remedy = &Remedy{Run: run}
	switch {
	case isUnsupported(err):
		r.Remedy.Reason = err.Error()
	case err != nil:
		r.Verdict, r.Err = "", "the remedy: "+err.Error()
	case slices.Equal(run.Printed, b.remedied):
		r.Remedy.Shown = true
	default:
		r.Remedy.Want = b.remedied
	}
	return r
}

// play runs the lines of a script up to the first that fails, and undoes all
// they did.
func play(ctx context.Context, steps []step, disks Disks) (run Run, err error) {
	s := &stage{ctx: ctx, disks: disks, filesystems: map[string]*filesystem{}, channels: map[string]*channel{}}
	defer func() {
		if cerr := s.strike(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", cerr))
		}
	}()
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return run, err
		}
		s.step = Step{Script: st.text}
		err := st.command.run(s, st)
		run.Steps = append(run.Steps, s.step)
		run.Printed = append(run.Printed, s.step.Printed...)
		if err != nil && !isUnsupported(err) {
			err = fmt.Errorf("%s: %w", st.text, err)
		}
		if err != nil {
			return run, err
		}
	}
	return run, nil
}

// isUnsupported says that an error is about what the kernel or the machine
// lacks.
func isUnsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, flood.ErrNoInjector)
}

// unsupported is an error about what the kernel or the machine lacks.
type unsupported string

func (u unsupported) Error() string        { return string(u) }
func (u unsupported) Is(target error) bool { return target == errors.ErrUnsupported }
