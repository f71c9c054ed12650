// SPDX-License-Identifier: MIT

// Package guesttest runs a package's tests in a guest:
//
//	func TestGuest(t *testing.T) {
//		guesttest.Run(t, guesttest.Options{Run: "^TestInGuest"})
//	}
//
// builds the package's test binary statically, boots a guest with fresh ext4 and
// XFS disks mounted at /mnt/ext4 and /mnt/xfs, runs the binary there as root and
// reports each of its tests as a subtest. In the guest WQFAN_GUEST=1 is set, the
// working directory holds a copy of testdata, and the calling test is left out.
package guesttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wqfan/bench/guest"
	"wqfan/bench/result"
)

// KernelEnv names the environment variable with the path of the kernel to boot.
const KernelEnv = "WQFAN_KERNEL"

const (
	initPackage = "wqfan/bench/guest/guesttest/init"
	guestDir    = "/work"          // working directory of the tests
	guestBinary = "/bin/test.test" //
)

// Options say what to run, and where. The zero value runs all tests of the
// package in the current directory.
type Options struct {
	Kernel string      // bzImage; "": what WQFAN_KERNEL names
	Dir    string      // of the package; "": the current one, the calling test's own
	Run    string      // -test.run; "": all
	Mode   result.Mode // "": TCG
	CPUs   int         // 0: 1
	MemMiB int         // 0: guest.DefaultMemMiB
	Append []string    // further kernel arguments
	Env    map[string]string
	FS     []string     // disks, mounted at /mnt/<fs>; nil: ext4 and xfs
	Disks  []guest.Disk // further ones, not mounted; see guest.FindDisk
	Files  []guest.File // further ones, for example C programs
	// Timeout bounds the whole; 0 is 5 minutes. A single test may be silent as
	// long.
	Timeout time.Duration
	// Warnings allows the kernel to warn.
	Warnings bool
	// Say is called with the output of each test that ran, by name.
	Say func(test string, lines []string)
}

// Kernel returns the path of the kernel that WQFAN_KERNEL names. Without one the
// test is skipped, or fails when CI=true.
func Kernel(t testing.TB) string {
	t.Helper()
	if k := os.Getenv(KernelEnv); k != "" {
		return k
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s names no kernel to boot: set it to what `wqfan kernel path` prints", KernelEnv)
	}
	t.Skipf("%s names no kernel to boot: set it to what `wqfan kernel path` prints", KernelEnv)
	return ""
}

// Run runs tests in a guest and reports them as subtests of t. It fails t when
// the guest panics, hangs or dies, when the kernel warns, and when no test ran.
func Run(t *testing.T, o Options) {
	t.Helper()
	if os.Getenv("WQFAN_GUEST") != "" {
		t.Skip("this is the host's side of a test, and runs in the guest")
	}
	if o.Kernel == "" {
		o.Kernel = Kernel(t)
	}
	if o.Mode == "" {
		o.Mode = result.TCG
	}
	if o.FS == nil {
		o.FS = []string{"ext4", "xfs"}
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Dir == "" {
		o.Dir = "."
	}
	tmp := t.TempDir()
	init, binary := filepath.Join(tmp, "init"), filepath.Join(tmp, "test")
	build(t, o.Dir, "build", "-o", init, initPackage)
	build(t, o.Dir, "test", "-c", "-o", binary, ".")
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%s has no tests: %v", o.Dir, err)
	}

	m := guest.Machine{
		Kernel: o.Kernel, Mode: o.Mode, CPUs: o.CPUs, MemMiB: o.MemMiB, Append: o.Append,
		Init: init, Stall: o.Timeout, Timeout: o.Timeout,
		SerialLog: filepath.Join(t.ArtifactDir(), "serial.log"),
		Files:     append([]guest.File{{Path: guestBinary, Host: binary}}, o.Files...),
	}
	m.Files = append(m.Files, testdata(t, o.Dir)...)
	var mounts []guest.Mount
	for _, fs := range o.FS {
		image, err := guest.Image{FS: fs}.Create(t.Context(), tmp)
		if err != nil {
			t.Fatal(err)
		}
		mounts = append(mounts, guest.Mount{Disk: len(m.Disks), Dir: "/mnt/" + fs, Type: fs})
		m.Disks = append(m.Disks, guest.Disk{Image: image, Serial: fs})
	}
	m.Disks = append(m.Disks, o.Disks...)

	host, _, _ := strings.Cut(t.Name(), "/")
	argv := []string{guestBinary, "-test.v=test2json", "-test.skip=^" + host + "$",
		// Shorter than the guest's time, so that the stacks of a hung test are seen.
		"-test.timeout=" + (o.Timeout * 8 / 10).String()}
	if o.Run != "" {
		argv = append(argv, "-test.run="+o.Run)
	}
	payload, err := json.Marshal(guest.Exec{Argv: argv, Dir: guestDir})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"CI": os.Getenv("CI")}
	for k, v := range o.Env {
		env[k] = v
	}
	var p parser
	out, err := guest.Run(t.Context(), m, guest.Job{
		Handler: guest.HandlerExec, Payload: payload, Env: env, Mounts: mounts,
		OnRecord: func(data json.RawMessage) error {
			var e guest.ExecOutput
			if err := json.Unmarshal(data, &e); err != nil {
				return fmt.Errorf("output of the test binary: %w", err)
			}
			p.write(e.Text)
			return nil
		},
	})
	p.flush()
	for _, test := range p.top.children {
		if o.Say != nil {
			o.Say(test.short(), test.output)
		}
		report(t, test)
	}
	judge(t, o, &p, out, err)
}

// judge fails t for what no subtest shows.
func judge(t *testing.T, o Options, p *parser, out guest.Outcome, err error) {
	t.Helper()
	var e *guest.Error
	switch {
	case errors.As(err, &e) && (e.Kind != guest.Failed || !p.failed()):
		t.Errorf("%s\n%s", e.Detail(), strings.Join(p.top.output, "\n"))
	case err != nil && e == nil:
		t.Error(err)
	case err == nil && len(p.top.children) == 0:
		t.Errorf("no test ran in the guest: %s", strings.Join(p.top.output, "; "))
	}
	if len(out.Warnings) > 0 && !o.Warnings {
		t.Errorf("the guest's kernel warned:\n%s", strings.Join(out.Warnings, "\n"))
	}
	t.Logf("guest: Linux %s, %d CPUs, %s: booted in %.1fs, all in %.1fs",
		out.Hello.Release, out.Hello.CPUs, o.Mode, out.Boot.Seconds(), out.Wall.Seconds())
}

// report makes a subtest of a test that ran in the guest.
func report(t *testing.T, test *outcome) {
	t.Run(test.short(), func(t *testing.T) {
		for _, c := range test.children {
			report(t, c)
		}
		text := strings.Join(test.output, "\n")
		switch test.status {
		case "PASS":
			if text != "" {
				t.Log(text)
			}
		case "SKIP":
			t.Skip(text)
		case "FAIL":
			t.Error(text)
		default:
			t.Errorf("did not end\n%s", text)
		}
	})
}

// build runs the go tool in dir for a static binary.
func build(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// testdata are the files of the package's testdata folder.
func testdata(t *testing.T, dir string) []guest.File {
	t.Helper()
	var files []guest.File
	root := filepath.Join(dir, "testdata")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, guest.File{Path: filepath.Join(guestDir, rel), Host: path})
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}
