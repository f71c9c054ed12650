// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/result"
)

// testHandlers run in the guest, see TestMain.
var testHandlers = map[string]Handler{
	"three": func(_ context.Context, payload json.RawMessage, out *Output) error {
		for i := range 3 {
			if err := out.Record(fmt.Sprintf("%s %d", payload, i)); err != nil {
				return err
			}
		}
		return nil
	},
	"fails": func(context.Context, json.RawMessage, *Output) error {
		return errors.New("no luck: " + unix.EUCLEAN.Error())
	},
	"identity": func(context.Context, json.RawMessage, *Output) error {
		return fmt.Errorf("3 too few: %w", IdentityBroken)
	},
	"panics": func(context.Context, json.RawMessage, *Output) error { panic("on purpose") },
	"crashes": func(context.Context, json.RawMessage, *Output) error {
		go panic("in a goroutine")
		time.Sleep(time.Hour)
		return nil
	},
	"exits":  func(context.Context, json.RawMessage, *Output) error { os.Exit(0); return nil },
	"killed": func(context.Context, json.RawMessage, *Output) error { return unix.Kill(os.Getpid(), unix.SIGKILL) },
	"hangs": func(_ context.Context, _ json.RawMessage, out *Output) error {
		if err := out.Record("before"); err != nil {
			return err
		}
		time.Sleep(time.Hour)
		return nil
	},
	"never ends": func(_ context.Context, _ json.RawMessage, out *Output) error {
		for i := 0; ; i++ {
			if err := errors.Join(out.Record(i), out.Progress("still there")); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	},
	"floods": func(context.Context, json.RawMessage, *Output) error {
		for {
			fmt.Fprintln(os.Stderr, strings.Repeat("flood ", 20))
		}
	},
	// Process 1 gets a signal that the Go runtime dies of: a kernel panic.
	"kernel panic": func(_ context.Context, _ json.RawMessage, out *Output) error {
		if err := out.Record("before"); err != nil {
			return err
		}
		if err := unix.Kill(1, unix.SIGABRT); err != nil {
			return err
		}
		time.Sleep(time.Hour)
		return nil
	},
	"powers off": func(_ context.Context, _ json.RawMessage, out *Output) error {
		if err := out.Record("before"); err != nil {
			return err
		}
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	},
	"cut off": func(_ context.Context, _ json.RawMessage, out *Output) error {
		if err := out.Record("before"); err != nil {
			return err
		}
		if _, err := out.w.Write([]byte(`{"type":"record","da`)); err != nil {
			return err
		}
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	},
	"killed in a line": func(_ context.Context, _ json.RawMessage, out *Output) error {
		if _, err := out.w.Write([]byte(`{"type":"record","da`)); err != nil {
			return err
		}
		return unix.Kill(os.Getpid(), unix.SIGKILL)
	},
	"large":  handleLarge,
	"printk": handlePrintk,
	"disks":  handleDisks,
	"env":    handleEnv,
	"orphan": handleOrphan,
	"loop":   handleLoop,
}

// handleLarge sends 20 records of 1 MiB and one of 20 MiB, then their sums.
func handleLarge(_ context.Context, _ json.RawMessage, out *Output) error {
	var sums []uint32
	for i := range 21 {
		size := 1 << 20
		if i == 20 {
			size = 20 << 20
		}
		s := strings.Repeat(string(rune('a'+i)), size-i)
		if err := out.Record(s); err != nil {
			return err
		}
		sums = append(sums, crc32.ChecksumIEEE([]byte(s)))
	}
	return out.Record(sums)
}

// handlePrintk makes the kernel print 300 lines, then panics it.
func handlePrintk(context.Context, json.RawMessage, *Output) error {
	kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for i := range 300 {
		if _, err := fmt.Fprintf(kmsg, "<0>printk %d of 300 abcdefghijklmnopqrstuvwxyz\n", i); err != nil {
			return err
		}
	}
	if err := unix.Kill(1, unix.SIGABRT); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

// handleDisks records the filesystems mounted at /mnt and writes to them.
func handleDisks(_ context.Context, _ json.RawMessage, out *Output) error {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err
	}
	for l := range strings.Lines(string(mounts)) {
		if f := strings.Fields(l); strings.HasPrefix(f[1], "/mnt/") {
			if err := os.WriteFile(f[1]+"/new", []byte("written in the guest"), 0o600); err != nil {
				return err
			}
			if err := out.Record(f[1] + " " + f[2]); err != nil {
				return err
			}
		}
	}
	dev, err := FindDisk("raw")
	if err != nil {
		return err
	}
	if _, err := FindDisk("missing"); err == nil {
		return errors.New("found a disk that is not there")
	}
	old, err := os.ReadFile("/mnt/ext4/old")
	if err != nil {
		return err
	}
	_, noFile := os.Stat("/mnt/ext4/broken")
	return errors.Join(out.Record(dev), out.Record(string(old)), out.Record(fmt.Sprint(noFile)))
}

func handleEnv(_ context.Context, _ json.RawMessage, out *Output) error {
	b, err := os.ReadFile("/etc/extra/file")
	if err != nil {
		return err
	}
	st, err := os.Stat("/etc/extra/file")
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	return out.Record(fmt.Sprint(os.Getenv("WQFAN_GUEST"), os.Getenv("COLOUR"), os.Getenv(roleEnv), string(b), st.Mode(), host, os.Getuid()))
}

// handleOrphan leaves a process behind that outlives its parent, and waits until
// process 1 has reaped it.
func handleOrphan(context.Context, json.RawMessage, *Output) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{orphanEnv + "=parent"}
	pid, err := cmd.Output()
	if err != nil {
		return err
	}
	for {
		stat, err := os.ReadFile("/proc/" + string(pid) + "/stat")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return err
		}
		// It has no parent while it is taken out of the table.
		if f := strings.Fields(string(stat)); f[2] == "Z" && f[3] != "1" && f[3] != "0" {
			return fmt.Errorf("the orphan's parent is %s", f[3])
		}
		time.Sleep(time.Millisecond)
	}
}

// handleLoop records what a fixed loop takes, in guest time, 21 times.
func handleLoop(_ context.Context, _ json.RawMessage, out *Output) error {
	// Nothing ordinary, the threads of Go's runtime included, may take the CPU
	// away: how often they wake up is not the machine's affair.
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 50}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return os.NewSyscallError("sched_setattr", err)
	}
	var took []int64
	for range 101 {
		start := time.Now()
		for i := range 200_000 {
			sink += i
		}
		took = append(took, time.Since(start).Nanoseconds())
	}
	return out.Record(took)
}

var sink int

// orphanEnv makes the test binary play the part of a process that leaves a child
// behind, or of that child.
const orphanEnv = "GUEST_TEST_ORPHAN"

// hostEnv makes the test binary run one guest that does not end: the job.
const hostEnv = "GUEST_TEST_HOST"

func TestMain(m *testing.M) {
	switch os.Getenv(orphanEnv) {
	case "parent":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{orphanEnv + "=child"}
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(cmd.Process.Pid)
		os.Exit(0)
	case "child":
		time.Sleep(50 * time.Millisecond)
		os.Exit(0)
	}
	if IsInit() {
		Main(testHandlers)
	}
	if h := os.Getenv(hostEnv); h != "" {
		_, err := Run(context.Background(), Machine{
			Kernel: os.Getenv("WQFAN_KERNEL"), Mode: result.TCG,
		}, Job{Handler: h, OnRecord: func(json.RawMessage) error { _, err := fmt.Println("record"); return err }})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(ExitStatus(err))
	}
	var err error
	if buildDir, err = os.MkdirTemp("", "guest-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// buildDir is where staticSelf builds.
var buildDir string

// staticSelf is this test binary, linked statically.
var staticSelf = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil || checkStatic(self) == nil {
		return self, err
	}
	path := filepath.Join(buildDir, "guest.test")
	cmd := exec.Command("go", "test", "-c", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return path, nil
})

// testMachine is a machine with this test binary as its init, for tests that
// boot a kernel.
func testMachine(t *testing.T) Machine {
	t.Helper()
	kernel := os.Getenv("WQFAN_KERNEL")
	if kernel == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("WQFAN_KERNEL names no kernel to boot")
		}
		t.Skip("WQFAN_KERNEL names no kernel to boot")
	}
	init, err := staticSelf()
	if err != nil {
		t.Fatal(err)
	}
	return Machine{
		Kernel: kernel, Mode: result.TCG, Init: init,
		SerialLog: filepath.Join(t.TempDir(), "serial.log"),
	}
}

// collect makes OnRecord of a slice.
func collect(records *[]string) func(json.RawMessage) error {
	return func(d json.RawMessage) error { *records = append(*records, string(d)); return nil }
}

// wantError checks the kind of err and that each of texts is in it or its
// context.
func wantError(t *testing.T, err error, kind Kind, texts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("%v: want %v", err, kind)
	}
	for _, text := range texts {
		if !strings.Contains(e.Detail(), text) {
			t.Errorf("error does not say %q: %s", text, e.Detail())
		}
	}
}
