// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wqfan/kernel-patches"
)

// patch is one file of the series.
type patch struct {
	name string
	data []byte
}

// diff is the patch without the mail that it came in.
func (p patch) diff() []byte {
	if _, diff, ok := bytes.Cut(p.data, []byte("\ndiff --git ")); ok {
		return diff
	}
	return p.data
}

// series is what is done to a tree: patches, then a configuration.
type series struct {
	patches   []patch
	fragments []fragment
	partial   bool // not all patches: options of series.config may be unknown yet
}

// The fragments in config/.
const (
	guestConfig  = "guest.config"
	seriesConfig = "series.config"
	kunitConfig  = "kunit.config"
	debugConfig  = "debug.config"
	lsmConfig    = "lsm.config"
)

// variant is a part of the series and a configuration.
type variant struct {
	patches   int // the first so many, or all
	fragments []string
	local     string // LOCALVERSION: what uname -r tells apart
}

const (
	all = -1
	// base is the number of patches that bring filesystem errors to
	// watch_queue and leave the queue as mainline has it.
	base = 9
)

var variants = map[string]variant{
	"patched": {all, []string{guestConfig, seriesConfig}, "-wqfan"},
	"base":    {base, []string{guestConfig, seriesConfig}, "-base"},
	"stock":   {0, []string{guestConfig}, "-stock"},
	"kunit":   {all, []string{guestConfig, seriesConfig, kunitConfig}, "-kunit"},
	"debug":   {all, []string{guestConfig, seriesConfig, kunitConfig, debugConfig}, "-debug"},
	"lsm":     {all, []string{guestConfig, seriesConfig, lsmConfig}, "-lsm"},
}

// Variants are the names that [Options.Variant] can have.
func Variants() []string { return []string{"patched", "base", "stock", "kunit", "debug", "lsm"} }

// loadPatches reads the first n patches of a series, or all; a cover letter
// (0000-*) is no patch.
func loadPatches(fsys fs.FS, n int) (list []patch, partial bool, err error) {
	names, err := fs.Glob(fsys, "*.patch")
	if err != nil {
		return nil, false, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "0000-") })
	slices.Sort(names)
	if len(names) == 0 {
		return nil, false, nil
	}
	if n > len(names) {
		return nil, false, fmt.Errorf("patch %d of a series of %d", n, len(names))
	}
	if n != all {
		partial = n < len(names)
		names = names[:n]
	}
	for _, n := range names {
		data, err := fs.ReadFile(fsys, n)
		if err != nil {
			return nil, false, err
		}
		list = append(list, patch{n, data})
	}
	return list, partial, nil
}

// loadSeries reads what a variant consists of, from dir or, when that is empty,
// from the binary itself. With upto it ends at that patch.
func loadSeries(name, dir string, upto int) (*series, error) {
	v, ok := variants[name]
	if !ok {
		return nil, fmt.Errorf("kernel variant %q: there are %s", name, strings.Join(Variants(), ", "))
	}
	var fsys fs.FS = patches.FS
	if dir != "" {
		fsys = os.DirFS(dir)
	}
	n := v.patches
	if upto < 0 || upto > 0 && n != all && upto > n {
		return nil, fmt.Errorf("kernel series: patch %d is not in the %s kernel", upto, name)
	}
	if upto > 0 {
		n = upto
	}
	s := &series{}
	if n != 0 {
		list, partial, err := loadPatches(fsys, n)
		if err != nil {
			return nil, fmt.Errorf("kernel series: %w", err)
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("kernel series: no *.patch in %s", cmp.Or(dir, "the binary"))
		}
		s.patches, s.partial = list, partial
	}
	for _, n := range v.fragments {
		data, err := fs.ReadFile(fsys, path.Join("config", n))
		if err != nil {
			return nil, fmt.Errorf("kernel configuration: %w", err)
		}
		s.fragments = append(s.fragments, fragment{name: n, data: data, optional: s.partial && n != guestConfig})
	}
	return s, nil
}

// hash names the patches by what they do, "" for none: another description or
// number makes no other kernel.
func (s *series) hash() string {
	if len(s.patches) == 0 {
		return ""
	}
	h := sha256.New()
	for _, p := range s.patches {
		diff := p.diff()
		fmt.Fprintf(h, "%d\n%s", len(diff), diff)
	}
	return short(h.Sum(nil))
}

// fragmentHash names the fragments by their content.
func (s *series) fragmentHash() string {
	h := sha256.New()
	for _, f := range s.fragments {
		fmt.Fprintf(h, "%s %d\n%s", f.name, len(f.data), f.data)
	}
	return short(h.Sum(nil))
}

// short is how hashes are written: 12 hex digits.
func short(sum []byte) string { return hex.EncodeToString(sum)[:12] }

// apply applies the patches to tree, whose files it replaces and never writes
// into. base is for the error.
func (s *series) apply(ctx context.Context, tree, base string, step func(n int)) error {
	for i, p := range s.patches {
		c := command{
			dir:   tree,
			stdin: bytes.NewReader(p.data),
			env:   gitEnv(tree),
		}
		out, err := c.output(ctx, "git", "apply", "--whitespace=nowarn", "-")
		if err != nil {
			if ctx.Err() != nil || !strings.Contains(out, "error:") {
				return fmt.Errorf("git apply %s: %w: %s", p.name, err, strings.TrimSpace(out))
			}
			return applyError(p, base, out)
		}
		step(i + 1)
	}
	return nil
}

// gitEnv is the environment of git in tree: a cache inside some repository must
// not make that repository the one that paths are relative to.
func gitEnv(tree string) []string {
	return []string{"GIT_CEILING_DIRECTORIES=" + filepath.Dir(tree), "GIT_CONFIG_NOSYSTEM=1"}
}

// added lists the files that the patches create.
func (s *series) added() []string {
	var files []string
	for _, p := range s.patches {
		for _, m := range newFile.FindAllSubmatch(p.data, -1) {
			files = append(files, string(m[1]))
		}
	}
	return files
}

var (
	newFile   = regexp.MustCompile(`(?m)^--- /dev/null\n\+\+\+ b/(\S+)$`)
	failed    = regexp.MustCompile(`(?m)^error: patch failed: (.+):(\d+)$`)
	fileError = regexp.MustCompile(`(?m)^error: ([^\s:]+): (.+)$`)
	anyError  = regexp.MustCompile(`(?m)^error: (.+)$`)
)

// applyError reads what git apply said.
func applyError(p patch, base, out string) *ApplyError {
	e := &ApplyError{Patch: p.name, Base: base, Why: strings.TrimSpace(out)}
	if m := failed.FindStringSubmatch(out); m != nil {
		e.File = m[1]
		e.Line, _ = strconv.Atoi(m[2])
		e.Hunk = hunkAt(p.data, e.File, e.Line)
		e.Why = "the lines it changes are not there"
	} else if m := fileError.FindStringSubmatch(out); m != nil {
		e.File, e.Why = m[1], m[2]
	} else if m := anyError.FindStringSubmatch(out); m != nil {
		e.Why = m[1]
	}
	return e
}

// hunkAt is the number of the hunk for a line of a file's old text, from 1; 0
// when there is none.
func hunkAt(data []byte, file string, line int) int {
	n, inside := 0, false
	for l := range strings.Lines(string(data)) {
		l = strings.TrimRight(l, "\n")
		switch {
		case strings.HasPrefix(l, "diff --git "):
			inside = strings.HasPrefix(l, "diff --git a/"+file+" ")
			n = 0
		case inside && strings.HasPrefix(l, "@@ -"):
			n++
			at, _, _ := strings.Cut(l[len("@@ -"):], " ")
			at, _, _ = strings.Cut(at, ",")
			if at == strconv.Itoa(line) {
				return n
			}
		}
	}
	return 0
}
