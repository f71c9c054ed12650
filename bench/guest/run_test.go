// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/result"
)

// fakeMachine is a machine whose QEMU is a shell script: its console is file
// descriptor 3, its results are 4.
func fakeMachine(t *testing.T, script string) Machine {
	t.Helper()
	dir := t.TempDir()
	qemu := filepath.Join(dir, "qemu")
	if err := os.WriteFile(qemu, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WQFAN_QEMU", qemu)
	init, err := staticSelf()
	if err != nil {
		t.Fatal(err)
	}
	return Machine{
		Kernel: fakeKernel(t, dir), Mode: result.TCG, Init: init,
		SerialLog: filepath.Join(dir, "serial.log"),
	}
}

// fakeKernel has the header of a bzImage and nothing else.
func fakeKernel(t *testing.T, dir string) string {
	t.Helper()
	b := make([]byte, 4096)
	b[bzBootFlag], b[bzBootFlag+1] = 0x55, 0xaa
	copy(b[bzMagic:], "HdrS")
	path := filepath.Join(dir, "bzImage")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	sayHello = `echo '{"type":"hello","data":{"release":"7.3","cpus":2}}' >&4` + "\n"
	say1     = `echo '{"type":"record","data":1}' >&4` + "\n"
	say2     = `echo '{"type":"record","data":2}' >&4` + "\n"
	// The guest powers off when the host has the final record.
	finalOK = `echo '{"type":"final","ok":true}' >&4; read ok <&4; test "$ok" = ok || exit 9` + "\n"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		change       func(*Machine)
		kind         Kind // 0: no error
		texts        []string
		records      []string
		never        string // not in the error
	}{
		{name: "good", script: sayHello + say1 + say2 + finalOK, records: []string{"1", "2"}},
		{name: "nothing", script: "exit 0", kind: Died, texts: []string{
			"without a final record: the kernel said nothing: too little memory (512 MiB), or the kernel or QEMU is wrong (QEMU: exit status 0)",
		}},
		{name: "nothing for ever", script: "sleep 600", kind: Hung, change: func(m *Machine) { m.Stall, m.MemMiB = 300*time.Millisecond, 48 }, texts: []string{
			"for 300ms: the kernel said nothing: too little memory (48 MiB)", "(QEMU: signal: killed)",
		}},
		{name: "nothing and a bad end", script: "exit 7", kind: RunnerFailed, texts: []string{
			"QEMU ended: the kernel said nothing: too little memory (512 MiB)", "exit status 7",
		}},
		{name: "something", script: "echo SeaBIOS >&3", kind: Died, texts: []string{"without a final record"}, never: "the kernel said nothing"},
		{
			name: "QEMU refuses", script: "echo first >&2; echo 'qemu: no such device' >&2; exit 1", kind: RunnerFailed,
			texts: []string{"QEMU ended: first; qemu: no such device: exit status 1"},
		},
		{name: "QEMU is killed", script: say1 + "kill -9 $$", kind: RunnerFailed, texts: []string{"signal: killed"}, records: []string{"1"}},
		{name: "QEMU fails at the end", script: finalOK + "exit 3", kind: RunnerFailed, texts: []string{"after the final record: exit status 3"}},
		{
			name: "garbage", script: say1 + "echo '}{' >&4\n" + say2 + finalOK, kind: RunnerFailed,
			texts: []string{"1 lines of the result stream are lost; the first: result stream, line 2: not a message"}, records: []string{"1", "2"},
		},
		{
			name: "cut off", script: say1 + "printf '{\"type\"' >&4", kind: Died,
			texts: []string{"without a final record", "line 2: cut off after 7 bytes"}, records: []string{"1"},
		},
		{
			name: "record after the final one", script: finalOK + say1, kind: RunnerFailed,
			texts: []string{"line 2: message after the final record"},
		},
		{
			name: "hello of another kind", script: `echo '{"type":"hello","data":"x"}' >&4` + "\n" + finalOK, kind: RunnerFailed,
			texts: []string{"cannot unmarshal string"},
		},
		{
			name: "panic after the final record", script: say1 + finalOK + "echo '[    9.000000] BUG: kernel NULL pointer dereference' >&3",
			kind: Panicked, texts: []string{"BUG: kernel NULL"}, records: []string{"1"},
		},
		{
			name: "panic beats a failure", script: "echo 'Kernel panic - not syncing: x' >&3\n" + `echo '{"type":"final","cause":"failed","text":"t"}' >&4`,
			kind: Panicked,
		},
		{
			name: "identity", script: `echo '{"type":"final","cause":"identity","text":"1 of 2"}' >&4`, kind: IdentityBroken, texts: []string{"1 of 2"},
		},
		{
			name: "stall", script: say1 + "sleep 600", kind: Hung, texts: []string{"neither console output nor results for 300ms"},
			change: func(m *Machine) { m.Stall = 300 * time.Millisecond }, records: []string{"1"},
		},
		{
			name: "timeout", script: "while true; do " + say1 + "echo x >&3; sleep 0.05; done", kind: Hung, texts: []string{"not done after 1s"},
			change: func(m *Machine) { m.Timeout = time.Second },
		},
		{
			name: "flood", script: say1 + "yes >&3", kind: Flooded, texts: []string{"more than 100000 bytes"},
			change: func(m *Machine) { m.MaxSerial = 100_000 },
		},
		{
			name: "no space for the serial log", script: "echo hello >&3; sleep 600", kind: RunnerFailed, texts: []string{"serial log: write /dev/full: no space left on device"}, never: "TMPDIR",
			change: func(m *Machine) { m.SerialLog = "/dev/full" },
		},
		{
			name: "no folder for the serial log", kind: RunnerFailed, texts: []string{"serial log: open /nonexistent/log"},
			change: func(m *Machine) { m.SerialLog = "/nonexistent/log" },
		},
		{
			name: "kernel is a text file", kind: RunnerFailed, texts: []string{"is not a Linux kernel image"},
			change: func(m *Machine) { m.Kernel = "guest_test.go" },
		},
		{
			name: "kernel is a program", kind: RunnerFailed, texts: []string{"without a PVH note"},
			change: func(m *Machine) { m.Kernel = m.Init },
		},
		{
			name: "kernel is empty", kind: RunnerFailed, texts: []string{"is not a Linux kernel image"},
			change: func(m *Machine) { m.Kernel += ".empty"; _ = os.WriteFile(m.Kernel, nil, 0o644) },
		},
		{
			name: "kernel is a device", kind: RunnerFailed, texts: []string{"kernel: open /dev/zero: not a regular file"},
			change: func(m *Machine) { m.Kernel = "/dev/zero" },
		},
		{
			name: "kernel is a FIFO", kind: RunnerFailed, texts: []string{".fifo: not a regular file"},
			change: func(m *Machine) { m.Kernel += ".fifo"; _ = unix.Mkfifo(m.Kernel, 0o644) },
		},
		{
			name: "kernel is a directory", kind: RunnerFailed, texts: []string{"not a regular file"},
			change: func(m *Machine) { m.Kernel = filepath.Dir(m.Kernel) },
		},
		{
			name: "kernel is truncated", kind: RunnerFailed, texts: []string{"is truncated: its header says 4096 bytes, the file has 4095"},
			change: func(m *Machine) {
				b, _ := os.ReadFile(m.Kernel)
				b[bzSysSize] = (4096 - 5*512) / 16
				_ = os.WriteFile(m.Kernel, b[:4095], 0o644)
			},
		},
		{
			name: "no CPUs", kind: RunnerFailed, texts: []string{"a machine with -1 CPUs: want at least 1"},
			change: func(m *Machine) { m.CPUs = -1 },
		},
		{
			name: "no memory", kind: RunnerFailed, texts: []string{"a machine with 31 MiB of memory: want at least 32"},
			change: func(m *Machine) { m.MemMiB = 31 },
		},
		{
			name: "stall before the start", kind: RunnerFailed, texts: []string{"may stall for -1s"},
			change: func(m *Machine) { m.Stall = -time.Second },
		},
		{
			name: "timeout before the start", kind: RunnerFailed, texts: []string{"timeout of -1s"},
			change: func(m *Machine) { m.Timeout = -time.Second },
		},
		{
			name: "log of less than nothing", kind: RunnerFailed, texts: []string{"a serial log of at most -1 bytes"},
			change: func(m *Machine) { m.MaxSerial = -1 },
		},
		{
			name: "no kernel", kind: RunnerFailed, texts: []string{"kernel: open /nonexistent: no such file"},
			change: func(m *Machine) { m.Kernel = "/nonexistent" },
		},
		{
			name: "init is dynamic", kind: RunnerFailed, texts: []string{"/bin/sh is dynamically linked: build with CGO_ENABLED=0"},
			change: func(m *Machine) { m.Init = "/bin/sh" },
		},
		{
			name: "two CPUs counted", kind: RunnerFailed, texts: []string{"mode icount has 1 CPU, not 2"},
			change: func(m *Machine) { m.Mode, m.CPUs = result.ICount, 2 },
		},
		{
			name: "native", kind: RunnerFailed, texts: []string{`mode "host": a guest runs in kvm, tcg or icount`},
			change: func(m *Machine) { m.Mode = result.Native },
		},
		{
			name: "no disk", kind: RunnerFailed, texts: []string{"disk disk0: stat /nonexistent"},
			change: func(m *Machine) { m.Disks = []Disk{{Image: "/nonexistent"}} },
		},
		{
			name: "disks of one name", kind: RunnerFailed, texts: []string{`disk 1: serial "a" is taken`},
			change: func(m *Machine) { m.Disks = []Disk{{m.Init, "a"}, {m.Init, "a"}} },
		},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			m := fakeMachine(t, tt.script)
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			if tt.change != nil {
				tt.change(&m)
			}
			var got []string
			out, err := Run(t.Context(), m, Job{Handler: "three", OnRecord: collect(&got)})
			if tt.kind != 0 {
				wantError(t, err, tt.kind, tt.texts...)
			} else if err != nil {
				t.Fatal(err.(*Error).Detail())
			}
			if tt.never != "" && strings.Contains(err.Error(), tt.never) {
				t.Errorf("error says %q: %v", tt.never, err)
			}
			if tt.records != nil {
				if diff := cmp.Diff(tt.records, got); diff != "" {
					t.Error(diff)
				}
			}
			if out.Records != len(got) {
				t.Errorf("outcome says %d records of %d", out.Records, len(got))
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestRunOutcome(t *testing.T) {
	m := fakeMachine(t, sayHello+`echo '[    1.000000] WARNING: possible circular locking' >&3
echo '{"type":"progress","text":"half"}' >&4`+"\n"+finalOK)
	var progress []string
	out, err := Run(t.Context(), m, Job{Handler: "x", OnProgress: func(s string) { progress = append(progress, s) }})
	if err != nil {
		t.Fatal(err.(*Error).Detail())
	}
	if diff := cmp.Diff(Hello{Release: "7.3", CPUs: 2}, out.Hello); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"WARNING: possible circular locking"}, out.Warnings); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"half"}, progress); diff != "" {
		t.Error(diff)
	}
	if out.Boot <= 0 || out.Wall < out.Boot {
		t.Errorf("boot %v, wall %v", out.Boot, out.Wall)
	}
	for _, a := range out.QEMU {
		if strings.Contains(strings.ReplaceAll(a, "/dev/fdset/", ""), "/") && !strings.Contains(a, "://") {
			t.Errorf("argument %q has a path", a)
		}
	}
}

func TestRunRecordRefused(t *testing.T) {
	m := fakeMachine(t, say1+say2+"sleep 600")
	want := errors.New("run.json is full")
	_, err := Run(t.Context(), m, Job{Handler: "x", OnRecord: func(d json.RawMessage) error {
		if string(d) == "2" {
			return want
		}
		return nil
	}})
	wantError(t, err, RunnerFailed, "take record 2")
	if !errors.Is(err, want) {
		t.Errorf("%v does not wrap the error", err)
	}
}

// TestRunRelativeDisk: an image by a relative path reaches QEMU by an absolute
// one.
func TestRunRelativeDisk(t *testing.T) {
	m := fakeMachine(t, `echo "$@" > $0.args`+"\n"+finalOK)
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("a:b.img", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.Disks = []Disk{{Image: "a:b.img"}}
	if _, err := Run(t.Context(), m, Job{Handler: "x"}); err != nil {
		t.Fatal(err.(*Error).Detail())
	}
	args, err := os.ReadFile(os.Getenv("WQFAN_QEMU") + ".args")
	if want := "file=" + dir + "/a:b.img,"; err != nil || !strings.Contains(string(args), want) {
		t.Errorf("%s, %v: want %s", args, err, want)
	}
	if m.Disks[0].Image != "a:b.img" {
		t.Errorf("the caller's machine is changed: %v", m.Disks)
	}
}

func TestRunNoQEMU(t *testing.T) {
	m := fakeMachine(t, "")
	t.Setenv("WQFAN_QEMU", "")
	t.Setenv("PATH", "")
	_, err := Run(t.Context(), m, Job{Handler: "x"})
	wantError(t, err, RunnerFailed, `"qemu-system-x86_64": executable file not found in $PATH: install it`)
}

// TestRunNoSpace has 1 MiB for the initramfs.
func TestRunNoSpace(t *testing.T) {
	m := fakeMachine(t, finalOK)
	tmp := t.TempDir()
	if err := unix.Mount("tmpfs", tmp, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a small tmpfs: %v", err)
		}
		t.Skipf("cannot mount a small tmpfs: %v", err)
	}
	defer func() {
		if err := unix.Unmount(tmp, 0); err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("TMPDIR", tmp)
	_, err := Run(t.Context(), m, Job{Handler: "x"})
	wantError(t, err, RunnerFailed, "initramfs", "no space left on device: make room, or set TMPDIR")
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDetect has a KVM that boots, one that does not, and none.
func TestDetect(t *testing.T) {
	if _, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		mode, why := Detect(t.Context(), "guest_test.go")
		if mode != result.TCG || why == kvmBoots || why == "" {
			t.Errorf("mode %s, %q with %v", mode, why, err)
		}
		return
	}
	for _, tt := range []struct {
		name, script string
		mode         result.Mode
		why          string
	}{
		{"boots", "echo '[    0.100000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)' >&3", result.KVM, "boots"},
		{"refused", "echo 'failed to set MSR' >&2; exit 1", result.TCG, "failed to set MSR"},
		{"other panic", "echo 'Kernel panic - not syncing: Fatal exception' >&3", result.TCG, "Fatal exception"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			verdicts.why = nil
			m := fakeMachine(t, "echo x >> $0.calls\n"+tt.script)
			for range 3 {
				mode, why := Detect(t.Context(), m.Kernel)
				if mode != tt.mode || !strings.Contains(why, tt.why) {
					t.Errorf("%s, %q: want %s, %q", mode, why, tt.mode, tt.why)
				}
			}
			verdicts.why = nil // another process
			Detect(t.Context(), m.Kernel)
			calls, err := os.ReadFile(os.Getenv("WQFAN_QEMU") + ".calls")
			if err != nil || !bytes.Equal(calls, []byte("x\n")) {
				t.Errorf("tried %q, %v: want once", calls, err)
			}
			file, err := verdictsFile()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("{garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
			verdicts.why = nil
			if mode, _ := Detect(t.Context(), m.Kernel); mode != tt.mode {
				t.Errorf("with a cache of garbage: %s", mode)
			}
		})
	}
	verdicts.why = nil
}

// TestRunInterrupted ends the context before and after the final record; the
// guest does not end by itself.
func TestRunInterrupted(t *testing.T) {
	for name, script := range map[string]string{"before": "", "after": finalOK} {
		t.Run(name, func(t *testing.T) {
			m := fakeMachine(t, script+"echo now >&3; sleep 600")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for ctx.Err() == nil {
					if b, _ := os.ReadFile(m.SerialLog); bytes.Contains(b, []byte("now")) {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
			}()
			_, err := Run(ctx, m, Job{Handler: "x"})
			wantError(t, err, Interrupted, "context canceled")
		})
	}
}

// The guest may miss the answer to its final record: it gets more than one.
func TestAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{m: Machine{Timeout: time.Hour, Stall: time.Hour}, start: time.Now()}
		r.done.Store(true)
		exited := make(chan error)
		time.AfterFunc(10*time.Second, func() { close(exited) })
		var answers bytes.Buffer
		if hung, err := r.watch(t.Context(), &answers, exited, nil, func() { close(exited) }); hung != "" || err != nil {
			t.Errorf("hung %q, %v", hung, err)
		}
		if n := strings.Count(answers.String(), ack); n < 5 {
			t.Errorf("%d answers in ten seconds: %q", n, &answers)
		}
	})
}
