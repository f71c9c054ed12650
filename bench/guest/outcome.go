// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exit statuses of a program that ends with the result of [Run].
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitIdentity    = 3
	ExitPanicked    = 4
	ExitHung        = 5
	ExitRunner      = 6
	ExitInterrupted = 130
)

// Kind is what ended a boot that did not end well. A Kind is an error itself:
// errors.Is(err, guest.Panicked) asks for it, and a handler wraps one
// ([IdentityBroken]) to say that its error is of that kind.
type Kind int

// The kinds of [Error].
const (
	Failed         Kind = iota + 1 // the handler failed, crashed or was killed
	IdentityBroken                 // the accounting identity does not close
	Panicked                       // kernel panic, oops, BUG or sanitizer report
	Died                           // the guest ended without a final record
	Hung                           // no output within Stall, or not done within Timeout
	Flooded                        // more console output than MaxSerial
	RunnerFailed                   // QEMU, the kernel image, a disk, the host
	Interrupted                    // the context ended
)

var kinds = [...]struct {
	name string
	exit int
}{
	Failed:         {"test failed", ExitFailed},
	IdentityBroken: {"accounting identity broken", ExitIdentity},
	Panicked:       {"guest panicked", ExitPanicked},
	Died:           {"guest died", ExitPanicked},
	Hung:           {"guest hung", ExitHung},
	Flooded:        {"guest flooded the console", ExitHung},
	RunnerFailed:   {"runner failed", ExitRunner},
	Interrupted:    {"interrupted", ExitInterrupted},
}

// Error names the kind in words.
func (k Kind) Error() string {
	if k <= 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("guest.Kind(%d)", int(k))
	}
	return kinds[k].name
}

// ExitStatus is the exit status that stands for this kind.
func (k Kind) ExitStatus() int {
	if k <= 0 || int(k) >= len(kinds) {
		return ExitRunner
	}
	return kinds[k].exit
}

// Error is why a boot did not end well.
type Error struct {
	Kind    Kind
	Msg     string   // what happened, one line
	Context []string // lines of the serial log around it, or the handler's stack
	Err     error    // what it wraps, may be nil
}

// Error is the kind and what happened, on one line; [Error.Context] is not part
// of it.
func (e *Error) Error() string {
	s := e.Kind.Error()
	if e.Msg != "" {
		s += ": " + e.Msg
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Is says whether target is this error's [Kind].
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Detail is the error and its context, on as many lines as it takes.
func (e *Error) Detail() string {
	if len(e.Context) == 0 {
		return e.Error()
	}
	return e.Error() + "\n\t" + strings.Join(e.Context, "\n\t")
}

// ExitStatus maps the result of [Run] to an exit status: 0 for nil, that of the
// kind for an [*Error], [ExitFailed] for any other error.
func ExitStatus(err error) int {
	if err == nil {
		return ExitOK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind.ExitStatus()
	}
	var k Kind
	if errors.As(err, &k) {
		return k.ExitStatus()
	}
	return ExitFailed
}

func runnerFailed(err error, format string, args ...any) *Error {
	return &Error{Kind: RunnerFailed, Msg: fmt.Sprintf(format, args...), Err: err}
}

// OnHost is the error of what went wrong on the host, outside a boot: that of an
// interruption once ctx has ended, whatever it made fail, and the runner's before.
func OnHost(ctx context.Context, err error) *Error {
	kind := RunnerFailed
	if ctx.Err() != nil {
		kind = Interrupted
	}
	return &Error{Kind: kind, Err: err}
}
