// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/repro"
)

// reproCmd is `wqfan repro`.
type reproCmd struct {
	Name    []string `arg:"" help:"Behaviours, or all; 'list' lists them."`
	Verbose bool     `short:"v" help:"Tell what was sent, what the queue held and what was read."`
	JSON    bool     `name:"json" help:"Write each result as a line of JSON instead of KTAP."`
	Host    bool     `xor:"where" help:"On the running kernel, as root, as far as it goes."`
	Kernel  string   `xor:"where" type:"existingfile" placeholder:"FILE" help:"In a guest with this bzImage."`
	Initrd  string   `type:"existingfile" placeholder:"FILE" help:"The kernel's initrd, where it needs modules from there."`
	Variant string   `name:"kernel-variant" enum:"patched,base,stock,kunit" default:"patched" help:"In a guest with this kernel, built if it is not in the cache: patched, base, stock or kunit; see wqfan kernel build."`
	VNG     bool     `name:"print-vng" help:"Print the virtme-ng commands that do the same in a guest of vng, and do nothing."`
	Source  string   `help:"Kernel source, a directory or tarball; see 'wqfan kernel build --help'." env:"KSRC" placeholder:"PATH"`
}

// Run reproduces.
func (c *reproCmd) Run(ctx context.Context) error {
	if len(c.Name) == 1 && c.Name[0] == "list" {
		return c.list()
	}
	behaviours, err := repro.Select(c.Name)
	if err != nil {
		return usage(err)
	}
	if c.Initrd != "" && c.Kernel == "" {
		return usage(errors.New("--initrd is for the kernel that --kernel names"))
	}
	if c.Kernel != "" {
		if err := noSource(c.Kernel, c.Source); err != nil {
			return usage(err)
		}
	}
	if c.VNG {
		return c.printVNG()
	}
	if c.Kernel != "" {
		if err := guest.CheckKernel(c.Kernel); err != nil {
			return &guest.Error{Kind: guest.RunnerFailed, Err: err}
		}
	}
	failed, undone := 0, 0
	emit := c.writer(len(behaviours))
	count := func(r repro.Result) error {
		switch {
		case r.Err != "":
			undone++
		case !r.OK():
			failed++
		}
		return emit(r)
	}
	if c.Host {
		err = repro.OnHost(ctx, behaviours, count)
	} else {
		err = c.inGuest(ctx, behaviours, count)
	}
	if err != nil {
		return err
	}
	if undone > 0 {
		err = fmt.Errorf("%d of %d behaviours could not be tried to the end; their results say why", undone, len(behaviours))
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d behaviours came out as on no kernel that is known", failed, len(behaviours)))
	}
	return err
}

// writer returns what writes a result to standard output.
func (c *reproCmd) writer(n int) func(repro.Result) error {
	if c.JSON {
		enc := json.NewEncoder(stdout)
		return func(r repro.Result) error { return enc.Encode(r) }
	}
	return (&repro.KTAP{W: os.Stdout, Planned: n, Verbose: c.Verbose}).Result
}

func (c *reproCmd) inGuest(ctx context.Context, behaviours []repro.Behaviour, emit func(repro.Result) error) error {
	g := repro.Guest{Kernel: c.Kernel, Initrd: c.Initrd}
	if g.Kernel == "" {
		im, err := kernel.Build(ctx, kernel.Options{Source: c.Source, Variant: c.Variant, Progress: kernel.NewProgress(os.Stderr)})
		if err != nil {
			return guest.OnHost(ctx, err)
		}
		g.Kernel = im.Path
	}
	g.Mode, _ = guest.Detect(ctx, g.Kernel)
	return g.Perform(ctx, behaviours, emit)
}

// vngConfig is what the kernel of vng's own configuration lacks. The last two are
// of the series; on a kernel without it they do nothing.
var vngConfig = []string{
	"FANOTIFY", "WATCH_QUEUE", "KEYS", "KEY_NOTIFICATIONS", "EXT4_FS", "BLK_DEV_LOOP", "DEBUG_FS", "FS_ERROR_WATCH", "FS_ERROR_INJECT",
}

// printVNG prints what a user of virtme-ng types: its guests run this machine's
// root, so this very program runs there, on the guest's kernel. The kernels of
// wqfan kernel build do not boot there: they have no 9p and no overlayfs.
func (c *reproCmd) printVNG() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	image := "."
	if c.Kernel != "" {
		image = c.Kernel
	} else {
		fmt.Fprintln(stdout, "# in a kernel tree, with the series (git am kernel-patches/*.patch) or without")
		fmt.Fprint(stdout, "vng --build")
		for _, option := range vngConfig {
			fmt.Fprint(stdout, " --configitem CONFIG_", option, "=y")
		}
		fmt.Fprintln(stdout)
	}
	command := []string{quote(self), "repro", "--host"}
	if c.JSON {
		command = append(command, "--json")
	}
	if c.Verbose {
		command = append(command, "--verbose")
	}
	command = append(command, c.Name...)
	fmt.Fprintf(stdout, "vng --run %s --user root --cpus 2 --exec %s\n", quote(image), quote(strings.Join(command, " ")))
	return nil
}

// quote is a word as a POSIX shell takes it.
func quote(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("+,-./:=@_", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// list writes each behaviour with what it shows.
func (c *reproCmd) list() error {
	all, err := repro.All()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(stdout).Encode(all)
	}
	for _, b := range all {
		fmt.Fprintf(stdout, "%-26s %s\n", b.Name, b.Title)
		if c.Verbose {
			fmt.Fprintln(stdout, b.About)
		}
	}
	return nil
}
