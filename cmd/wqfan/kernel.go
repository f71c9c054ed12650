// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"wqfan/bench/guest"
	"wqfan/bench/kernel"
)

// kernelCmd is `wqfan kernel`.
type kernelCmd struct {
	Build kernelBuildCmd `cmd:"" help:"Build a kernel and print the path of its bzImage. A kernel in the cache is not built again."`
	List  kernelListCmd  `cmd:"" help:"List the kernels in the cache."`
	Path  kernelPathCmd  `cmd:"" help:"Print the path of a built kernel's bzImage, and fail when it is not in the cache."`
	Check kernelCheckCmd `cmd:"" help:"Say patch by patch how the series fares on another source."`
	Clean kernelCleanCmd `cmd:"" help:"Remove kernels and unpacked trees from the cache."`
}

// kernelFlags say which kernel is meant.
type kernelFlags struct {
	Variant []string `enum:"patched,base,stock,kunit,debug,lsm" default:"patched" help:"patched; base: only the patches that leave the queue as mainline has it; stock: without the series, on the same source and configuration; kunit, debug, lsm: patched, with KUnit tests, with KASAN, lockdep and the like, and with SELinux and Smack. Several, with commas between, are built in one tree, which is faster than one by one."`
	Source  string   `placeholder:"DIR|TARBALL" env:"KSRC" help:"Linux source to use instead of the one in the cache or Debian's."`
	Series  string   `placeholder:"DIR" type:"existingdir" help:"Series to use instead of the one in this program: *.patch and config/."`
	Upto    int      `placeholder:"N" help:"Apply the variant's patches only up to the Nth."`
}

func (f kernelFlags) options() kernel.Options {
	return kernel.Options{Source: f.Source, SeriesDir: f.Series, Upto: f.Upto}
}

type kernelBuildCmd struct {
	kernelFlags
	Jobs int `short:"j" placeholder:"N" help:"Jobs of make; one more than there are CPUs by default."`
}

// Run builds.
func (c *kernelBuildCmd) Run(ctx context.Context) error {
	o := c.options()
	o.Jobs = c.Jobs
	o.Progress = kernel.NewProgress(os.Stderr)
	images, err := kernel.BuildAll(ctx, o, c.Variant...)
	if err != nil {
		return guest.OnHost(ctx, err)
	}
	for _, im := range images {
		if err := printPath(ctx, im); err != nil {
			return err
		}
	}
	return nil
}

func printPath(ctx context.Context, im *kernel.Image) error {
	if _, err := fmt.Fprintln(stdout, im.Path); err != nil {
		return guest.OnHost(ctx, err)
	}
	return nil
}

type kernelListCmd struct{}

// Run lists.
func (c *kernelListCmd) Run(ctx context.Context) error {
	images, err := kernel.List(kernel.Options{Progress: kernel.NewProgress(os.Stderr)})
	if err != nil {
		return guest.OnHost(ctx, err)
	}
	if len(images) == 0 {
		fmt.Fprintln(os.Stderr, "no kernel in the cache: build one with `wqfan kernel build`")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VARIANT\tRELEASE\tBASE\tPATCHES\tSERIES\tCONFIG\tBUILT\tPATH")
	for _, im := range images {
		series := im.Series
		if series == "" {
			series = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", im.Variant, im.Release, im.Base, len(im.Patches),
			series, im.Config, im.Built.Format("2006-01-02 15:04"), im.Path)
	}
	if err := w.Flush(); err != nil {
		return guest.OnHost(ctx, err)
	}
	return nil
}

type kernelPathCmd struct {
	kernelFlags
}

// Run prints the path.
func (c *kernelPathCmd) Run(ctx context.Context) error {
	o := c.options()
	o.Progress = kernel.NewProgress(os.Stderr)
	for _, o.Variant = range c.Variant {
		im, err := kernel.Find(ctx, o)
		if err != nil {
			return guest.OnHost(ctx, err)
		}
		if err := printPath(ctx, im); err != nil {
			return err
		}
	}
	return nil
}

type kernelCheckCmd struct {
	Base   string `arg:"" placeholder:"BASE" help:"Linux source: a directory, a tarball, or a version that Debian has, such as 7.2."`
	Series string `placeholder:"DIR" type:"existingdir" help:"Series to use instead of the one in this program."`
	Jobs   int    `short:"j" placeholder:"N" help:"Jobs of make; one more than there are CPUs by default."`
}

// Run checks. That a patch fails is a finding, not an error.
func (c *kernelCheckCmd) Run(ctx context.Context) error {
	check, err := kernel.CheckBase(ctx, c.Base, kernel.Options{SeriesDir: c.Series, Jobs: c.Jobs, Progress: kernel.NewProgress(os.Stderr)})
	if err != nil {
		return guest.OnHost(ctx, err)
	}
	if _, err := check.WriteTo(os.Stdout); err != nil {
		return guest.OnHost(ctx, err)
	}
	return nil
}

type kernelCleanCmd struct {
	Sources bool `help:"Remove the tarballs too: the next build fetches one."`
}

// Run cleans.
func (c *kernelCleanCmd) Run(ctx context.Context) error {
	if err := kernel.Clean(kernel.Options{}, c.Sources); err != nil {
		return guest.OnHost(ctx, err)
	}
	return nil
}
