// SPDX-License-Identifier: MIT

package patches_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wqfan/bench/kernel"
	"wqfan/internal/need"
	patches "wqfan/kernel-patches"
)

// tree is the untouched source that the patched kernel was made of.
func tree(t *testing.T) string {
	t.Helper()
	dir := image(t, kernel.Options{Variant: "patched"}).Tree()
	if _, err := os.Stat(filepath.Join(dir, "scripts", "checkpatch.pl")); err != nil {
		need.Missing(t, "needs the kernel source unpacked: %v", err)
	}
	return dir
}

// TestCheckpatch has the kernel's own checkpatch read each patch. It reads files
// that git tracks as sources, so they are read elsewhere. New files are for those
// to maintain who would take them, and no history is there to look a commit up.
func TestCheckpatch(t *testing.T) {
	need.Programs(t, "perl")
	dir := tree(t)
	elsewhere := t.TempDir()
	if err := os.CopyFS(elsewhere, patches.FS); err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t) {
		t.Run(strings.TrimSuffix(name, ".patch"), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "perl", filepath.Join(dir, "scripts", "checkpatch.pl"), "--root="+dir,
				"--strict", "--terse", "--no-summary", "--ignore", "FILE_PATH_CHANGES,UNKNOWN_COMMIT_ID", name)
			cmd.Dir = elsewhere
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("checkpatch --strict: %v\n%s", err, out)
			}
		})
	}
}

var touchedSource = regexp.MustCompile(`(?m)^diff --git a/(\S+) b/`)

// TestKernelDoc has the kernel's own kernel-doc read what the series leaves of
// each file that it touches: it may warn of nothing that it did not warn of
// before.
func TestKernelDoc(t *testing.T) {
	need.Programs(t, "python3", "git")
	dir := tree(t)
	copied := t.TempDir()
	var files []string
	for _, name := range names(t) {
		data, err := fs.ReadFile(patches.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range touchedSource.FindAllSubmatch(data, -1) {
			files = append(files, string(m[1]))
		}
	}
	slices.Sort(files)
	files = slices.Compact(files)
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f))
		if os.IsNotExist(err) { // the series brings it
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(copied, f)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files = slices.DeleteFunc(files, func(f string) bool { return !strings.HasSuffix(f, ".c") && !strings.HasSuffix(f, ".h") })
	before := kernelDoc(t, dir, copied, files)
	for _, name := range names(t) {
		patch, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "git", "apply", "--whitespace=nowarn", patch)
		cmd.Dir = copied
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(copied))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	for _, w := range kernelDoc(t, dir, copied, files) {
		if !slices.Contains(before, w) {
			t.Error(w)
		}
	}
}

var lineNumber = regexp.MustCompile(`:\d+ `)

// kernelDoc returns what kernel-doc warns of in those files that are there,
// without the numbers of lines.
func kernelDoc(t *testing.T, tree, dir string, files []string) []string {
	t.Helper()
	files = slices.DeleteFunc(slices.Clone(files), func(f string) bool {
		_, err := os.Stat(filepath.Join(dir, f))
		return err != nil
	})
	cmd := exec.CommandContext(t.Context(), filepath.Join(tree, "scripts", "kernel-doc"), append([]string{"-none", "-Wall"}, files...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if _, warned := err.(*exec.ExitError); err != nil && !warned {
		t.Fatal(err)
	}
	var list []string
	for l := range strings.Lines(string(out)) {
		switch l = strings.TrimSpace(lineNumber.ReplaceAllString(l, ": ")); {
		case strings.HasPrefix(strings.ToLower(l), "warning:"), strings.HasPrefix(strings.ToLower(l), "error:"):
			list = append(list, l)
		case strings.Contains(l, "Traceback"):
			t.Fatalf("%v: %s", cmd, out)
		}
	}
	return list
}
