// SPDX-License-Identifier: MIT

// Package campaign carries out a plan on the host: it makes the disks, boots
// one guest for each boot of the plan, and records what they send. What was
// measured before an interruption or a failure stays in the record.
package campaign

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench"
	"wqfan/bench/guest"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

// Handler is the name under which the guest's init knows the driver.
const Handler = "bench"

// Kernel is an image to boot.
type Kernel struct {
	Image  string        // bzImage
	Record result.Kernel // what is known of it; the guest adds release and command line
}

// Options say how a plan is carried out.
type Options struct {
	Plan    scenario.Plan
	Kernels map[scenario.Variant]Kernel // one for each that the plan boots
	Mode    result.Mode                 // "" takes KVM where it boots, else icount for one CPU and TCG for more
	MemMiB  int
	Append  []string // further kernel arguments
	Init    string   // static program with Handler, the guest's init; "" is this one
	Dir     string   // where the record lands; "" is Parent/<time>-<Name>
	Parent  string
	Name    string // of the run: its kernel
	Command []string
	Timeout time.Duration
	Part    Part   // of the plan; the zero value is all of it
	Resume  string // directory of a record of the same plan that was interrupted: what it has of finished boots is taken over

	// Say is told what goes on, one line at a time; Step that done of all cells
	// are measured. No two of the calls overlap.
	Say  func(format string, args ...any)
	Step func(done, all int, boot, cell string)
	// Measured is given each cell as it comes, its histograms still encoded.
	Measured func(result.Boot, result.Cell)
}

// Run carries out the plan and returns the directory of its record, which is
// valid and readable also when the error is not nil; it is "" when there is no
// record of this run. The error of a guest that did not end well is a
// *guest.Error; of several the gravest comes first.
func Run(ctx context.Context, o Options) (dir string, err error) {
	header, done, err := o.prepare(ctx)
	if err != nil {
		return "", err
	}
	kvm := o.detect(ctx, header)
	dir = cmp.Or(o.Dir, filepath.Join(o.Parent, header.Started.Format("20060102-150405")+"-"+o.Name))
	w, err := result.Create(dir, header)
	for n := 2; o.Dir == "" && errors.Is(err, fs.ErrExist); n++ {
		// Another run began in this second.
		next := fmt.Sprintf("%s-%d", dir, n)
		if w, err = result.Create(next, header); err == nil {
			dir = next
		}
	}
	if err != nil {
		return "", &guest.Error{Kind: guest.RunnerFailed, Err: err}
	}
	c := &campaign{Options: o, dir: dir, w: w, kvm: kvm, before: done, planned: header.Planned}
	began := time.Now()
	err = c.run(ctx)
	switch took := time.Since(began); {
	case done == nil:
		w.Took(took, c.atOnce)
	case done.WallSecs > 0: // what was taken over has taken its time
		w.Took(took+time.Duration(done.WallSecs*float64(time.Second)), max(c.atOnce, done.AtOnce))
	}
	reason := ""
	if err != nil {
		reason, _, _ = strings.Cut(err.Error(), "\n")
	}
	if errors.Is(err, guest.Interrupted) {
		reason = "interrupted"
	}
	return dir, errors.Join(err, w.Finish(err == nil, reason))
}

func (c *campaign) run(ctx context.Context) error {
	tmp, cleanup, err := guest.TempDir()
	if err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Msg: "make a folder for the disks, see TMPDIR", Err: err}
	}
	defer cleanup()
	c.tmp = tmp

	var together, alone []scenario.Boot
	for _, b := range c.Part.Take(c.Plan).Boots {
		if taken, err := c.takeOver(b); err != nil {
			return &guest.Error{Kind: guest.RunnerFailed, Err: err}
		} else if taken {
			continue
		}
		if c.mode(b.CPUs) == result.ICount {
			together = append(together, b)
		} else {
			alone = append(alone, b)
		}
	}
	errs := c.boots(ctx, together, min(runtime.NumCPU(), maxTogether))
	errs = append(errs, c.boots(ctx, alone, 1)...)
	if ctx.Err() != nil && c.done < c.planned {
		// Each guest says that it was interrupted.
		errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, guest.Interrupted) })
		errs = append(errs, &guest.Error{Kind: guest.Interrupted, Msg: fmt.Sprintf("%d of %d cells are measured", c.done, c.planned), Err: context.Cause(ctx)})
	}
	// An interruption says most about the record, then what is worse than a
	// cell that failed.
	slices.SortStableFunc(errs, func(a, b error) int { return guest.ExitStatus(b) - guest.ExitStatus(a) })
	return errors.Join(errs...)
}

// maxTogether bounds the memory of the guests that run at once.
const maxTogether = 4

// boots runs the guests in their order, so many at once. A guest that counts its
// instructions does not notice others; one whose time is the host's would.
func (c *campaign) boots(ctx context.Context, boots []scenario.Boot, atOnce int) (errs []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	c.atOnce = max(c.atOnce, min(atOnce, len(boots)))
	free := make(chan struct{}, atOnce)
	for _, b := range boots {
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-free }()
			if err := c.boot(ctx, b); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errs
}

// campaign is a plan on its way.
type campaign struct {
	Options
	dir, tmp string
	w        *result.Writer
	kvm      bool
	before   *result.Run // what is resumed, or nil
	planned  int
	atOnce   int // guests that ran together

	disksMu sync.Mutex
	disks   map[string]string // serial → image

	mu   sync.Mutex // what is told, in order
	done int
}

func (c *campaign) mode(cpus int) result.Mode {
	switch {
	case c.Mode != "":
		return c.Mode
	case c.kvm:
		return result.KVM
	case cpus == 1:
		return result.ICount
	}
	return result.TCG
}

// boot runs one guest and records its cells. A cell that the guest could not
// measure because it died is left out: the run is then not complete.
func (c *campaign) boot(ctx context.Context, b scenario.Boot) error {
	mode := c.mode(b.CPUs)
	serial := b.ID + ".serial.log"
	m := guest.Machine{
		Kernel: c.Kernels[b.Kernel].Image, Mode: mode, CPUs: b.CPUs, MemMiB: c.MemMiB, Append: c.Append, Init: c.Init, Timeout: c.Timeout,
		SerialLog: filepath.Join(c.dir, serial),
	}
	task := bench.Task{Mode: mode, Boot: b, Mounts: map[string]string{}}
	job := guest.Job{Handler: Handler}
	if err := c.attach(ctx, &m, &job, &task); err != nil {
		return guest.OnHost(ctx, err)
	}
	payload, err := json.Marshal(task)
	if err != nil {
		return err
	}
	job.Payload = payload

	rec := result.Boot{ID: b.ID, Mode: mode, CPUs: b.CPUs, MemMiB: c.MemMiB, Kernel: c.Kernels[b.Kernel].Record, Serial: serial, Verdict: "still running"}
	if err := c.w.Boot(rec); err != nil {
		return guest.OnHost(ctx, err)
	}
	job.OnRecord = func(data json.RawMessage) error {
		var r bench.Record
		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("a record from the guest: %w", err)
		}
		if r.Clock != nil {
			rec.Clock = *r.Clock
		}
		if r.Env != nil {
			rec.Guest = *r.Env
		}
		if r.Cell == nil {
			return nil
		}
		r.Cell.Boot = b.ID
		c.mu.Lock()
		defer c.mu.Unlock()
		c.done++
		if c.Step != nil {
			c.Step(c.done, c.planned, b.ID, r.Cell.ID)
		}
		if c.Measured != nil {
			c.Measured(rec, *r.Cell)
		}
		return c.w.Cell(*r.Cell)
	}
	c.say("%s: kernel %s, %s, %s, %d cells", b.ID, b.Kernel, modeInWords(mode), plural(b.CPUs, "CPU"), len(b.Cells))
	before := bench.Environment()
	out, err := guest.Run(ctx, m, job)
	rec.Host = bench.Environment()
	rec.Host.Steal = math.Round(100*(rec.Host.Steal-before.Steal)) / 100
	rec.QEMU, rec.WallSecs = out.QEMU, out.Wall.Round(time.Millisecond).Seconds()
	rec.Kernel.Release, rec.Kernel.Cmdline = out.Hello.Release, out.Hello.Cmdline
	rec.Verdict = "ok"
	if err != nil {
		rec.Verdict, _, _ = strings.Cut(err.Error(), "\n")
	}
	for _, warning := range out.Warnings {
		c.say("%s: the kernel warns: %s", b.ID, warning)
	}
	if werr := c.w.Boot(rec); werr != nil {
		err = errors.Join(err, guest.OnHost(ctx, werr))
	}
	return err
}

func (c *campaign) say(format string, args ...any) {
	if c.Say != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.Say(format, args...)
	}
}

// Check refuses what Run would refuse before it makes anything: a record that is
// no other part of this run, a directory that is taken, a file that is no kernel.
// Kernels that are still to be built may be missing.
func (o Options) Check(ctx context.Context) error {
	_, _, err := o.prepare(ctx)
	return err
}

// prepare starts the record, and loads the one that is resumed.
func (o Options) prepare(ctx context.Context) (header, before *result.Run, err error) {
	for _, k := range o.Kernels {
		if err := guest.CheckKernel(k.Image); err != nil {
			return nil, nil, guest.OnHost(ctx, err)
		}
	}
	header = describe(ctx, o)
	if header.Plan, err = planHash(o); err != nil {
		return nil, nil, guest.OnHost(ctx, fmt.Errorf("name the plan: %w", err))
	}
	if before, err = o.finished(header); err != nil {
		return nil, nil, guest.OnHost(ctx, fmt.Errorf("resume %s: %w", o.Resume, err))
	}
	if o.Dir != "" {
		if err := result.Vacant(o.Dir); err != nil {
			return nil, nil, guest.OnHost(ctx, err)
		}
	}
	return header, before, nil
}

// detect says whether KVM is used where the mode is left open, and records why.
func (o Options) detect(ctx context.Context, header *result.Run) bool {
	if o.Mode != "" && o.Mode != result.KVM {
		return false
	}
	for _, k := range o.Kernels { // any one tells
		mode, why := guest.Detect(ctx, k.Image)
		header.Host.KVM = why
		return mode == result.KVM
	}
	return false
}

// describe starts the record: what is asked for, and of which machine.
func describe(ctx context.Context, o Options) *result.Run {
	qemu, err := guest.QEMUVersion(ctx)
	if err != nil {
		qemu = err.Error()
	}
	return &result.Run{
		Started: time.Now().UTC().Truncate(time.Second),
		Command: without(o.Command, "--out", "--resume"), // measures the same anywhere
		Shard:   o.Part.String(),
		Planned: o.Part.Take(o.Plan).Cells(),
		Host: result.Host{
			Kernel: hostRelease(), CPU: cpuModel(), CPUs: runtime.NumCPU(), Go: runtime.Version(),
			QEMU: qemu, Revision: revision(), KVM: "not asked for",
		},
	}
}

func hostRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// revision is the git revision that the binary was built from.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	get := func(key string) string {
		i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == key })
		if i < 0 {
			return ""
		}
		return info.Settings[i].Value
	}
	rev := get("vcs.revision")
	if get("vcs.modified") == "true" {
		rev += "+dirty"
	}
	return rev
}

func modeInWords(m result.Mode) string {
	switch m {
	case result.ICount:
		return "QEMU counting instructions (icount)"
	case result.TCG:
		return "QEMU without KVM (tcg): loss semantics and ratios only"
	}
	return "KVM"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
