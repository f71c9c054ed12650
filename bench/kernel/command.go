// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// command is one program that is run to its end, in a process group of its own.
type command struct {
	dir   string
	env   []string // on top of cleanEnv
	stdin io.Reader
	out   io.Writer // everything it says
	line  func(string)
}

// cleanEnv is what programs see of the environment: nothing that would change
// what make builds (MAKEFLAGS, ARCH, KCFLAGS, ...) or what git works on.
func cleanEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// run runs a program. When ctx ends, the whole group is killed: all that it
// writes is thrown away, so there is nothing to end in good order. run returns
// when none of it is left.
func (c command) run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(cleanEnv(), c.env...)
	cmd.Stdin = c.stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out io.Writer = io.Discard
	if c.out != nil {
		out = c.out
	}
	lines := &lineWriter{line: c.line}
	if c.line != nil {
		out = io.MultiWriter(out, lines)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	lines.flush()
	if err != nil { // also for want of room for what it said: others may still be at work
		endGroup(cmd.Process.Pid)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// output runs a program and returns what it says on stdout and stderr.
func (c command) output(ctx context.Context, argv ...string) (string, error) {
	var b bytes.Buffer
	c.out = &b
	err := c.run(ctx, argv...)
	return b.String(), err
}

// endGroup kills a process group and waits until it is empty. A zombie that
// nobody collects keeps its group, hence the bound.
func endGroup(pgid int) {
	for i := 0; i < 100; i++ {
		if err := syscall.Kill(-pgid, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lineWriter calls line for each line that is written to it.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}

var (
	// What compilers, assemblers, linkers and scripts say.
	errorLine = regexp.MustCompile(`(?i)(^|[\s:])((fatal )?error:|undefined reference to)`)
	// What make says when a command failed without a word.
	makeLine = regexp.MustCompile(`\*\*\* `)
)

// firstError finds the first error in a log: its line and three more. The last
// lines stand in when nothing looks like one.
func firstError(log string) []string {
	lines := strings.Split(strings.TrimRight(log, "\n"), "\n")
	for _, re := range []*regexp.Regexp{errorLine, makeLine} {
		for i, l := range lines {
			if re.MatchString(l) {
				return lines[i:min(i+4, len(lines))]
			}
		}
	}
	return lines[max(0, len(lines)-4):]
}
