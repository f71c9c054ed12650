// SPDX-License-Identifier: MIT

package repro

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/internal/need"
)

var tmp string

func TestMain(m *testing.M) {
	var err error
	if tmp, err = os.MkdirTemp("", "wqfan-repro-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(tmp)
	os.Exit(status)
}

// wqfan builds the program once.
func wqfan(t *testing.T) string {
	t.Helper()
	name := filepath.Join(tmp, "wqfan")
	if _, err := os.Stat(name); err == nil {
		return name
	}
	cmd := exec.Command("go", "build", "-o", name, "wqfan/cmd/wqfan")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return name
}

// inGuest runs behaviours on one boot of a built kernel, all where none is named.
func inGuest(t *testing.T, variant string, names ...string) (results []Result) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a guest")
	}
	im, err := kernel.Find(t.Context(), kernel.Options{Variant: variant})
	if err != nil {
		need.Missing(t, "needs the %s kernel: %v", variant, err)
	}
	if names == nil {
		names = []string{"all"}
	}
	all, err := Select(names)
	if err != nil {
		t.Fatal(err)
	}
	g := Guest{Kernel: im.Path, Mode: result.TCG, Init: wqfan(t), SerialLog: filepath.Join(t.ArtifactDir(), "serial.log")}
	if err := g.Perform(t.Context(), all, func(r Result) error {
		results = append(results, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(results) != len(all) {
		t.Errorf("%d results of %d behaviours", len(results), len(all))
	}
	return results
}

// What is not reproduced on each kernel: what the series fixes, and what a
// kernel has not got.
var exceptions = map[string]map[string]Verdict{
	"stock": {
		"fserror-refused":   NotApplicable, // no injector
		"wq-chain-broken":   NotApplicable, // no source of errors
		"wq-filter-subtype": NotApplicable,
		"wq-shared-ring":    NotApplicable,
	},
	"base": {
		"wq-chain-broken":   NotApplicable, // no chains
		"wq-filter-subtype": NotApplicable,
	},
	"patched": {
		"wq-filter-subtype": NotApplicable,
		"wq-loss-empty":     NotReproduced,
		"wq-loss-late":      NotReproduced,
	},
}

// Every behaviour is reproduced by name on the kernels that show it, and does
// on the others what a fixed kernel does.
func TestGuests(t *testing.T) {
	for variant, except := range exceptions {
		t.Run(variant, func(t *testing.T) {
			for _, r := range inGuest(t, variant) {
				t.Run(r.Name, func(t *testing.T) {
					want := Reproduced
					if v, ok := except[r.Name]; ok {
						want = v
					}
					check(t, r, want)
					if r.Remedy != nil && !r.Remedy.Shown && variant == "patched" {
						t.Errorf("the remedy: %+v", r.Remedy)
					}
				})
			}
		})
	}
}

// What no source of mainline brings about a KUnit test does, in a kernel of its own.
func TestKUnit(t *testing.T) {
	results := inGuest(t, "kunit", "wq-filter-subtype")
	check(t, results[0], NotReproduced) // the kernel has the patch
}

func check(t *testing.T, r Result, want Verdict) {
	t.Helper()
	if r.Verdict != want || !r.OK() {
		t.Errorf("got %q, want %q: %s%s\nprinted %q\nwant    %q\nremedy %+v", r.Verdict, want, r.Reason, r.Err, r.Printed, r.Want, r.Remedy)
	}
}

// A guest that cannot be had is the runner's failure, not a behaviour's.
func TestGuestRefused(t *testing.T) {
	g := Guest{Kernel: "guest.go", Mode: result.TCG, Init: "/proc/self/exe"}
	err := g.Perform(context.Background(), nil, nil)
	if guest.ExitStatus(err) != guest.ExitRunner {
		t.Errorf("got %v", err)
	}
}
