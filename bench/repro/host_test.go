// SPDX-License-Identifier: MIT

package repro

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/guest"
	"wqfan/internal/fanlimit"
	"wqfan/internal/need"
)

// state is what a run on the host could leave behind. Others may use loop
// devices at the same time: ours are those over an image of bench/guest.
func state(t *testing.T) map[string]string {
	t.Helper()
	limit, err := fanlimit.Get()
	if err != nil {
		t.Fatal(err)
	}
	s := map[string]string{"max_queued_events": fmt.Sprint(limit)}
	grep := func(file, what string) {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, what) {
				s[what] += line
			}
		}
	}
	grep("/proc/self/mounts", " "+base)
	grep("/proc/keys", "wqfan-repro-")
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range loops {
		grep(name, "/wqfan-guest-")
	}
	return s
}

// unchanged waits for what the kernel takes away a moment after its last user,
// and wants the machine as it was.
func unchanged(t *testing.T, before map[string]string) {
	t.Helper()
	var d string
	for range 100 {
		if d = cmp.Diff(before, state(t)); d == "" {
			return
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
	}
	t.Errorf("the machine is not as it was (-before +after):\n%s", d)
}

// What the running kernel can show, it shows, and leaves nothing behind.
func TestHost(t *testing.T) {
	need.Root(t)
	need.Programs(t, "mkfs.ext4")
	before := state(t)
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := OnHost(t.Context(), all, func(r Result) error {
		t.Run(r.Name, func(t *testing.T) {
			if r.Verdict == NotApplicable {
				t.Skip(r.Reason)
			}
			if n++; !r.OK() {
				check(t, r, Reproduced)
			}
		})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		need.Missing(t, "this kernel shows no behaviour at all")
	}
	unchanged(t, before)
}

// A run that is interrupted or killed in the middle leaves nothing behind
// either.
func TestHostKilled(t *testing.T) {
	need.Root(t)
	need.Programs(t, "mkfs.ext4")
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			before := state(t)
			var names []string
			for range 100 { // more than is done by then
				names = append(names, "fan-coalesce-several-fs", "wq-ring-full")
			}
			cmd := exec.Command(wqfan(t), append([]string{"repro", "--host", "--json"}, names...)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			lines.Buffer(nil, 1<<20)
			for n := 0; lines.Scan(); n++ {
				var r Result
				if err := json.Unmarshal(lines.Bytes(), &r); err != nil || !r.OK() {
					t.Errorf("%v: %s", err, lines.Text())
				}
				if n == 3 {
					if err := cmd.Process.Signal(sig); err != nil {
						t.Fatal(err)
					}
				}
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || sig != unix.SIGKILL && exit.ExitCode() != guest.ExitInterrupted {
				t.Errorf("ended with %v: %s", err, stderr.String())
			}
			unchanged(t, before)
		})
	}
}

// What fails in the middle of a script is undone, too.
func TestHostFailure(t *testing.T) {
	need.Root(t)
	need.Programs(t, "mkfs.ext4")
	before := state(t)
	b, err := parse("fan-x", []byte(head+"mount fs\ngroup g max=1\nmark g fs\nmark g other\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	err = OnHost(context.Background(), []Behaviour{b, b}, func(r Result) error {
		got = r
		return fmt.Errorf("enough of %s", r.Name)
	})
	if !errors.Is(err, guest.RunnerFailed) || !strings.HasSuffix(err.Error(), "enough of fan-x") {
		t.Errorf("ended with %v", err)
	}
	if got.Verdict != "" || got.Err != "mark g other: no filesystem other" || got.OK() {
		t.Errorf("got %+v", got)
	}
	unchanged(t, before)
}
