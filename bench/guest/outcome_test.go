// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("other"), 1},
		{&Error{Kind: Failed}, 1},
		{fmt.Errorf("cell 3: %w", IdentityBroken), 3},
		{&Error{Kind: Panicked}, 4},
		{&Error{Kind: Died}, 4},
		{&Error{Kind: Hung}, 5},
		{&Error{Kind: Flooded}, 5},
		{fmt.Errorf("boot 2: %w", &Error{Kind: RunnerFailed}), 6},
		{Kind(99), 6},
		{&Error{Kind: Interrupted, Err: context.Canceled}, 130},
	} {
		if got := ExitStatus(tt.err); got != tt.want {
			t.Errorf("ExitStatus(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestError(t *testing.T) {
	err := error(&Error{Kind: RunnerFailed, Msg: "serial log", Context: []string{"a", "b"}, Err: fs.ErrExist})
	if got, want := err.Error(), "runner failed: serial log: file already exists"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, RunnerFailed) || errors.Is(err, Hung) || !errors.Is(err, fs.ErrExist) {
		t.Error("errors.Is")
	}
	if got, want := err.(*Error).Detail(), "runner failed: serial log: file already exists\n\ta\n\tb"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
