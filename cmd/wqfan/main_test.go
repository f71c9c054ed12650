// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"wqfan/bench/result"
	"wqfan/bench/result/resulttest"
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
