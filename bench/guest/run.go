// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A kernel that panicked resets at once (panic=-1); one that does not is
	// killed after this long.
	panicGrace = 10 * time.Second
	// How long a guest may take from its final record to power off.
	shutdownGrace = 60 * time.Second
)

// ack is what the host answers to the final record.
const ack = "ok\n"

// Run boots the machine and runs the job in it. The error is nil when the
// handler returned nil and the guest powered off, else an [*Error]. The outcome
// holds what is known in either case. No process and no file but the serial log
// is left behind, also when ctx ends.
func Run(ctx context.Context, m Machine, j Job) (Outcome, error) {
	m = m.withDefaults()
	r := &run{m: m, job: j}
	if err := r.run(ctx); err != nil {
		return r.out, err
	}
	return r.out, nil
}

// run is one call of Run.
type run struct {
	m   Machine
	job Job
	out Outcome

	start    time.Time
	activity atomic.Int64 // time since start of the last output, ns
	alarm    atomic.Bool  // the console said that the kernel went wrong
	done     atomic.Bool  // the final record arrived

	serial    *serialLog
	final     *message
	lineErr   *lineError // first one
	lineErrs  int
	sinkErr   error // of OnRecord
	resultErr error // of the result socket
	serialErr error // of the serial log
}

func (r *run) run(ctx context.Context) error {
	if err := r.m.check(r.job); err != nil {
		return runnerFailed(err, "")
	}
	qemu, err := qemuBinary()
	if err != nil {
		return runnerFailed(err, "")
	}
	if r.m.Disks, err = absDisks(r.m.Disks); err != nil {
		return runnerFailed(err, "")
	}
	tmp, cleanup, err := TempDir()
	if err != nil {
		return runnerFailed(err, "")
	}
	defer cleanup()

	initrd := filepath.Join(tmp, "initramfs.cpio")
	if err := writeInitramfs(initrd, r.m, r.job); err != nil {
		return runnerFailed(hintSpace(err), "initramfs")
	}
	kernel, err := inflateKernel(r.m.Kernel, tmp)
	if err != nil {
		return runnerFailed(hintSpace(err), "")
	}
	var log io.Writer = io.Discard
	if r.m.SerialLog != "" {
		f, err := os.Create(r.m.SerialLog)
		if err != nil {
			return runnerFailed(err, "serial log")
		}
		defer f.Close()
		log = f
	}
	r.serial = newSerialLog(log, r.m.MaxSerial)
	r.out.QEMU = r.m.qemuArgs(kernel, initrd, filepath.Base)

	return r.boot(ctx, qemu, tmp, r.m.qemuArgs(kernel, initrd, func(s string) string { return s }))
}

// boot runs QEMU to its end and says what the boot came to.
func (r *run) boot(ctx context.Context, qemu, tmp string, args []string) error {
	console, consoleQEMU, err := consolePipe()
	if err != nil {
		return runnerFailed(err, "")
	}
	defer console.Close()
	defer consoleQEMU.Close()
	results, resultsQEMU, err := resultsSocket()
	if err != nil {
		return runnerFailed(err, "")
	}
	defer results.Close()
	defer resultsQEMU.Close()

	// Not CommandContext: the context's end is one of several reasons to kill.
	cmd := exec.Command(qemu, args...)
	cmd.ExtraFiles = []*os.File{fdConsole - 3: consoleQEMU, fdResults - 3: resultsQEMU}
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp) // the disks' snapshots
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 2 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &limitedWriter{w: &stderr, n: 64 << 10}

	r.start = time.Now()
	exited, err := startLocked(cmd)
	if err != nil {
		return runnerFailed(err, "start QEMU")
	}
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	consoleQEMU.Close() // so that QEMU's end is the end of the stream
	resultsQEMU.Close()

	failed := make(chan struct{}, 2) // a reader cannot go on
	var readers sync.WaitGroup
	readers.Go(func() {
		if r.serialErr = r.readConsole(console); r.serialErr != nil {
			failed <- struct{}{}
		}
	})
	readers.Go(func() {
		r.readResults(results)
		if r.sinkErr != nil || r.resultErr != nil {
			failed <- struct{}{}
		}
	})
	hung, exitErr := r.watch(ctx, results, exited, failed, kill)
	readers.Wait()
	r.serial.flush()
	r.out.Wall = time.Since(r.start)
	r.out.Warnings = r.serial.warnings
	return r.verdict(ctx, hung, exitErr, stderr.String())
}

// watch waits for QEMU's end, and kills it when the guest has to end before.
// It returns why it had to because of the time, and how QEMU ended. It goes on
// to answer the final record while the guest is there.
func (r *run) watch(ctx context.Context, results io.Writer, exited <-chan error, failed <-chan struct{}, kill func()) (hung string, exitErr error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var alarmAt, doneAt, answeredAt time.Duration
	for {
		select {
		case err := <-exited:
			return "", err
		case <-ctx.Done():
			kill()
			return "", <-exited
		case <-failed:
			kill()
			return "", <-exited
		case <-tick.C:
		}
		now := time.Since(r.start)
		if alarmAt == 0 && r.alarm.Load() {
			alarmAt = now
		}
		if doneAt == 0 && r.done.Load() {
			doneAt, answeredAt = now, now
		}
		if doneAt != 0 && now-answeredAt > time.Second {
			// Once is not enough: with two CPUs under TCG one guest in a hundred
			// waits on, although QEMU has put the answer into its queue.
			_, _ = io.WriteString(results, ack)
			answeredAt = now
		}
		silent := now - time.Duration(r.activity.Load())
		switch {
		case alarmAt != 0:
			if now-alarmAt > panicGrace {
				kill()
				return "", <-exited
			}
		case doneAt != 0:
			if now-doneAt > shutdownGrace {
				hung = fmt.Sprintf("no power off %v after the final record", shutdownGrace)
			}
		case now > r.m.Timeout:
			hung = fmt.Sprintf("not done after %v", r.m.Timeout)
		case silent > r.m.Stall:
			hung = fmt.Sprintf("neither console output nor results for %v", r.m.Stall)
		}
		if hung != "" {
			kill()
			return hung, <-exited
		}
	}
}

// verdict says what the boot came to, the worst first.
func (r *run) verdict(ctx context.Context, hung string, exitErr error, stderr string) error {
	f := r.final
	switch {
	case r.sinkErr != nil:
		return runnerFailed(r.sinkErr, "take record %d", r.out.Records)
	case errors.Is(r.serialErr, errFlooded):
		return &Error{Kind: Flooded, Msg: fmt.Sprintf("more than %d bytes: guest killed", r.m.MaxSerial), Context: r.serial.tail}
	case r.serialErr != nil:
		return runnerFailed(r.serialErr, "serial log")
	case ctx.Err() != nil && (f == nil || exitErr != nil):
		return &Error{Kind: Interrupted, Msg: fmt.Sprintf("%d records arrived", r.out.Records), Err: context.Cause(ctx)}
	case r.serial.alarm != "":
		return &Error{Kind: Panicked, Msg: r.serial.alarm, Context: r.serial.ctx}
	case hung != "":
		return &Error{Kind: Hung, Msg: hung + r.silence(exitErr), Context: r.serial.tail}
	case f == nil && exitErr != nil && lastLines(stderr) != "":
		return runnerFailed(exitErr, "QEMU ended%s", lastLines(stderr))
	case f == nil && exitErr != nil:
		return runnerFailed(exitErr, "QEMU ended%s", r.silence(exitErr))
	case f == nil && r.lineErr != nil:
		return &Error{Kind: Died, Msg: "it ended without a final record", Context: r.serial.tail, Err: r.lineErr}
	case f == nil:
		return &Error{Kind: Died, Msg: "it ended without a final record" + r.silence(exitErr), Context: r.serial.tail}
	case !f.OK:
		e := &Error{Kind: Failed, Msg: f.Text}
		switch f.Cause {
		case causeIdentity:
			e.Kind = IdentityBroken
		case causeSetup:
			e.Kind = RunnerFailed
		}
		if f.Stack != "" {
			e.Context = strings.Split(strings.TrimSpace(f.Stack), "\n")
		}
		return e
	case r.resultErr != nil:
		return runnerFailed(r.resultErr, "result stream")
	case r.lineErr != nil:
		return runnerFailed(r.lineErr, "%d lines of the result stream are lost; the first", r.lineErrs)
	case exitErr != nil:
		return runnerFailed(exitErr, "QEMU ended badly after the final record%s", lastLines(stderr))
	}
	return nil
}

// silence says what it means when nothing at all came from the guest, and how
// QEMU ended.
func (r *run) silence(exitErr error) string {
	if r.serial.size > 0 || r.out.Boot > 0 {
		return ""
	}
	status := "exit status 0"
	if exitErr != nil {
		status = exitErr.Error()
	}
	return fmt.Sprintf(": the kernel said nothing: too little memory (%d MiB), or the kernel or QEMU is wrong (QEMU: %s)", r.m.MemMiB, status)
}

func (r *run) active() { r.activity.Store(int64(time.Since(r.start))) }

func (r *run) readConsole(f *os.File) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			r.active()
			if _, err := r.serial.Write(buf[:n]); err != nil {
				return err
			}
			if r.serial.alarm != "" {
				r.alarm.Store(true)
			}
		}
		if ended(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ended says whether err is how a stream of a QEMU that is gone ends.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

func (r *run) readResults(f *os.File) {
	d := newDecoder(activeReader{f, r.active}, MaxLine)
	for {
		m, err := d.next()
		var le *lineError
		switch {
		case errors.As(err, &le):
			r.badLine(le)
			continue
		case ended(err):
			return
		case err != nil:
			r.resultErr = err
			return
		case r.final != nil:
			r.badLine(d.bad([]byte(m.Type), "message after the final record"))
			continue
		}
		switch m.Type {
		case msgHello:
			r.hello(m, d)
		case msgRecord:
			r.out.Records++
			if r.job.OnRecord != nil {
				if r.sinkErr = r.job.OnRecord(m.Data); r.sinkErr != nil {
					return
				}
			}
		case msgProgress:
			if r.job.OnProgress != nil {
				r.job.OnProgress(m.Text)
			}
		case msgFinal:
			r.final = &m
			r.done.Store(true)
			// A guest that is gone already needs no answer.
			_, _ = f.WriteString(ack)
		}
	}
}

func (r *run) hello(m message, d *decoder) {
	r.out.Boot = time.Since(r.start)
	if err := unmarshal(m.Data, &r.out.Hello); err != nil {
		r.badLine(d.bad(m.Data, err.Error()))
	}
}

func (r *run) badLine(e *lineError) {
	if r.lineErr == nil {
		r.lineErr = e
	}
	r.lineErrs++
}

// activeReader tells of every read that returned data.
type activeReader struct {
	io.Reader
	active func()
}

func (a activeReader) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.active()
	}
	return n, err
}

// absDisks makes the paths of the images absolute: what QEMU makes of others
// depends on its version, and on colons in them.
func absDisks(disks []Disk) ([]Disk, error) {
	disks = slices.Clone(disks)
	for i := range disks {
		var err error
		if disks[i].Image, err = filepath.Abs(disks[i].Image); err != nil {
			return nil, fmt.Errorf("disk image: %w", err)
		}
	}
	return disks, nil
}

// startLocked starts cmd and waits for it on a thread that outlives it:
// Pdeathsig goes off when the thread that started the child ends.
func startLocked(cmd *exec.Cmd) (<-chan error, error) {
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
	}()
	return exited, <-started
}

// consoleRoom is how much of the console fits between QEMU and a host that is
// too busy to read; it is what an unprivileged process may ask for.
const consoleRoom = 1 << 20

// resultsRoom is how much of the results does, in bytes.
const resultsRoom = 4 << 20

// consolePipe makes our end, which the poller serves, and QEMU's.
func consolePipe() (ours, theirs *os.File, err error) {
	ours, theirs, err = os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("pipe for the guest's console: %w", err)
	}
	// With less, which is what remains when the user has many pipes, it works too.
	_, _ = unix.FcntlInt(theirs.Fd(), unix.F_SETPIPE_SZ, consoleRoom)
	return ours, theirs, nil
}

// resultsSocket makes a connected pair: our end, which the poller serves, and
// QEMU's.
func resultsSocket() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for the guest's results: %w", os.NewSyscallError("socketpair", err))
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	// Room for a large record, so that the guest need not wait for us: as much as
	// may be had.
	if unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, resultsRoom) != nil {
		_ = unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, resultsRoom)
	}
	return os.NewFile(uintptr(fds[0]), "results"), os.NewFile(uintptr(fds[1]), "results"), nil
}

// limitedWriter keeps the first n bytes and takes the rest for nothing.
type limitedWriter struct {
	w io.Writer
	n int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	keep := p[:min(l.n, len(p))]
	l.n -= len(keep)
	if _, err := l.w.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lastLines makes the end of what QEMU said fit into an error.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if s := strings.Join(lines[max(0, len(lines)-3):], "; "); s != "" {
		return ": " + s
	}
	return ""
}

// hintSpace adds what to do when a file did not fit.
func hintSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: make room, or set TMPDIR to a folder that has some", err)
	}
	return err
}
