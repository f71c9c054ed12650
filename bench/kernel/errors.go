// SPDX-License-Identifier: MIT

package kernel

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotBuilt says that the cache has no image that answers the options.
var ErrNotBuilt = errors.New("no such kernel in the cache: build it with `wqfan kernel build`")

// damagedImage is an entry of the cache that is not what was built. It counts as
// not built.
type damagedImage struct {
	dir string
	why string
}

func (e *damagedImage) Error() string {
	return fmt.Sprintf("kernel %s is damaged: %s: `wqfan kernel build` makes it again", e.dir, e.why)
}

func (e *damagedImage) Unwrap() error { return ErrNotBuilt }

// SourceError is a source that is not what it should be.
type SourceError struct {
	Path string // directory or tarball
	Why  string
}

func (e *SourceError) Error() string {
	return fmt.Sprintf("kernel source %s: %s", e.Path, e.Why)
}

// VersionError is a kernel tree that the series is not made for.
type VersionError struct {
	Path string
	Got  string // version in the tree's Makefile
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("kernel source %s is Linux %s: the series is made for 7.3 and can only apply to 7.x, where fs/fserror.c is", e.Path, e.Got)
}

// Attempt is one place where a source was looked for.
type Attempt struct {
	Place string
	Err   error
}

// UnavailableError says that no place has a source.
type UnavailableError struct {
	Tried []Attempt
}

func (e *UnavailableError) Error() string {
	var b strings.Builder
	b.WriteString("no Linux 7.3 source to be had:")
	for _, a := range e.Tried {
		fmt.Fprintf(&b, "\n  %s: %v", a.Place, a.Err)
	}
	b.WriteString("\ngive one with --source DIR|TARBALL or KSRC")
	return b.String()
}

// Unwrap gives the errors of all places.
func (e *UnavailableError) Unwrap() []error {
	var errs []error
	for _, a := range e.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}

// ApplyError is a patch that does not apply.
type ApplyError struct {
	Patch string // file name in the series
	Base  string // what it was applied to
	File  string // file of the kernel tree, "" when the patch itself is broken
	Hunk  int    // number of the hunk in that file's diff, from 1; 0 when the whole file is at fault
	Line  int    // line of the file at which the hunk belongs, 0 with Hunk
	Why   string // git's words
}

func (e *ApplyError) Error() string {
	where := ""
	if e.File != "" {
		where = ": " + e.File
		if e.Hunk > 0 {
			where += fmt.Sprintf(", hunk %d at line %d", e.Hunk, e.Line)
		}
	}
	return fmt.Sprintf("%s does not apply to %s%s: %s", e.Patch, e.Base, where, e.Why)
}

// Dropped is one option that did not come out as the fragment asks.
type Dropped struct {
	Option string
	Want   string // "y", "64", "n"
	Got    string // "n" when it is not set
}

// DroppedError lists the options of the fragments that olddefconfig changed.
type DroppedError struct {
	Options []Dropped
}

func (e *DroppedError) Error() string {
	words := make([]string, len(e.Options))
	for i, d := range e.Options {
		words[i] = fmt.Sprintf("%s=%s became %s", d.Option, d.Want, d.Got)
	}
	return "olddefconfig dropped options of the fragment (a dependency is missing, or the option is gone): " + strings.Join(words, ", ")
}

// BuildError is a command of the build that failed.
type BuildError struct {
	Stage string
	Lines []string // the first error and the lines after it
	Log   string   // file with everything the command said
	Err   error    // the command's exit
}

func (e *BuildError) Error() string {
	s := fmt.Sprintf("%s failed (%v)", e.Stage, e.Err)
	for _, l := range e.Lines {
		s += "\n  " + l
	}
	return s + "\nthe whole log: " + e.Log
}

// Unwrap gives the command's exit.
func (e *BuildError) Unwrap() error { return e.Err }

// MissingError lists what the machine lacks to build a kernel.
type MissingError struct {
	Tools []Tool
}

func (e *MissingError) Error() string {
	var names, deb, rpm, arch []string
	for _, t := range e.Tools {
		names = append(names, t.Name)
		deb = appendOnce(deb, t.Debian)
		rpm = appendOnce(rpm, t.Fedora)
		arch = appendOnce(arch, t.Arch)
	}
	return fmt.Sprintf("missing to build a kernel: %s\n  Debian: apt-get install --no-install-recommends %s\n  Fedora: dnf install %s\n  Arch:   pacman -S %s\nor boot one that is built already: wqfan run --kernel FILE",
		strings.Join(names, ", "), strings.Join(deb, " "), strings.Join(rpm, " "), strings.Join(arch, " "))
}

// SpaceError says that the cache's filesystem is too full. It wraps ENOSPC.
type SpaceError struct {
	Dir  string
	What string // what there is no room for
	Need int64  // bytes, 0 when the filesystem filled up on the way
	Free int64  // bytes
	Err  error
}

func (e *SpaceError) Error() string {
	if e.Need == 0 {
		return fmt.Sprintf("%s: no space left below %s: free some, or point WQFAN_CACHE elsewhere", e.What, e.Dir)
	}
	return fmt.Sprintf("%s needs %d MB below %s, %d MB are free: free some, or point WQFAN_CACHE elsewhere", e.What, e.Need>>20, e.Dir, e.Free>>20)
}

// Unwrap gives ENOSPC.
func (e *SpaceError) Unwrap() error { return e.Err }

func appendOnce(list []string, s string) []string {
	for _, l := range list {
		if l == s {
			return list
		}
	}
	return append(list, s)
}
