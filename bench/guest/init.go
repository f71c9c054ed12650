// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roleEnv marks the process that runs the handler.
const roleEnv = "WQFAN_GUEST_ROLE"

// The handler's file descriptors.
const (
	fdPort    = 3 // the virtio port
	fdVerdict = 4 // pipe to process 1: the handler's final record
)

// IsInit says whether this process is the guest's init or the process that runs
// the handler: then it must call [Main] before anything else.
func IsInit() bool {
	if os.Getpid() != 1 && os.Getenv(roleEnv) == "" {
		return false
	}
	// Process 1 of a container is not ours.
	_, err := os.Stat(jobFile)
	return err == nil
}

// Main is the guest's side. It never returns.
func Main(handlers map[string]Handler) {
	if os.Getpid() == 1 {
		supervise()
	}
	runHandler(handlers)
}

// diskLinks is where the guest's init links the machine's disks, by serial.
const diskLinks = "/dev/wqfan"

// FindDisk returns the device node of the disk with the given serial. It works
// in the guest only.
func FindDisk(serial string) (string, error) {
	return filepath.EvalSymlinks(filepath.Join(diskLinks, serial))
}

// linkDisks gives the disks the names that FindDisk knows.
func linkDisks(disks []orderedDisk) error {
	if err := os.MkdirAll(diskLinks, 0o755); err != nil {
		return err
	}
	for _, d := range disks {
		find := d.find
		if d.Size > 0 {
			find = d.attach
		}
		device, err := find()
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Serial, err)
		}
		if err := os.Symlink(device, filepath.Join(diskLinks, d.Serial)); err != nil {
			return err
		}
	}
	return nil
}

// find returns the device node of a disk on virtio-blk.
func (d orderedDisk) find() (device string, err error) {
	files, err := filepath.Glob("/sys/block/*/serial")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.TrimSpace(string(b)) == d.Serial {
			return "/dev/" + filepath.Base(filepath.Dir(f)), nil
		}
	}
	return "", fmt.Errorf("none of %d has this serial", len(files))
}

// runHandler is the process that runs the handler.
func runHandler(handlers map[string]Handler) {
	os.Unsetenv(roleEnv)
	unix.CloseOnExec(fdPort)
	unix.CloseOnExec(fdVerdict)
	out := &Output{w: os.NewFile(fdPort, portName)}
	verdict := os.NewFile(fdVerdict, "verdict")

	final := func() message {
		o, err := readOrders()
		if err != nil {
			return setupFailed(err)
		}
		h, ok := handlers[o.Handler]
		if !ok && o.Handler == HandlerExec {
			h, ok = handleExec, true
		}
		if !ok {
			return setupFailed(fmt.Errorf("this init has no handler %q", o.Handler))
		}
		return call(context.Background(), h, o.Payload, out)
	}()
	if err := json.NewEncoder(verdict).Encode(final); err != nil {
		fmt.Fprintln(os.Stderr, "wqfan:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func setupFailed(err error) message {
	return message{Type: msgFinal, Cause: causeSetup, Text: "in the guest: " + err.Error()}
}

func readOrders() (o orders, err error) {
	b, err := os.ReadFile(jobFile)
	if err != nil {
		return o, err
	}
	return o, unmarshal(b, &o)
}

// supervise is process 1.
func supervise() {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "wqfan: init panicked: %v\n%s", p, debug.Stack())
		}
		powerOff()
	}()
	say := func(err error) { fmt.Fprintln(os.Stderr, "wqfan:", err) }

	setupErr := mountAll(systemMounts)
	if err := unix.Sethostname([]byte("wqfan")); err != nil {
		say(err)
	}
	if err := loadModules(); err != nil {
		say(err)
	}
	port, err := openPort(10 * time.Second)
	if err != nil {
		say(err)
		return
	}
	out := &Output{w: port}
	if err := out.send(hello()); err != nil {
		say(err)
	}
	final := func() message {
		if setupErr != nil {
			return setupFailed(setupErr)
		}
		o, err := readOrders()
		if err != nil {
			return setupFailed(err)
		}
		if err := linkDisks(o.Disks); err != nil {
			return setupFailed(err)
		}
		if err := mountAll(diskMounts(o)); err != nil {
			return setupFailed(err)
		}
		return runChild(o, port)
	}()
	killAll()
	time.AfterFunc(slowEnd, blame)
	if !final.OK {
		// The handler may have died in the middle of a line.
		if _, err := io.WriteString(port, "\n"); err != nil {
			say(err)
		}
	}
	if err := sendFinal(out, port, final); err != nil {
		say(err)
	}
}

func sendFinal(out *Output, port *os.File, final message) error {
	if err := out.send(final); err != nil {
		return err
	}
	// Without the host's answer the record could be lost in a power off. A
	// deadline of the port's would do nothing: the handler, which had it, too,
	// has made it a blocking one.
	answered := make(chan error, 1)
	go func() {
		_, err := port.Read(make([]byte, len(ack)))
		answered <- err
	}()
	err := errors.New("waited 20 s")
	select {
	case err = <-answered:
	case <-time.After(20 * time.Second):
	}
	if err != nil {
		return fmt.Errorf("final record: no answer from the host: %w", err)
	}
	return nil
}

func hello() message {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	cmdline, _ := os.ReadFile("/proc/cmdline")
	data, err := json.Marshal(Hello{
		Release: unix.ByteSliceToString(u.Release[:]),
		Cmdline: strings.TrimSpace(string(cmdline)),
		CPUs:    runtime.NumCPU(),
	})
	if err != nil {
		panic(err)
	}
	return message{Type: msgHello, Data: data}
}

// mount is one mount(2).
type mount struct {
	fstype, dir string
	serial      string // of the disk; "": no disk
	options     string
	optional    bool // the kernel may lack it
}

var systemMounts = []mount{
	{fstype: "proc", dir: "/proc"},
	{fstype: "sysfs", dir: "/sys"},
	{fstype: "devtmpfs", dir: "/dev"},
	{fstype: "tmpfs", dir: "/tmp"},
	{fstype: "tmpfs", dir: "/run"},
	{fstype: "debugfs", dir: "/sys/kernel/debug", optional: true},
}

func diskMounts(o orders) []mount {
	var ms []mount
	for _, m := range o.Mounts {
		ms = append(ms, mount{fstype: m.Type, dir: m.Dir, serial: o.Disks[m.Disk].Serial, options: m.Options})
	}
	return ms
}

// mountAll mounts ms in order.
func mountAll(ms []mount) error {
	for _, m := range ms {
		source := m.fstype
		if m.serial != "" {
			var err error
			if source, err = FindDisk(m.serial); err != nil {
				return fmt.Errorf("mount %s: %w", m.dir, err)
			}
		}
		if err := os.MkdirAll(m.dir, 0o755); err != nil && !m.optional {
			return err
		}
		err := unix.Mount(source, m.dir, m.fstype, 0, m.options)
		if err != nil && !m.optional {
			return fmt.Errorf("mount %s (%s) on %s: %w", source, m.fstype, m.dir, err)
		}
	}
	return nil
}

// modules are what a kernel may have as modules and the guest cannot do without.
var modules = []string{"virtio_pci", "virtio_console", "virtio_blk", "ext4", "xfs", "btrfs", "loop"}

// loadModules loads what the kernel's own initramfs has of modules, if there is
// one with a modprobe(8). What is missing is missed when it is used.
func loadModules() error {
	const modprobe = "/sbin/modprobe"
	if _, err := os.Stat(modprobe); err != nil {
		return nil
	}
	var out bytes.Buffer
	for _, name := range modules {
		cmd := exec.Command(modprobe, "-q", name)
		cmd.Stderr = &out
		if err := cmd.Run(); err != nil && out.Len() > 0 {
			return fmt.Errorf("modprobe %s: %w: %s", name, err, bytes.TrimSpace(out.Bytes()))
		}
	}
	return nil
}

// openPort waits for the virtio port of the results: the kernel adds it when
// the host has announced it.
func openPort(wait time.Duration) (*os.File, error) {
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		files, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			name, err := os.ReadFile(f)
			if err != nil || strings.TrimSpace(string(name)) != portName {
				continue
			}
			return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(f)), os.O_RDWR, 0)
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("no virtio port %s: does the kernel have CONFIG_VIRTIO_CONSOLE and CONFIG_VIRTIO_PCI, or its initrd the modules virtio_console and virtio_pci?", portName)
		}
	}
}

// runChild runs the handler in a process of its own and returns its final
// record, or one that says how the process died.
func runChild(o orders, port *os.File) message {
	stderrR, stderrW, err := os.Pipe()
	if err != nil {
		return setupFailed(err)
	}
	verdictR, verdictW, err := os.Pipe()
	if err != nil {
		return setupFailed(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return setupFailed(err)
	}
	if err := setLimits(); err != nil {
		return setupFailed(err)
	}
	env := []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/tmp", "WQFAN_GUEST=1", roleEnv + "=handler"}
	for k, v := range o.Env {
		env = append(env, k+"="+v)
	}
	slices.Sort(env[4:])
	child, err := os.StartProcess("/proc/self/exe", []string{"/init"}, &os.ProcAttr{
		Dir: "/",
		Env: env,
		Files: []*os.File{
			null, os.Stdout, stderrW,
			fdPort:    port,
			fdVerdict: verdictW,
		},
	})
	if err != nil {
		return setupFailed(err)
	}
	stderrW.Close()
	verdictW.Close()

	var tail tailBuffer
	stderrDone := make(chan struct{})
	go func() {
		defer close(stderrDone)
		_, _ = io.Copy(io.MultiWriter(os.Stderr, &tail), stderrR)
	}()
	verdict := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(verdictR, MaxLine))
		verdict <- b
	}()

	status, err := reap(child.Pid)
	if err != nil {
		return setupFailed(err)
	}
	killAll() // whoever still holds the pipes
	<-stderrDone
	var final message
	if err := json.Unmarshal(<-verdict, &final); err == nil && final.Type == msgFinal {
		return final
	}
	text := fmt.Sprintf("handler %s exited with status %d and no result", o.Handler, status.ExitStatus())
	if status.Signaled() {
		text = fmt.Sprintf("handler %s was killed: %v", o.Handler, status.Signal())
	}
	return message{Type: msgFinal, Cause: causeFailed, Text: text, Stack: tail.String()}
}

// setLimits raises the number of open files: it also bounds the watches on a
// watch_queue. The child inherits it; syscall's Setrlimit is the one that keeps
// the runtime from setting it back.
func setLimits() error {
	lim := syscall.Rlimit{Cur: 1 << 18, Max: 1 << 18}
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim))
}

// reap waits for the process pid, and for the orphans that end before it.
func reap(pid int) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return ws, os.NewSyscallError("wait4", err)
		case got == pid && (ws.Exited() || ws.Signaled()):
			return ws, nil
		}
	}
}

// killAll ends every process but this one.
func killAll() {
	if err := unix.Kill(-1, unix.SIGKILL); err != nil {
		return // ESRCH: there is none
	}
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return // ECHILD
		}
	}
}

// slowEnd is how long a guest may take from its last process to its end before
// its console says what it waits for: sooner than the host loses patience.
const slowEnd = 40 * time.Second

// blame writes to the console where init's threads, and all that cannot be
// interrupted, are in the kernel.
func blame() {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, dir := range tasks {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		name, state, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(state, "D") && !strings.HasPrefix(dir, "/proc/1/") {
			continue
		}
		stack, _ := os.ReadFile(dir + "/stack")
		fmt.Fprintf(os.Stderr, "wqfan: still there: %s) %.1s\n%s", name, state, stack)
	}
}

// powerOff never returns.
func powerOff() {
	unmountAll()
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintln(os.Stderr, "wqfan: power off:", err)
	}
	// -no-reboot makes an end of it.
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	fmt.Fprintln(os.Stderr, "wqfan: restart:", err)
	select {}
}

// unmountAll unmounts what stands on a block device, the last first: an unmount
// is when a filesystem's teardown can go wrong.
func unmountAll() {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(string(b), "\n")
	slices.Reverse(lines)
	for _, l := range lines {
		f := strings.Fields(l)
		if len(f) < 2 || !strings.HasPrefix(f[0], "/dev/") {
			continue
		}
		if err := unix.Unmount(f[1], 0); err != nil {
			fmt.Fprintf(os.Stderr, "wqfan: unmount %s: %v\n", f[1], err)
		}
	}
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct{ b []byte }

func (t *tailBuffer) Write(p []byte) (int, error) {
	const keep = 8 << 10
	t.b = append(t.b, p...)
	if over := len(t.b) - keep; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string { return string(t.b) }
