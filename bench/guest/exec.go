// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// HandlerExec is the built-in handler that runs a program of the initramfs: its
// payload is an [Exec], its records are [ExecOutput], and it fails when the
// program does.
const HandlerExec = "exec"

// Exec is a program to run in the guest.
type Exec struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"` // KEY=value, added to the handler's
	Dir  string   `json:"dir,omitempty"` // made if it is missing
}

// ExecOutput is a piece of what the program wrote: whole lines, but for very
// long ones and the last.
type ExecOutput struct {
	Stream string `json:"stream"` // stdout or stderr
	Text   string `json:"text"`
}

func handleExec(ctx context.Context, payload json.RawMessage, out *Output) error {
	var e Exec
	if err := unmarshal(payload, &e); err != nil {
		return err
	}
	if len(e.Argv) == 0 {
		return errors.New("exec: no program given")
	}
	if e.Dir != "" {
		if err := os.MkdirAll(e.Dir, 0o755); err != nil {
			return fmt.Errorf("exec %s: %w", e.Argv[0], err)
		}
	}
	stdout, stderr := lineWriter{out: out, stream: "stdout"}, lineWriter{out: out, stream: "stderr"}
	cmd := exec.CommandContext(ctx, e.Argv[0], e.Argv[1:]...)
	cmd.Env = append(os.Environ(), e.Env...)
	cmd.Dir = e.Dir
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A child that the program left behind may hold its output open.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("exec %s: %w", strings.Join(e.Argv, " "), err)
	}
	return errors.Join(err, stdout.flush(), stderr.flush())
}

// lineWriter sends what is written to it, in whole lines where it can.
type lineWriter struct {
	out    *Output
	stream string
	buf    []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	end := bytes.LastIndexByte(l.buf, '\n') + 1
	if end == 0 && len(l.buf) > 64<<10 {
		end = len(l.buf)
	}
	if err := l.send(end); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *lineWriter) flush() error { return l.send(len(l.buf)) }

func (l *lineWriter) send(n int) error {
	if n == 0 {
		return nil
	}
	err := l.out.Record(ExecOutput{Stream: l.stream, Text: string(l.buf[:n])})
	l.buf = append(l.buf[:0], l.buf[n:]...)
	return err
}
