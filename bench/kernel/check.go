// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Check says patch by patch how the series fares on another tree.
type Check struct {
	Base    string // "7.2.6 (Debian 7.2.6-1)"
	Patches []PatchCheck
}

// PatchCheck is what became of one patch.
type PatchCheck struct {
	Name   string
	Offset int      // the most lines that a hunk has moved, if it is not loose
	Loose  bool     // applies with one line of context
	Failed []string // hunks that do not apply: "fs/pipe.c hunk 3"; the others are applied
	Built  []string // objects of the files it touches that compile
	Broken []string // objects that do not, each with its first error; none is tried once a hunk of the kernel has failed
}

// CheckBase applies the series to a tree: a directory, a tarball, or a version
// that Debian has the source of ("7.2"). A patch that fails leaves the tree with
// those of its hunks that apply, so that the ones after it can be told apart. What
// it needs is kept in a cache of its own.
func CheckBase(ctx context.Context, base string, o Options) (*Check, error) {
	c, err := open(o.CacheDir)
	if err != nil {
		return nil, err
	}
	o.Variant, o.CacheDir = "patched", c.path(checkDir)
	version := versionOnly.MatchString(base)
	if !version {
		o.Source = base
	}
	b, err := newBuilder(ctx, o)
	if err != nil {
		return nil, err
	}
	if b.noCC != nil {
		return nil, b.noCC
	}
	defer b.opts.Progress.Stage("")
	if err := CheckTools(ctx); err != nil {
		return nil, err
	}
	if err := b.cache.make(); err != nil {
		return nil, err
	}
	b.cache.sweep()
	var s source
	if version {
		s, err = b.version(ctx, base)
	} else {
		s, err = given(ctx, base)
	}
	if err != nil {
		return nil, err
	}
	return b.check(ctx, s)
}

var versionOnly = regexp.MustCompile(`^\d+\.\d+$`)

// version gives the source of a version, from the cache or from Debian.
func (b *builder) version(ctx context.Context, version string) (source, error) {
	unlock, err := b.cache.lock(ctx, "fetch", func() {})
	if err != nil {
		return source{}, err
	}
	defer unlock()
	for _, s := range b.cache.cachedSources() {
		if strings.HasPrefix(s.Version+".", version+".") {
			return s, nil
		}
	}
	tmp, remove, err := b.cache.work("fetch")
	if err != nil {
		return source{}, err
	}
	defer remove()
	return b.fetchVersion(ctx, tmp, version)
}

func (b *builder) check(ctx context.Context, s source) (*Check, error) {
	tree, version, err := b.tree(ctx, s)
	if err != nil {
		return nil, err
	}
	const name = "check"
	unlock, err := b.cache.lock(ctx, name, func() { b.opts.Progress.Note("waiting for another check") })
	if err != nil {
		return nil, err
	}
	defer unlock()
	tmp, remove, err := b.cache.work(name)
	if err != nil {
		return nil, err
	}
	defer remove()
	src := filepath.Join(tmp, "tree")
	if err := b.copySource(ctx, s, tree, src, s.base(version)); err != nil {
		return nil, err
	}
	m := kbuild{b: b, dir: tmp, src: src, out: filepath.Join(src, "build"), log: io.Discard}
	if err := os.Mkdir(m.out, 0o755); err != nil {
		return nil, err
	}
	c := &Check{Base: s.base(version)}
	failed := false
	for i, p := range b.series.patches {
		b.opts.Progress.Stage(fmt.Sprintf("patch %d of %d", i+1, len(b.series.patches)))
		pc, err := applyAnyhow(ctx, src, p)
		if err != nil {
			return nil, err
		}
		failed = failed || slices.ContainsFunc(pc.Failed, compiled)
		if !failed {
			if err := m.objectsOf(ctx, p, &pc); err != nil {
				return nil, err
			}
		}
		c.Patches = append(c.Patches, pc)
	}
	return c, nil
}

// compiled tells whether a file is part of the kernel.
func compiled(file string) bool {
	return !strings.HasPrefix(file, "Documentation/") && !strings.HasPrefix(file, "tools/")
}

var (
	moved    = regexp.MustCompile(`(?m)^Hunk #\d+ succeeded at \d+ \(offset (-?\d+) lines?\)`)
	rejected = regexp.MustCompile(`(?m)^(?:Applying patch (\S+) with \d+ rejects?|Rejected hunk #(\d+))`)
)

// applyAnyhow applies what can be applied of a patch: all of it, all of it with
// less context, or some hunks.
func applyAnyhow(ctx context.Context, tree string, p patch) (PatchCheck, error) {
	pc := PatchCheck{Name: p.name}
	try := func(args ...string) (string, error) {
		c := command{dir: tree, stdin: bytes.NewReader(p.data), env: gitEnv(tree)}
		return c.output(ctx, append([]string{"git", "apply", "--verbose", "--whitespace=nowarn"}, args...)...)
	}
	out, err := try("-")
	if err != nil && ctx.Err() == nil {
		if out, err = try("-C1", "-"); err == nil {
			pc.Loose = true
		}
	}
	if err != nil && ctx.Err() == nil {
		out, err = try("--reject", "-")
		pc.Failed = failedHunks(p, out)
		if err != nil && len(pc.Failed) > 0 {
			err = nil
		}
	}
	if err != nil {
		return pc, fmt.Errorf("git apply %s: %w: %s", p.name, err, lastLine(out))
	}
	if pc.Loose { // lines of context that were left out would count as moved
		return pc, nil
	}
	for _, m := range moved.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(m[1])
		pc.Offset = max(pc.Offset, n, -n)
	}
	return pc, nil
}

// failedHunks reads what git apply --reject said.
func failedHunks(p patch, out string) []string {
	var list []string
	file := ""
	for _, m := range rejected.FindAllStringSubmatch(out, -1) {
		if m[1] != "" {
			file = m[1]
			continue
		}
		list = append(list, fmt.Sprintf("%s hunk %s", file, m[2]))
	}
	for _, m := range fileError.FindAllStringSubmatch(out, -1) {
		if m[2] != "patch does not apply" {
			list = append(list, m[1]+": "+m[2])
		}
	}
	return list
}

var touched = regexp.MustCompile(`(?m)^\+\+\+ b/((?:fs|kernel|security)/\S+)\.c$`)

// objectsOf compiles the objects of the files that a patch touches.
func (m *kbuild) objectsOf(ctx context.Context, p patch, pc *PatchCheck) error {
	var objects []string
	for _, f := range touched.FindAllSubmatch(p.data, -1) {
		objects = append(objects, string(f[1])+".o")
	}
	objects = slices.DeleteFunc(objects, func(o string) bool { return strings.HasSuffix(o, "_test.o") })
	if len(objects) == 0 {
		return nil
	}
	partial := *m.b
	s := *m.b.series
	s.partial = true
	for i := range s.fragments {
		s.fragments[i].optional = true
	}
	partial.series = &s
	m.b = &partial
	if err := m.configure(ctx); err != nil {
		return err
	}
	for _, o := range objects {
		err := m.make(ctx, "compiling "+o, o)
		be, failed := errors.AsType[*BuildError](err)
		switch {
		case err == nil:
			pc.Built = append(pc.Built, o)
		case failed:
			pc.Broken = append(pc.Broken, o+": "+cmp.Or(be.Lines...))
		default:
			return err
		}
	}
	return nil
}

// WriteTo writes the check as text: a line for each patch, then a sum.
func (c *Check) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "The series on Linux %s\n\n", c.Base)
	var applied, loose, failed, broken int
	for _, p := range c.Patches {
		state := "applies"
		switch {
		case len(p.Failed) > 0:
			state = "fails"
			failed++
		case p.Loose:
			state = "applies with less context"
			loose++
		default:
			applied++
		}
		if p.Offset > 0 {
			state += fmt.Sprintf(", moved by up to %d lines", p.Offset)
		}
		if len(p.Built) > 0 && len(p.Broken) == 0 {
			state += ", compiles"
		}
		fmt.Fprintf(&buf, "%s: %s\n", strings.TrimSuffix(p.Name, ".patch"), state)
		for _, f := range p.Failed {
			fmt.Fprintf(&buf, "    %s\n", f)
		}
		for _, b := range p.Broken {
			fmt.Fprintf(&buf, "    %s\n", b)
			broken++
		}
	}
	fmt.Fprintf(&buf, "\n%d patches: %d apply, %d with less context, %d fail; %d objects do not compile\n",
		len(c.Patches), applied, loose, failed, broken)
	n, err := w.Write(buf.Bytes())
	return int64(n), err
}
