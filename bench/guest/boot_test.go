// SPDX-License-Identifier: MIT

package guest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wqfan/bench/result"
)

// These tests boot the kernel that WQFAN_KERNEL names.

func TestBoot(t *testing.T) {
	for _, tt := range []struct {
		mode result.Mode
		cpus int
	}{{result.TCG, 1}, {result.TCG, 2}, {result.ICount, 1}} {
		t.Run(fmt.Sprintf("%s-%d", tt.mode, tt.cpus), func(t *testing.T) {
			m := testMachine(t)
			m.Mode, m.CPUs = tt.mode, tt.cpus
			m.Append = []string{"wqfan_test=1"}
			var got []string
			out, err := Run(t.Context(), m, Job{Handler: "three", Payload: json.RawMessage(`7`), OnRecord: collect(&got)})
			if err != nil {
				t.Fatal(err.(*Error).Detail())
			}
			if diff := cmp.Diff([]string{`"7 0"`, `"7 1"`, `"7 2"`}, got); diff != "" {
				t.Error(diff)
			}
			if out.Records != 3 || out.Hello.Release == "" || out.Hello.CPUs != tt.cpus ||
				!strings.Contains(out.Hello.Cmdline, "wqfan_test=1") {
				t.Errorf("outcome %+v", out)
			}
			if len(out.Warnings) > 0 {
				t.Errorf("the kernel warns: %q", out.Warnings)
			}
			log, err := os.ReadFile(m.SerialLog)
			if err != nil || !bytes.Contains(log, []byte("Linux version "+out.Hello.Release)) {
				t.Errorf("serial log of %d bytes, %v", len(log), err)
			}
			t.Logf("boot %v, all %v", out.Boot, out.Wall)
		})
	}
}

func TestBadEnds(t *testing.T) {
	for _, tt := range []struct {
		handler string
		change  func(*Machine, *Job)
		kind    Kind
		texts   []string
		records []string
	}{
		{handler: "fails", kind: Failed, texts: []string{"no luck: structure needs cleaning"}},
		{handler: "identity", kind: IdentityBroken, texts: []string{"3 too few"}},
		{handler: "panics", kind: Failed, texts: []string{"handler panicked: on purpose", "guest_test.go"}},
		{handler: "crashes", kind: Failed, texts: []string{"exited with status 2 and no result", "panic: in a goroutine"}},
		{handler: "exits", kind: Failed, texts: []string{"exited with status 0 and no result"}},
		{handler: "killed", kind: Failed, texts: []string{"was killed: killed"}},
		{handler: "killed in a line", kind: Failed, texts: []string{"was killed: killed"}},
		{handler: "unknown", kind: RunnerFailed, texts: []string{`no handler "unknown"`}},
		{
			handler: "kernel panic", kind: Panicked, records: []string{`"before"`},
			texts: []string{"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200", "Call Trace"},
		},
		{handler: "powers off", kind: Died, records: []string{`"before"`}, texts: []string{"without a final record", "reboot: Power down"}},
		{handler: "cut off", kind: Died, records: []string{`"before"`}, texts: []string{"line 3: cut off after 20 bytes"}},
		{
			handler: "hangs", kind: Hung, records: []string{`"before"`}, texts: []string{"neither console output nor results for 15s"},
			change: func(m *Machine, _ *Job) { m.Stall = 15 * time.Second },
		},
		{
			handler: "never ends", kind: Hung, texts: []string{"not done after 20s"},
			change: func(m *Machine, _ *Job) { m.Timeout = 20 * time.Second },
		},
		{
			handler: "floods", kind: Flooded, texts: []string{"more than 262144 bytes: guest killed", "flood flood"},
			change: func(m *Machine, _ *Job) { m.MaxSerial = 256 << 10 },
		},
		{
			handler: "three", kind: RunnerFailed, texts: []string{"in the guest: mount /dev/vda (xfs) on /mnt/x: invalid argument"},
			change: func(m *Machine, j *Job) {
				m.Disks = []Disk{{Image: blank(m.Init)}}
				j.Mounts = []Mount{{Dir: "/mnt/x", Type: "xfs"}}
			},
		},
		{
			handler: "three", kind: RunnerFailed, texts: []string{"in the guest: mount", "no such device"},
			change: func(m *Machine, j *Job) {
				m.Disks = []Disk{{Image: blank(m.Init)}}
				j.Mounts = []Mount{{Dir: "/mnt/x", Type: "nosuchfs"}}
			},
		},
	} {
		t.Run(strings.ReplaceAll(tt.handler+" "+tt.kind.Error(), " ", "-"), func(t *testing.T) {
			t.Parallel()
			m, j := testMachine(t), Job{Handler: tt.handler}
			if tt.change != nil {
				tt.change(&m, &j)
			}
			var got []string
			j.OnRecord = collect(&got)
			out, err := Run(t.Context(), m, j)
			wantError(t, err, tt.kind, tt.texts...)
			if tt.records != nil {
				if diff := cmp.Diff(tt.records, got); diff != "" {
					t.Error(diff)
				}
			}
			if out.Records != len(got) {
				t.Errorf("%d records arrived, the outcome says %d", len(got), out.Records)
			}
			st, err := os.Stat(m.SerialLog)
			if err != nil || st.Size() == 0 || m.MaxSerial > 0 && st.Size() > m.MaxSerial+100 {
				t.Errorf("serial log: %v, %v", st, err)
			}
		})
	}
}

// TestSlowHost reads the console of a panic as a host does that has no time: in
// pieces, with pauses. The kernel's UART must not lose a byte over it.
func TestSlowHost(t *testing.T) {
	m := testMachine(t)
	m.Append = []string{"printk.devkmsg=on"}
	if err := unix.Mkfifo(m.SerialLog, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(m.SerialLog, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(fifo.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	var reader sync.WaitGroup
	reader.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := fifo.Read(b)
			log.Write(b[:n])
			if err != nil || bytes.HasSuffix(b[:n], []byte("end of the log\n")) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	_, runErr := Run(t.Context(), m, Job{Handler: "printk"})
	if _, err := fifo.WriteString("end of the log\n"); err != nil {
		t.Fatal(err)
	}
	reader.Wait()
	fifo.Close()
	wantError(t, runErr, Panicked, "Attempted to kill init!")
	lost := 0
	for i := range 300 {
		if !bytes.Contains(log.Bytes(), fmt.Appendf(nil, "printk %d of 300 abcdefghijklmnopqrstuvwxyz\r\n", i)) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of 300 lines are not whole in the serial log", lost)
	}
}

// blank is a disk without a filesystem: any file will do.
func blank(file string) string { return file }

func TestLarge(t *testing.T) {
	m := testMachine(t)
	var got []uint32
	var want string
	_, err := Run(t.Context(), m, Job{Handler: "large", OnRecord: func(d json.RawMessage) error {
		if len(got) == 21 {
			want = string(d)
			return nil
		}
		var s string
		if err := json.Unmarshal(d, &s); err != nil {
			return err
		}
		got = append(got, crc32.ChecksumIEEE([]byte(s)))
		return nil
	}})
	if err != nil {
		t.Fatal(err.(*Error).Detail())
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("got %s, the guest sent %s", b, want)
	}
}

func TestDisks(t *testing.T) {
	m := testMachine(t)
	dir := t.TempDir()
	old := filepath.Join(dir, "in")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "broken"} {
		if err := os.WriteFile(filepath.Join(old, name), []byte("from the host"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var job Job
	var want []string
	for i, fs := range []string{"ext4", "xfs", "btrfs"} {
		im := Image{FS: fs}
		if fs == "ext4" {
			im.Dir = old
		}
		path, err := im.Create(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		m.Disks = append(m.Disks, Disk{Image: path})
		job.Mounts = append(job.Mounts, Mount{Disk: i, Dir: "/mnt/" + fs, Type: fs})
		want = append(want, fmt.Sprintf(`"/mnt/%s %s"`, fs, fs))
	}
	// An inode whose mode makes no sense, under a checksum that is right.
	if err := Debugfs(t.Context(), m.Disks[0].Image, []string{"set_inode_field /broken mode 0"}); err != nil {
		t.Fatal(err)
	}
	m.Disks = append(m.Disks, Disk{Image: m.Init, Serial: "raw"})
	want = append(want, `"/dev/vdd"`, `"from the host"`, `"stat /mnt/ext4/broken: structure needs cleaning"`)

	before := sums(t, m.Disks)
	for range 2 { // what the first boot wrote, the second does not see
		var got []string
		job.Handler, job.OnRecord = "disks", collect(&got)
		if _, err := Run(t.Context(), m, job); err != nil {
			t.Fatal(err.(*Error).Detail())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(before, sums(t, m.Disks)); diff != "" {
		t.Errorf("the guest wrote to an image: %s", diff)
	}
}

func sums(t *testing.T, disks []Disk) []string {
	t.Helper()
	var s []string
	for _, d := range disks {
		b, err := os.ReadFile(d.Image)
		if err != nil {
			t.Fatal(err)
		}
		s = append(s, fmt.Sprintf("%x", sha256.Sum256(b)))
	}
	return s
}

func TestEnvAndFiles(t *testing.T) {
	m := testMachine(t)
	m.Files = []File{{Path: "/etc/extra/file", Data: []byte(" text "), Mode: 0o751}}
	var got []string
	_, err := Run(t.Context(), m, Job{Handler: "env", Env: map[string]string{"COLOUR": "blue"}, OnRecord: collect(&got)})
	if err != nil {
		t.Fatal(err.(*Error).Detail())
	}
	if diff := cmp.Diff([]string{`"1blue text -rwxr-x--xwqfan0"`}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOrphanIsReaped(t *testing.T) {
	m := testMachine(t)
	if _, err := Run(t.Context(), m, Job{Handler: "orphan"}); err != nil {
		t.Fatal(err.(*Error).Detail())
	}
}

// TestExec runs this test binary as a program in the guest.
func TestExec(t *testing.T) {
	m := testMachine(t)
	m.Files = []File{{Path: "/bin/self.test", Host: m.Init}}
	for _, tt := range []struct {
		name string
		exec Exec
		kind Kind
		want []string
	}{
		{"passes", Exec{Argv: []string{"self.test", "-test.run=^TestExitStatus$", "-test.v"}, Dir: "/made/here"}, 0, []string{"--- PASS: TestExitStatus", "PASS"}},
		{"fails", Exec{Argv: []string{"/bin/self.test"}, Env: []string{hostEnv + "=x"}}, Failed, []string{"runner failed: kernel: open"}},
		{"missing", Exec{Argv: []string{"/bin/nothing"}}, Failed, nil},
		{"empty", Exec{}, Failed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload, err := json.Marshal(tt.exec)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			_, err = Run(t.Context(), m, Job{Handler: HandlerExec, Payload: payload, OnRecord: func(d json.RawMessage) error {
				var o ExecOutput
				err := json.Unmarshal(d, &o)
				text.WriteString(o.Text)
				return err
			}})
			if tt.kind != 0 {
				wantError(t, err, tt.kind, "exec")
			} else if err != nil {
				t.Fatal(err.(*Error).Detail())
			}
			for _, w := range tt.want {
				if !strings.Contains(text.String(), w) {
					t.Errorf("%q is not in the output: %s", w, text.String())
				}
			}
		})
	}
}

// TestInterrupt ends the context in the middle: what was recorded is kept, and
// nothing is left behind.
func TestInterrupt(t *testing.T) {
	m := testMachine(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("^C")
	var got []string
	out, err := Run(ctx, m, Job{Handler: "never ends", OnRecord: func(d json.RawMessage) error {
		if got = append(got, string(d)); len(got) == 3 {
			cancel(why)
		}
		return nil
	}})
	wantError(t, err, Interrupted, "records arrived")
	if !errors.Is(err, why) {
		t.Errorf("%v does not wrap the cause", err)
	}
	if len(got) < 3 || !slices.Equal(got[:3], []string{"0", "1", "2"}) || out.Records != len(got) {
		t.Errorf("records %q, outcome %+v", got, out)
	}
	if left := processesWith(t, tmp); len(left) > 0 {
		t.Errorf("QEMU is left: %v", left)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// TestHostKilled kills the host tool, which cannot clean up after itself then:
// QEMU goes with it, and the next one takes away what it left.
func TestHostKilled(t *testing.T) {
	m := testMachine(t)
	tmp := t.TempDir()
	cmd := exec.Command(m.Init)
	cmd.Env = append(os.Environ(), hostEnv+"=never ends", "TMPDIR="+tmp)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "record\n" {
		t.Errorf("the host says %q, %v", line, err)
	}
	if len(processesWith(t, tmp)) == 0 {
		t.Error("found no QEMU: this test cannot tell")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	for len(processesWith(t, tmp)) > 0 {
		time.Sleep(10 * time.Millisecond) // the test's deadline bounds it
	}
	dirs, err := os.ReadDir(tmp)
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v: want what the killed process left", dirs, err)
	}
	removeStale(tmp, time.Hour)
	if dirs, err := os.ReadDir(tmp); err != nil || len(dirs) != 1 {
		t.Errorf("%v, %v: it may be in use yet", dirs, err)
	}
	removeStale(tmp, 0)
	if dirs, err := os.ReadDir(tmp); err != nil || len(dirs) != 0 {
		t.Errorf("%v, %v: want nothing", dirs, err)
	}
}

// processesWith are the QEMU processes that have text in their arguments.
func processesWith(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may have ended
		if bytes.Contains(b, []byte(text)) && bytes.Contains(b, []byte("-nodefaults")) {
			found = append(found, f)
		}
	}
	return found
}

// TestICountRepeats: what a loop takes under icount is the same in two boots.
func TestICountRepeats(t *testing.T) {
	m := testMachine(t)
	m.Mode = result.ICount
	var medians []int64
	for range 2 {
		var took []int64
		_, err := Run(t.Context(), m, Job{Handler: "loop", OnRecord: func(d json.RawMessage) error { return json.Unmarshal(d, &took) }})
		if err != nil {
			t.Fatal(err.(*Error).Detail())
		}
		slices.Sort(took)
		medians = append(medians, took[len(took)/2])
	}
	a, b := float64(medians[0]), float64(medians[1])
	if a < 200_000 || (a-b)/a > 0.005 || (b-a)/a > 0.005 {
		t.Errorf("medians %v instructions: want the same within 0.5 %%, at least one for each pass", medians)
	}
	t.Logf("medians %v", medians)
}
