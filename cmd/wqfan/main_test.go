// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"wqfan/bench/campaign"
	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
	"wqfan/bench/scenario"
)

var update = flag.Bool("update", false, "write the output of the program into the scripts that compare it")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"wqfan": main})
}

// TestScript runs the program as a user would: testdata/script says what.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		UpdateScripts: *update,
		Dir:           "testdata/script",
		Setup: func(env *testscript.Env) error { // the committed evidence
			runs, err := filepath.Abs("../../reports")
			env.Setenv("RUNS", runs)
			return err
		},
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("no condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":  exits,
			"record": record,
		},
	})
}

// exits runs a program and wants an exit status: exits 2 wqfan run nonsense.
// The script sees its output as that of exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	status := 0
	var e *exec.ExitError
	if errors.As(err, &e) {
		status = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if status != want {
		ts.Fatalf("%v exits with %d, want %d:\n%s", args[1:], status, want, ts.ReadFile("stderr"))
	}
}

// record writes a run of 10 boots that never happened: record DIR SEED SERIES
// SLOWER [MODE]. It is in icount mode unless another is named.
func record(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: record DIR SEED SERIES SLOWER [MODE]")
	}
	seed, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	slower, err := strconv.ParseFloat(args[3], 64)
	ts.Check(err)
	r := resulttest.Repeated{Boots: 10, Seed: seed, Series: args[2], Slower: slower}
	if len(args) == 5 {
		r.Edit = func(_ *result.Run, b *result.Boot, c *result.Cell) {
			if b != nil && c == nil {
				b.Mode = result.Mode(args[4])
			}
		}
	}
	ts.Check(r.Write(ts.MkAbs(args[0])))
}

// An error quotes records that came from elsewhere: none of it is a command to
// the terminal.
func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"another machine: \x1b[2J\u009b1m\r\x00": "another machine: \ufffd[2J\ufffd1m\ufffd\ufffd",
		"two\n\tlines, grün":                     "two\n\tlines, grün",
	} {
		if got := harmless(in); got != want {
			t.Errorf("harmless(%q) = %q, not %q", in, got, want)
		}
	}
}

// A record that an interrupted bisection has left says what to do with it, and
// keeps the others.
func TestMeasureAgain(t *testing.T) {
	plan, err := scenario.New(scenario.Select{Scenarios: []string{scenario.Latency}, Kernels: []scenario.Variant{scenario.Patched}, CPUs: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 2560) // the least that has the boot header of a kernel
	copy(head[510:], "U\xaa\x00\x00HdrS")
	image := filepath.Join(t.TempDir(), "bzImage")
	if err := os.WriteFile(image, head, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "patches-9")
	if _, err := result.Create(dir, &result.Run{Planned: 1}); err != nil {
		t.Fatal(err)
	}
	_, err = measure(t.Context(), campaign.Options{Plan: plan, Kernels: map[scenario.Variant]campaign.Kernel{}, Mode: result.TCG}, &kernel.Image{Path: image}, dir)
	if guest.ExitStatus(err) != guest.ExitRunner || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "move this one away") {
		t.Errorf("got %v", err)
	}
}
