// SPDX-License-Identifier: MIT

package report

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wqfan/bench/result"
)

// Every run that is committed under reports/ is complete, its identity closes,
// and its report is what Write makes of it, byte for byte.
func TestCommittedRuns(t *testing.T) {
	const reports = "../../reports"
	var runs []string
	err := filepath.WalkDir(reports, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == filepath.Join(reports, "local"): // ignored by git
			return fs.SkipDir
		case d.Name() == result.RunFile:
			runs = append(runs, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) == 0 {
		t.Fatal("no run is committed under reports/")
	}
	for _, name := range runs {
		dir := filepath.Dir(name)
		t.Run(strings.TrimPrefix(dir, reports+"/"), func(t *testing.T) {
			run, err := result.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if !run.Complete {
				t.Errorf("the run is not complete: %s", run.Reason)
			}
			for _, c := range run.Cells {
				if c.Err != "" || c.Account.Unexplained() != 0 {
					t.Errorf("%s: %s: %v", c.ID, c.Err, c.Account)
				}
			}
			again := t.TempDir()
			if err := os.CopyFS(again, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := Write(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			same(t, dir, again)
			same(t, again, dir)
		})
	}
}

// same reports what of a is not in b.
func same(t *testing.T, a, b string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(a), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(b, name)); err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s differs", name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
