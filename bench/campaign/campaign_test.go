// SPDX-License-Identifier: MIT

package campaign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/fserr"
	"wqfan/internal/need"
)

// options returns what a run on built kernels takes, with wqfan as the guest's
// init. An image that is named stands for all of them.
func options(t *testing.T, image string, sel scenario.Select) Options {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a guest")
	}
	plan, err := scenario.New(sel)
	if err != nil {
		t.Fatal(err)
	}
	kernels := map[scenario.Variant]Kernel{}
	for _, v := range plan.Kernels() {
		im, err := kernel.Find(t.Context(), kernel.Options{Variant: cmp.Or(image, string(v))})
		if err != nil {
			need.Missing(t, "needs the %s kernel: %v", v, err)
		}
		kernels[v] = Kernel{im.Path, result.Kernel{Variant: im.Variant, Base: im.Base, Series: im.Series, Config: im.Config, CC: im.CC}}
	}
	return Options{
		Plan: plan, Kernels: kernels, Name: "test", Mode: result.TCG, MemMiB: 512, Init: wqfan(t), Timeout: 5 * time.Minute,
		Dir: filepath.Join(t.TempDir(), "run"), Say: t.Logf,
	}
}

var built string

// wqfan builds the program once.
func wqfan(t *testing.T) string {
	t.Helper()
	if built == "" {
		built = filepath.Join(tmp, "wqfan")
		cmd := exec.Command("go", "build", "-o", built, "wqfan/cmd/wqfan")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	return built
}

var tmp string

func TestMain(m *testing.M) {
	var err error
	if tmp, err = os.MkdirTemp("", "wqfan-campaign-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(tmp)
	os.Exit(status)
}

// record runs o and loads what it left.
func record(t *testing.T, ctx context.Context, o Options) (*result.Run, error) {
	t.Helper()
	dir, runErr := Run(ctx, o)
	run, err := result.Load(dir)
	if err != nil {
		t.Fatalf("the record of the run: %v (the run: %v)", err, runErr)
	}
	return run, runErr
}

// The same flood: watch_queue, and fanotify in detail, keep exactly their queue's
// worth, less what other events have taken of it, and signal one loss, which the
// series' queue counts; fanotify keeps a record for each reporting worker, whose
// counts add up to all errors until its queue is full, and then too if it may.
func TestOverflow(t *testing.T) {
	for _, cpus := range []int{1, 2} {
		o := options(t, "", scenario.Select{Scenarios: []string{scenario.Overflow}, FS: []string{"ext4"}, CPUs: []int{cpus},
			Arms: []string{"fan", "fan-detail", "fan-honest", "wq-base", "wq-base-worker", "wq"}})
		for i := range o.Plan.Boots {
			o.Plan.Boots[i].Cells = slices.DeleteFunc(o.Plan.Boots[i].Cells, func(c scenario.Cell) bool { return c.Flood.Count > 10_000 })
		}
		run, err := record(t, t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !run.Complete || len(run.Cells) != o.Plan.Cells() {
			t.Errorf("complete %v, %d of %d cells", run.Complete, len(run.Cells), o.Plan.Cells())
		}
		for _, c := range run.Cells {
			t.Run(c.ID, func(t *testing.T) { checkOverflow(t, c) })
		}
	}
}

func checkOverflow(t *testing.T, c result.Cell) {
	n, r, a := c.Params.Errors, c.Reader, c.Account
	if a.Injected != n || a.Unexplained() != 0 || a.Silent != 0 {
		t.Errorf("account: %v", a)
	}
	var detailed, coalesced, lost uint64
	switch free := c.Params.Queue - c.Params.Filler; {
	case c.Arm != "fan" && c.Arm != "fan-honest":
		detailed = min(n, free)
		lost = n - detailed
	case free == 0:
		lost = n
	case free == 1 && c.Arm == "fan-honest":
		// The first worker has the place, and merges into it; a second one, which
		// a CPU may have, too, does not.
		detailed, coalesced, lost = 1, a.Coalesced, n-1-a.Coalesced
		if n > 1 && coalesced == 0 {
			t.Error("nothing was merged when the queue was full")
		}
	case free == 1 && n > 1 && c.Arm == "fan": // full as soon as the first error is in it
		detailed, lost = 1, n-1
	default:
		// One record for each worker that reported: how many those are is the
		// workqueue's affair.
		if detailed = a.Detailed; detailed != r.Workers || detailed < 1 {
			t.Errorf("%d records of %d errors by %d workers", detailed, n, r.Workers)
		}
		coalesced = n - detailed
	}
	if a.Detailed != detailed || a.Coalesced != coalesced || a.Signalled != lost {
		t.Errorf("account: %v, want detailed %d, coalesced %d, signalled %d", a, detailed, coalesced, lost)
	}
	switch {
	case lost == 0 && r.LossEvents != 0:
		t.Errorf("%d loss records for no loss", r.LossEvents)
	case lost > 0 && (r.LossEvents != 1 || r.LossExact != (c.Arm == "wq" || c.Arm == "fan-honest")):
		t.Errorf("%d loss records, exact %v: want one, counted by wq and fan-honest only", r.LossEvents, r.LossExact)
	case lost > 0 && r.LossExact && r.LossCount != lost:
		t.Errorf("the loss record counts %d of %d", r.LossCount, lost)
	case lost > 0 && c.Arm == "wq" && r.LossAfter != 0:
		t.Errorf("the loss was told after %d events, want it first", r.LossAfter)
	case lost > 0 && c.Arm != "wq" && uint64(r.LossAfter) != r.Records+r.Others:
		t.Errorf("the loss was told after %d events, want it last, after %d", r.LossAfter, r.Records+r.Others)
	}
}

// What the scenarios are there to show.
func TestFindings(t *testing.T) {
	o := options(t, "", scenario.Select{Kernels: []scenario.Variant{scenario.Patched}, CPUs: []int{1}, FS: []string{"ext4"},
		Scenarios: []string{"overflow", "chain", "filter", "scope", "reader", scenario.Decode, scenario.Loss},
		Cells: []string{"arm=fan/gap=flat", "arm=fan/gap=100us", "arm=wq/queue=16384/burst=1000000", "blob=400/reader=1ms", "arm=wq/keep=nothing", "keep=class", "keep=reserve",
			"files=16", "record=inode", "arm=wq/wait=ppoll", "arm=wq/wait=read", "arm=fan/wait=read", "arm=wq/stall=50ms"}})
	o.Mode = result.ICount
	run, err := record(t, t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p99 := func(c result.Cell) int64 {
		i := slices.IndexFunc(c.Hists, func(h result.Hist) bool { return h.Name == "intended-to-read" })
		if i < 0 {
			t.Fatalf("%s: no latency", c.ID)
		}
		return c.Hists[i].P99
	}
	checks := map[string]func(c result.Cell) bool{
		// A million errors, and the loss is counted to the last of them.
		"wq queue=16384 burst=1000000": func(c result.Cell) bool {
			return c.Account.Signalled == 1_000_000-16384 && c.Reader.LossExact && c.Reader.LossCount == c.Account.Signalled
		},
		// A reader that is behind finds broken chains, but not where they are posted whole.
		"wq blob=400 reader=1ms":         func(c result.Cell) bool { return c.Account.Signalled > 0 && c.Reader.Broken+c.Reader.Fragments == 0 },
		"wq-parts blob=400 reader=1ms":   func(c result.Cell) bool { return c.Account.Signalled > 0 && c.Reader.Broken > 0 },
		"fan-detail blob=400 reader=1ms": func(c result.Cell) bool { return c.Reader.Broken == 0 && c.Reader.Whole == c.Reader.Records },
		// A flood of one class pushes another out, unless it is kept out or places are kept.
		"wq keep=nothing": func(c result.Cell) bool { return c.Account.Lost() == 100 && c.Noise.Detailed == 512 },
		"wq keep=class":   func(c result.Cell) bool { return c.Account.Detailed == 100 && c.Noise.Filtered == c.Params.Noise },
		"wq keep=reserve": func(c result.Cell) bool {
			return c.Account.Detailed == 100 && c.Noise.Lost() == c.Params.Noise-(512-128)
		},
		// Nobody is told of a sixteenth of the errors: the account has no others.
		"wq files=16":         func(c result.Cell) bool { return c.Account.Detailed == 100 },
		"fan files=16":        func(c result.Cell) bool { return c.Account.Delivered() == 100 },
		"fan-detail files=16": func(c result.Cell) bool { return c.Account.Detailed == 100 },
		// How full the queue was is told of the fastest flood, although nothing is lost in it.
		"fan gap=flat": func(c result.Cell) bool {
			return c.Account.Lost() == 0 && c.Timeline != nil && slices.Max(c.Timeline.Reported) == c.Account.Injected
		},
		"fan gap=100us": func(c result.Cell) bool { return c.Account.Lost() == 0 && c.Timeline == nil },
		// The decoder in C is there, and decodes what was read.
		"wq record=inode":  decoded,
		"fan record=inode": decoded,
		// A reader that stood still for 50 ms is not left out of the latencies.
		// Where the whole guest stood still, the injector was as late as the reader.
		"wq wait=ppoll": func(c result.Cell) bool { return p99(c) < 5e6 || c.Flood.LateMax > 5e6 },
		"wq wait=read":  func(c result.Cell) bool { return p99(c) < 5e6 || c.Flood.LateMax > 5e6 },
		"fan wait=read": func(c result.Cell) bool { return p99(c) < 5e6 || c.Flood.LateMax > 5e6 },
		"wq stall=50ms": func(c result.Cell) bool { return p99(c) > 40e6 },
	}
	for _, c := range run.Cells {
		check := checks[c.Arm+" "+c.Point]
		delete(checks, c.Arm+" "+c.Point)
		if check == nil || !check(c) {
			t.Errorf("%s: %v, noise %v, reader %+v", c.ID, c.Account, c.Noise, c.Reader)
		}
	}
	for name := range checks {
		t.Errorf("%s was not measured", name)
	}
}

// decoded says that a record was decoded in Go and in C.
func decoded(c result.Cell) bool {
	var names []string
	for _, h := range c.Hists {
		if h.Min > 0 {
			names = append(names, h.Name)
		}
	}
	return slices.Equal(names, []string{"decode", "decode-C", "decode-bare-C"})
}

// What people have without the two roads closes its account too, and says less.
func TestBaselines(t *testing.T) {
	o := options(t, "", scenario.Select{CPUs: []int{1}, Arms: []string{"healthmon", "kmsg", "kmsg-all", "fan"}, Kernels: []scenario.Variant{scenario.Base},
		Scenarios: []string{scenario.Overflow, scenario.Latency, scenario.Loss, "baselines"},
		Cells:     []string{"baselines", "arm=healthmon", "arm=kmsg/burst=1000", "arm=kmsg-all/burst=1000", "arm=kmsg-all/burst=10000", "arm=kmsg/pace=10ms", "arm=kmsg-all/gap=10us"}})
	o.Mode = result.ICount
	run, err := record(t, t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]func(a fserr.Account, r result.Reader) bool{
		// The monitor counts what it loses, and would tell with the next error.
		"overflow healthmon burst=1000":  func(a fserr.Account, r result.Reader) bool { return a.Detailed == 512 && a.Silent == 488 },
		"latency healthmon pace=10ms":    func(a fserr.Account, r result.Reader) bool { return a.Detailed == 500 },
		"baselines healthmon burst=1000": func(a fserr.Account, r result.Reader) bool { return a.Detailed == 512 && a.Silent == 488 },
		// Ten lines in five seconds; of the rest the first line after that tells.
		"overflow kmsg burst=1000": func(a fserr.Account, r result.Reader) bool { return a.Detailed == 10 && a.Silent == 990 },
		"latency kmsg pace=10ms": func(a fserr.Account, r result.Reader) bool {
			return a.Detailed == 10*(1+r.LossEvents) && a.Signalled == r.LossCount && a.Silent > 0
		},
		// Lines that are overwritten are told by their numbers.
		"overflow kmsg-all burst=1000": func(a fserr.Account, r result.Reader) bool { return a.Detailed == 1000 },
		"overflow kmsg-all burst=10000": func(a fserr.Account, r result.Reader) bool {
			return a.Signalled > 0 && a.Signalled == r.LossCount && a.Silent == 0 && r.LossAfter == 0
		},
		// fanotify is told of the same errors.
		"baselines fan burst=1000":  func(a fserr.Account, r result.Reader) bool { return a.Delivered() == 1000 && a.Coalesced > 0 },
		"baselines kmsg burst=1000": func(a fserr.Account, r result.Reader) bool { return a.Detailed == 10 && a.Silent == 990 },
	}
	for _, c := range run.Cells {
		name := c.Scenario + " " + c.Arm + " " + c.Point
		if check := checks[name]; check != nil && !check(c.Account, c.Reader) || c.Account.Unexplained() != 0 || c.Account.Injected != c.Params.Errors {
			t.Errorf("%s: %v, reader %+v", c.ID, c.Account, c.Reader)
		}
		delete(checks, name)
	}
	for name := range checks {
		t.Errorf("%s was not measured", name)
	}
}

func TestCorruption(t *testing.T) {
	run, err := record(t, t.Context(), options(t, "", scenario.Select{Scenarios: []string{scenario.Corruption}, CPUs: []int{1}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range run.Cells {
		want := []string{"EFSBADCRC .* ino=", "EFSCORRUPTED .* ino="}
		if c.FS == "xfs" {
			want = []string{"EFSCORRUPTED ", "EIO .* ino="}
			if c.Variant == "patched" && c.Arm != "fan" { // the inode that cannot be read has no other name
				want[0] = `EFSCORRUPTED .* record=.*xfs: inode \d+ .*sick: inode`
			}
		}
		if len(c.Events) != len(want) {
			t.Errorf("%s: %q, want one event for each of %q", c.ID, c.Events, want)
			continue
		}
		for i, w := range want {
			if ok, err := regexp.MatchString(w, c.Events[i]); !ok || err != nil {
				t.Errorf("%s: %q is no %q: %v", c.ID, c.Events[i], w, err)
			}
		}
	}
}

// A kernel without the series is told from one with it in a line; its log needs
// no series, and is measured.
func TestStock(t *testing.T) {
	o := options(t, "stock", scenario.Select{Scenarios: []string{scenario.Latency}, FS: []string{"ext4"}, CPUs: []int{1}})
	run, err := record(t, t.Context(), o)
	if guest.ExitStatus(err) != guest.ExitFailed || run.Complete {
		t.Errorf("status %d, complete %v: %v", guest.ExitStatus(err), run.Complete, err)
	}
	if len(run.Cells) != o.Plan.Cells() {
		t.Fatalf("%d of %d cells", len(run.Cells), o.Plan.Cells())
	}
	for _, c := range run.Cells {
		if strings.HasPrefix(c.Arm, "kmsg") {
			if c.Err != "" {
				t.Errorf("%s: %s", c.ID, c.Err)
			}
			continue
		}
		if strings.Count(c.Err, "\n") > 0 || !strings.Contains(c.Err, "patch") {
			t.Errorf("%s: %q is not one line that names the patch", c.ID, c.Err)
		}
	}
}

// What was measured before an interruption stays, and says that it is not all.
func TestInterrupted(t *testing.T) {
	o := options(t, "", scenario.Select{Scenarios: []string{scenario.Overflow}, CPUs: []int{1, 2}, Boots: 2})
	o.Mode = "" // some guests run together
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Step = func(done, _ int, _, _ string) {
		if done == 5 {
			cancel()
		}
	}
	run, err := record(t, ctx, o)
	if guest.ExitStatus(err) != guest.ExitInterrupted || !errors.Is(err, guest.Interrupted) || strings.Count(err.Error(), "interrupted") != 1 {
		t.Errorf("status %d: %v", guest.ExitStatus(err), err)
	}
	if run.Complete || run.Reason != "interrupted" || len(run.Cells) < 5 || len(run.Boots) == len(o.Plan.Boots) {
		t.Errorf("complete %v (%s), %d cells, %d boots", run.Complete, run.Reason, len(run.Cells), len(run.Boots))
	}
}

// A guest that does not end in time loses only what it has not sent.
func TestTimeout(t *testing.T) {
	o := options(t, "", scenario.Select{Full: true, Scenarios: []string{scenario.Latency}, CPUs: []int{2}, FS: []string{"ext4"}})
	o.Timeout = 15 * time.Second
	run, err := record(t, t.Context(), o)
	if guest.ExitStatus(err) != guest.ExitHung {
		t.Errorf("status %d: %v", guest.ExitStatus(err), err)
	}
	if run.Complete || !strings.Contains(run.Reason, "hung") || run.Boots[0].Verdict == "ok" {
		t.Errorf("complete %v (%s), verdict %q", run.Complete, run.Reason, run.Boots[0].Verdict)
	}
}

// A record is never written over.
func TestTaken(t *testing.T) {
	o := Options{Dir: t.TempDir(), Mode: result.TCG}
	if err := os.WriteFile(filepath.Join(o.Dir, result.RunFile), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, os.ErrExist) || guest.ExitStatus(err) != guest.ExitRunner {
		t.Errorf("status %d: %v", guest.ExitStatus(err), err)
	}
}

// Runs that begin in one second have a record each.
func TestOneSecond(t *testing.T) {
	parent := t.TempDir()
	dirs := map[string]bool{}
	for range 3 {
		dir, err := Run(t.Context(), Options{Parent: parent, Name: "test", Mode: result.TCG, Command: []string{"run"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := result.Load(dir); err != nil {
			t.Error(err)
		}
		dirs[dir] = true
	}
	if len(dirs) != 3 {
		t.Errorf("three runs are recorded in %v", dirs)
	}
}

// Two boots of the same build with the same seed are one and the same where
// instructions are counted: every number of every cell of the quick matrix.
func TestBootsAgree(t *testing.T) {
	o := options(t, "", scenario.Select{Kernels: []scenario.Variant{scenario.Patched}, CPUs: []int{1}, Seed: 5})
	o.Mode = result.ICount
	var runs [2]*result.Run
	var boots sync.WaitGroup
	for i := range runs {
		one := o
		one.Dir += fmt.Sprint(i)
		boots.Go(func() {
			dir, err := Run(t.Context(), one)
			if err == nil {
				runs[i], err = result.Load(dir)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	boots.Wait()
	if t.Failed() {
		return
	}
	for i, c := range runs[0].Cells {
		if c.Scenario == scenario.Latency && len(c.Hists) < 3 {
			t.Errorf("%s: %d histograms", c.ID, len(c.Hists))
		}
		// What differs first is nearest to the cause.
		if d := gocmp.Diff(c, runs[1].Cells[i], cmpopts.IgnoreFields(result.Hist{}, "Data")); d != "" {
			t.Fatalf("cell %d, %s (-first boot +second):\n%s", i, c.ID, d)
		}
	}
}

// A flood that ends while its reader sleeps is read to its end all the same: the
// parts of a broken chain are given up only some time after the last of them.
func TestEndDuringSleep(t *testing.T) {
	o := options(t, "", scenario.Select{Kernels: []scenario.Variant{scenario.Patched}, Scenarios: []string{"chain"}, Arms: []string{"wq-parts"},
		CPUs: []int{1}, Cells: []string{"blob=4096/reader=1ms"}, Seed: 1})
	o.Mode = result.ICount
	r, err := record(t, t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 1 || r.Cells[0].Reader.Broken == 0 {
		t.Errorf("no cell with broken chains: %+v", r.Cells)
	}
}
