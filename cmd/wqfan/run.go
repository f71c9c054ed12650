// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"wqfan/bench/campaign"
	"wqfan/bench/export"
	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/report"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
)

type selection struct {
	Variant  []string `help:"Kernels: stock, base, patched, see 'wqfan kernel build'; all where none is named." placeholder:"NAME"`
	Scenario []string `arg:"" optional:"" help:"Scenarios; all where none is named. 'wqfan scenarios' lists them."`
	Arm      []string `help:"Arms; all where none is named." placeholder:"NAME"`
	FS       []string `name:"fs" help:"Filesystems: ext4, xfs." placeholder:"NAME"`
	CPUs     []int    `name:"cpus" help:"Guests with so many CPUs; 1 and 2 where none is given." placeholder:"N"`
	Cell     []string `help:"Only cells with this between slashes of their name; 'wqfan scenarios --cells' lists them. May be given again." placeholder:"PART"`
	Full     bool     `help:"The whole matrix rather than the quick one."`
	Boots    int      `help:"Repetitions, each a boot of its own with another schedule and another order of the arms." default:"1"`
	Seed     uint64   `help:"Seed of the Poisson schedules and of the order of the arms." default:"1"`
}

func (s selection) plan() (scenario.Plan, error) {
	if s.Boots < 1 || s.Boots > maxBoots {
		return scenario.Plan{}, fmt.Errorf("--boots %d: from 1 to %d", s.Boots, maxBoots)
	}
	var kernels []scenario.Variant
	for _, v := range s.Variant {
		kernels = append(kernels, scenario.Variant(v))
	}
	return scenario.New(scenario.Select{Kernels: kernels, Scenarios: s.Scenario, Arms: s.Arm, FS: s.FS, CPUs: s.CPUs, Cells: s.Cell, Full: s.Full, Boots: s.Boots, Seed: s.Seed})
}

// guestFlags say what is measured in which guests.
type guestFlags struct {
	selection `embed:""`
	Mode      string        `help:"auto, kvm, tcg or icount. auto takes KVM where a kernel boots under it, else icount for one CPU and tcg for more." enum:"auto,kvm,tcg,icount" default:"auto"`
	ICount    bool          `name:"icount" help:"Short for --mode icount --cpus 1: guest time counts instructions."`
	Source    string        `help:"Kernel source, a directory or tarball; see 'wqfan kernel build --help'." env:"KSRC" placeholder:"PATH"`
	Mem       int           `help:"MiB of guest memory." default:"1024"`
	Append    []string      `help:"Further kernel argument; may be given again." sep:"none" placeholder:"ARG"`
	Timeout   time.Duration `help:"Bound on one boot." default:"30m"`
}

type runCmd struct {
	guestFlags `embed:""`
	Kernel     string `help:"Boot this bzImage instead of building the kernel that --variant names, patched where it names none." type:"existingfile" placeholder:"FILE"`
	Out        string `help:"Directory of the record; a new one below reports/local where empty." placeholder:"DIR"`
	Metrics    string `help:"Serve the metrics of what is measured so far at this address, below /metrics, while the run goes on." placeholder:":PORT"`
	Shard      string `help:"Only this part of the plan, from 1/N to N/N; 'wqfan merge' joins the records." placeholder:"I/N"`
	VNG        bool   `name:"print-vng" help:"Print the virtme-ng commands that build a kernel for this run and boot it in a like machine, and do nothing."`
	Resume     string `help:"Take over the finished boots of this record, of a run of the same plan that was interrupted." type:"existingdir" placeholder:"DIR"`
}

// check refuses what could only fail later, and settles what --icount means.
func (r *guestFlags) check() error {
	if r.ICount {
		if r.Mode != "auto" && r.Mode != string(result.ICount) {
			return fmt.Errorf("--icount and --mode %s: one of them", r.Mode)
		}
		r.Mode = string(result.ICount)
		if len(r.CPUs) == 0 {
			r.CPUs = []int{1}
		}
	}
	for _, n := range r.CPUs {
		switch {
		case n > maxCPUs:
			return fmt.Errorf("--cpus %d: a guest has at most %d", n, maxCPUs)
		case n != 1 && r.Mode == string(result.ICount):
			return fmt.Errorf("--cpus %d: guest time counts the instructions of one CPU, so an icount guest has no more", n)
		}
	}
	if r.Mode == string(result.ICount) && len(r.CPUs) == 0 {
		r.CPUs = []int{1}
	}
	if r.Mem < minMem {
		return fmt.Errorf("--mem %d: a guest needs at least %d MiB", r.Mem, minMem)
	}
	if r.Timeout <= 0 {
		return fmt.Errorf("--timeout %v: not a time that a boot can take", r.Timeout)
	}
	for _, a := range r.Append {
		if strings.ContainsFunc(a, unicode.IsControl) {
			return fmt.Errorf("--append %q: a control character", a)
		}
	}
	return nil
}

const (
	maxBoots = 1000 // of each number of CPUs: a record holds four times as many
	maxCPUs  = 64   // CONFIG_NR_CPUS of the guest's kernel
	minMem   = 128  // MiB: kernel, initramfs and what the scenarios hold
)

// oneKernel settles what --variant means where one kernel is given.
func (r *guestFlags) oneKernel(what string) error {
	if len(r.Variant) == 0 {
		r.Variant = []string{string(scenario.Patched)}
	}
	if len(r.Variant) > 1 {
		return fmt.Errorf("%s stands for one kernel, and --variant names %d", what, len(r.Variant))
	}
	return nil
}

// noSource refuses a source that would not be looked at. KSRC may be set.
func noSource(kernel, source string) error {
	if source != os.Getenv("KSRC") {
		return fmt.Errorf("--kernel %s and --source %s: nothing is built where a kernel is given", kernel, source)
	}
	return nil
}

// options checks the flags and makes the plan that they ask for.
func (r *guestFlags) options() (campaign.Options, error) {
	if err := r.check(); err != nil {
		return campaign.Options{}, err
	}
	plan, err := r.plan()
	if err != nil {
		return campaign.Options{}, err
	}
	if plan.Cells() == 0 {
		return campaign.Options{}, errors.New("nothing to run: the selection takes no cell of the matrix")
	}
	o := campaign.Options{
		Plan: plan, Kernels: map[scenario.Variant]campaign.Kernel{}, Mode: result.Mode(r.Mode), MemMiB: r.Mem, Append: r.Append,
		Command: os.Args[1:], Timeout: r.Timeout,
	}
	if r.Mode == "auto" {
		o.Mode = ""
	}
	return o, nil
}

func (r *runCmd) Run(ctx context.Context) error {
	began := time.Now()
	if r.Kernel != "" {
		if err := r.oneKernel("--kernel " + r.Kernel); err != nil {
			return usage(err)
		}
		if err := noSource(r.Kernel, r.Source); err != nil {
			return usage(err)
		}
	}
	o, err := r.options()
	if err != nil {
		return usage(err)
	}
	if r.VNG {
		return r.printVNG(o.Plan)
	}
	if r.Shard != "" {
		if o.Part, err = campaign.ParsePart(r.Shard); err != nil {
			return usage(err)
		}
		if n := len(o.Plan.Boots); o.Part.Of > n {
			return usage(fmt.Errorf("--shard %s: the plan has no more than %d boots", r.Shard, n))
		}
	}
	o.Resume, o.Dir, o.Parent = r.Resume, r.Out, "reports/local"
	variants := o.Plan.Kernels()
	if r.Kernel != "" {
		given := result.Kernel{Variant: "given"}
		if im, err := kernel.Describe(r.Kernel); err == nil {
			given = recordOf(im)
		}
		for _, v := range variants {
			o.Kernels[v], o.Name = campaign.Kernel{Image: r.Kernel, Record: given}, given.Variant
		}
	}
	// A kernel takes minutes to build: what is wrong with the rest is said first.
	if err := o.Check(ctx); errors.As(err, new(*campaign.PartsError)) {
		return usage(err)
	} else if err != nil {
		return err
	}
	show := newMeter(o.Part.Take(o.Plan).Cells())
	o.Say, o.Step = show.say, show.step
	if r.Metrics != "" {
		m := export.NewMetrics(&result.Run{Planned: o.Part.Take(o.Plan).Cells(), Started: time.Now()})
		at, stop, err := serveMetrics(ctx, r.Metrics, m)
		if err != nil {
			return usage(err)
		}
		defer stop()
		show.say("metrics at %s", at)
		o.Measured = func(b result.Boot, c result.Cell) {
			if err := m.Cell(b, &c); err != nil {
				show.say("%v", err)
			}
		}
	}
	if r.Kernel == "" {
		var names []string
		for _, v := range variants {
			names = append(names, string(v))
		}
		images, err := kernel.BuildAll(ctx, kernel.Options{Source: r.Source, Progress: kernel.NewProgress(os.Stderr)}, names...)
		if err != nil {
			return guest.OnHost(ctx, err)
		}
		for i, im := range images {
			o.Kernels[variants[i]] = campaign.Kernel{Image: im.Path, Record: recordOf(im)}
			o.Name = im.Release
		}
	}
	dir, runErr := campaign.Run(ctx, o)
	show.finish()
	err = ended(ctx, dir, runErr)
	if dir != "" {
		show.say("%v in all, with the kernels and the report", wall(time.Since(began).Seconds()))
	}
	return err
}

// ended finishes the run in dir, which may have failed. What an interrupted run
// has measured gets its report, too.
func ended(ctx context.Context, dir string, runErr error) error {
	if dir == "" {
		return runErr
	}
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	return errors.Join(runErr, finish(ctx, dir))
}

// printVNG prints what a user of virtme-ng types. The guests of a run have this
// program as their init, for times that nothing else disturbs: vng makes the
// kernel for them, and boots it where one can look around. WQFAN stands for a
// clone of the project.
func (r *runCmd) printVNG(plan scenario.Plan) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := append([]string{self}, slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return a == "--print-vng" })...)
	image := r.Kernel
	if image == "" {
		image = "."
		command = append(command, "--kernel", "arch/x86/boot/bzImage")
		fmt.Fprintln(stdout, "# in a kernel tree: git am $WQFAN/kernel-patches/*.patch")
		fmt.Fprintln(stdout, "vng --build --config $WQFAN/kernel-patches/config/guest.config --config $WQFAN/kernel-patches/config/series.config")
	}
	for i, word := range command {
		command[i] = quote(word)
	}
	fmt.Fprintln(stdout, strings.Join(command, " "))
	var cpus []int
	for _, b := range plan.Boots {
		cpus = append(cpus, b.CPUs)
	}
	slices.Sort(cpus)
	for _, n := range slices.Compact(cpus) {
		fmt.Fprintf(stdout, "vng --run %s --user root --cpus %d --memory %dM", quote(image), n, r.Mem)
		for _, a := range append([]string{"mitigations=off"}, r.Append...) {
			fmt.Fprintf(stdout, " --append %s", quote(a))
		}
		fmt.Fprintln(stdout)
	}
	return nil
}

// recordOf is what a record keeps of a kernel that was built.
func recordOf(im *kernel.Image) result.Kernel {
	return result.Kernel{Variant: im.Variant, Base: im.Base, Series: im.Series, Config: im.Config, CC: im.CC}
}

// finish writes the report of a run, whole or not, and says where it is.
func finish(ctx context.Context, dir string) error {
	if err := report.Write(ctx, dir); err != nil {
		if ctx.Err() != nil {
			return &guest.Error{Kind: guest.Interrupted, Msg: fmt.Sprintf("the record is whole: `wqfan report %s` reports on it", dir), Err: err}
		}
		return &guest.Error{Kind: guest.RunnerFailed, Msg: "report on " + dir, Err: err}
	}
	run, err := result.Load(dir)
	if err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Err: err}
	}
	lines := report.Summary(run)
	if run.WallSecs > 0 {
		lines = append(lines, fmt.Sprintf("measured in %v, %s at once", wall(run.WallSecs), guests(run.AtOnce)))
	}
	lines = append(lines, dir)
	if _, err := fmt.Fprintln(stdout, strings.Join(lines, "\n")); err != nil {
		return &guest.Error{Kind: guest.RunnerFailed, Msg: "say where the run is", Err: err}
	}
	return nil
}

// wall is a time of the host, as exactly as anyone wants it.
func wall(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}

func guests(n int) string {
	if n == 1 {
		return "1 guest"
	}
	return fmt.Sprintf("%d guests", n)
}

type reportCmd struct {
	Dir string `arg:"" help:"Directory of a run: it holds run.json." type:"existingdir"`
}

func (r *reportCmd) Run(ctx context.Context) error { return finish(ctx, r.Dir) }

type scenariosCmd struct {
	selection `embed:""`
	Cells     bool `help:"List every cell."`
}

func (s *scenariosCmd) Run() error {
	plan, err := s.plan()
	if err != nil {
		return usage(err)
	}
	if s.Cells {
		for _, b := range plan.Boots {
			for _, c := range b.Cells {
				fmt.Fprintln(stdout, c.ID())
			}
		}
		return nil
	}
	for _, sc := range scenario.All() {
		fmt.Fprintf(stdout, "%-12s %s\n", sc.Name, sc.About)
	}
	fmt.Fprintln(stdout)
	for _, a := range scenario.Arms() {
		fmt.Fprintf(stdout, "%-16s %s\n", a.Name, a.About)
	}
	fmt.Fprintf(stdout, "\n%d cells in %d boots; --cells lists them\n", plan.Cells(), len(plan.Boots))
	return nil
}

// meter shows how far a run is: a bar on a terminal, lines elsewhere.
type meter struct {
	bar  *progressbar.ProgressBar
	last map[string]string // boot → the arm that it is at
}

func newMeter(cells int) *meter {
	m := &meter{last: map[string]string{}}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		m.bar = progressbar.NewOptions(cells, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("cells"))
	}
	return m
}

func (m *meter) say(format string, args ...any) {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// step draws the bar, or says a line when another arm of a boot begins.
func (m *meter) step(done, all int, boot, cell string) {
	if m.bar != nil {
		_ = m.bar.Set(done)
		return
	}
	head := cell
	if i := strings.Index(cell, "/arm="); i >= 0 {
		if j := strings.IndexByte(cell[i+5:], '/'); j >= 0 {
			head = cell[:i+5+j]
		}
	}
	if head != m.last[boot] || done == all {
		fmt.Fprintf(os.Stderr, "%d/%d %s\n", done, all, cell)
		m.last[boot] = head
	}
}

func (m *meter) finish() {
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}
