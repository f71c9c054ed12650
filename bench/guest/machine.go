// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"wqfan/bench/result"
)

// What a field of Machine that is zero stands for.
const (
	DefaultCPUs      = 1
	DefaultMemMiB    = 512
	DefaultStall     = 3 * time.Minute // one cell on a loaded host has taken more than one
	DefaultTimeout   = 15 * time.Minute
	DefaultMaxSerial = 64 << 20
)

// minMemMiB is where no kernel boots.
const minMemMiB = 32

// Machine is the virtual machine of one boot.
type Machine struct {
	Kernel string // bzImage, or a vmlinux with a PVH note (CONFIG_PVH)
	// Initrd is an initramfs that the kernel came with, compressed or not, for
	// modules that it needs: those for the machine's devices and disks are loaded
	// with the modprobe(8) in it. "" is none. Its init is not run.
	Initrd string
	Mode   result.Mode // KVM, TCG or ICount; see Detect
	CPUs   int         // 0: DefaultCPUs; ICount has 1
	MemMiB int         // 0: DefaultMemMiB
	Append []string    // further kernel arguments
	Disks  []Disk
	Files  []File // added to the initramfs
	// Init is a static executable that calls Main; "" is this very program.
	Init string

	// Stall is how long the guest may be silent on both its console and its
	// results; Timeout bounds the whole boot. 0 stands for the defaults.
	Stall, Timeout time.Duration
	// SerialLog is the file that the console is written to, as it comes; "" is
	// none. MaxSerial bounds it in bytes, 0 is DefaultMaxSerial.
	SerialLog string
	MaxSerial int64
}

// Disk is a raw image: on virtio-blk, or, in mode ICount, on a loop device over
// a copy in the guest's memory, of which the guest has at most half. Nothing that the guest writes reaches the
// image, so that one image can serve many boots, at the same time too.
type Disk struct {
	Image  string
	Serial string // what the guest finds it by, at most 20 bytes; "" is "diskN"
}

// File is a file of the initramfs.
type File struct {
	Path string      // absolute, in the guest
	Host string      // file to copy; "": Data is the content
	Data []byte      //
	Mode fs.FileMode // permission bits; 0: 0644, or those of Host
}

// Mount is one of the machine's disks, mounted before the handler runs.
type Mount struct {
	Disk    int    `json:"disk"` // index into Machine.Disks
	Dir     string `json:"dir"`  // made if it is missing
	Type    string `json:"type"` // ext4, xfs, btrfs
	Options string `json:"options,omitempty"`
}

// Job is what the guest does.
type Job struct {
	Handler string            // a name given to Main, or HandlerExec
	Payload json.RawMessage   // passed to the handler; may be nil
	Env     map[string]string // of the handler
	Mounts  []Mount

	// OnRecord is called with each record as it arrives; data is valid during the
	// call. An error ends the boot as RunnerFailed. OnProgress is called with
	// each progress line. Both are called from one goroutine; nil is allowed.
	OnRecord   func(data json.RawMessage) error
	OnProgress func(text string)
}

// Outcome is what is known about a boot, however it ended.
type Outcome struct {
	QEMU     []string      // arguments, files by base name
	Hello    Hello         // what the guest said when its init ran; zero if it did not
	Records  int           // records that arrived
	Boot     time.Duration // host time from QEMU's start to Hello; 0 if it did not come
	Wall     time.Duration // host time from QEMU's start to its end
	Warnings []string      // lines of the console in which the kernel warned
}

// Hello is the first message of a guest.
type Hello struct {
	Release string `json:"release"` // uname -r
	Cmdline string `json:"cmdline"` // /proc/cmdline
	CPUs    int    `json:"cpus"`
}

func (m Machine) withDefaults() Machine {
	if m.CPUs == 0 {
		m.CPUs = DefaultCPUs
	}
	if m.MemMiB == 0 {
		m.MemMiB = DefaultMemMiB
	}
	if m.Stall == 0 {
		m.Stall = DefaultStall
	}
	if m.Timeout == 0 {
		m.Timeout = DefaultTimeout
	}
	if m.MaxSerial == 0 {
		m.MaxSerial = DefaultMaxSerial
	}
	return m
}

// check finds what can be found wrong before QEMU is started.
func (m Machine) check(j Job) error {
	switch m.Mode {
	case result.KVM, result.TCG:
	case result.ICount:
		if m.CPUs != 1 {
			return fmt.Errorf("mode icount has 1 CPU, not %d", m.CPUs)
		}
	default:
		return fmt.Errorf("mode %q: a guest runs in kvm, tcg or icount", m.Mode)
	}
	switch {
	case m.CPUs < 1:
		return fmt.Errorf("a machine with %d CPUs: want at least 1", m.CPUs)
	case m.MemMiB < minMemMiB:
		return fmt.Errorf("a machine with %d MiB of memory: want at least %d", m.MemMiB, minMemMiB)
	case m.Stall < 0:
		return fmt.Errorf("a machine that may stall for %v: want a time, or 0 for %v", m.Stall, DefaultStall)
	case m.Timeout < 0:
		return fmt.Errorf("a machine with a timeout of %v: want a time, or 0 for %v", m.Timeout, DefaultTimeout)
	case m.MaxSerial < 0:
		return fmt.Errorf("a serial log of at most %d bytes: want some, or 0 for %d", m.MaxSerial, DefaultMaxSerial)
	}
	if err := CheckKernel(m.Kernel); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range m.Disks {
		s := m.serial(i)
		if len(s) > 20 || strings.ContainsAny(s, ", \t\n/") || seen[s] {
			return fmt.Errorf("disk %d: serial %q is taken, longer than 20 bytes or has a space, comma or slash", i, s)
		}
		seen[s] = true
		if st, err := os.Stat(m.Disks[i].Image); err != nil {
			return fmt.Errorf("disk %s: %w", s, err)
		} else if !st.Mode().IsRegular() {
			return fmt.Errorf("disk %s: %s is not a regular file", s, m.Disks[i].Image)
		}
	}
	for _, mt := range j.Mounts {
		if mt.Disk < 0 || mt.Disk >= len(m.Disks) {
			return fmt.Errorf("mount of disk %d on %s: the machine has %d disks", mt.Disk, mt.Dir, len(m.Disks))
		}
	}
	if j.Handler == "" {
		return errors.New("job without a handler")
	}
	return nil
}

// serial is what the guest finds disk i by.
func (m Machine) serial(i int) string {
	if s := m.Disks[i].Serial; s != "" {
		return s
	}
	return fmt.Sprintf("disk%d", i)
}

// device is a part of the machine: it yields its QEMU arguments. base stands for
// the names of host files in them.
type device interface {
	args(base func(string) string) []string
}

func (m Machine) devices(kernel, initrd string) []device {
	ds := []device{
		board{m.Mode, m.CPUs, m.MemMiB},
		boot{kernel, initrd, m.cmdline()},
		console{},
		results{},
	}
	for i, d := range m.Disks {
		if !m.inMemory() {
			ds = append(ds, disk{i, d.Image, m.serial(i)})
		}
	}
	return ds
}

// cmdline is the kernel command line.
func (m Machine) cmdline() []string {
	args := []string{
		"console=ttyS0", "panic=-1", "oops=panic", "nokaslr", "mitigations=off",
		"random.trust_cpu=on", "no_timer_check",
	}
	switch m.Mode {
	case result.TCG:
		args = append(args, "tsc=reliable")
	case result.ICount:
		// The TSC counts instructions: 1 GHz to the last digit. Calibrating the
		// local APIC's timer would be 100 ms of guest time in PAUSE instructions,
		// 5 s for QEMU: the HPET is the timer.
		args = append(args, "tsc=reliable", "tsc_early_khz=1000000", "nolapic_timer")
	}
	return append(args, m.Append...)
}

// qemuArgs are the arguments of all devices. base stands for the names of host
// files in them.
func (m Machine) qemuArgs(kernel, initrd string, base func(string) string) []string {
	var args []string
	for _, d := range m.devices(kernel, initrd) {
		args = append(args, d.args(base)...)
	}
	return args
}

// board is the machine without devices.
type board struct {
	mode   result.Mode
	cpus   int
	memMiB int
}

func (b board) args(func(string) string) []string {
	hpet := "off"
	if b.mode == result.ICount {
		hpet = "on"
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none",
		"-no-reboot", "-seed", "1",
		"-machine", "q35,usb=off,vmport=off,smbus=off,sata=off,i8042=off,hpet=" + hpet,
		"-smp", fmt.Sprint(b.cpus), "-m", fmt.Sprint(b.memMiB),
	}
	switch b.mode {
	case result.KVM:
		args = append(args, "-accel", "kvm", "-cpu", "host")
	case result.TCG:
		args = append(args, "-accel", "tcg,thread=multi", "-cpu", "max,la57=off")
	case result.ICount:
		// Nothing reads what is recorded. It is for the lock that goes with it, under
		// which either the CPU runs or QEMU's main loop: without, the main loop may see
		// a CPU that has halted before its instructions are on the clock, and set the
		// clock to the next timer as if they had not been.
		args = append(args, "-accel", "tcg,thread=single", "-cpu", "max,la57=off",
			"-icount", "shift=0,sleep=off,rr=record,rrfile=/dev/null", "-rtc", "base=2021-02-10,clock=vm")
	}
	return args
}

// boot is what is loaded.
type boot struct {
	kernel, initrd string
	cmdline        []string
}

func (b boot) args(base func(string) string) []string {
	args := []string{"-kernel", base(b.kernel), "-append", strings.Join(b.cmdline, " ")}
	if b.initrd != "" {
		args = append(args, "-initrd", base(b.initrd))
	}
	return args
}

// The files that QEMU inherits: the writing end of a pipe and a socket.
const (
	fdConsole = 3
	fdResults = 4
)

// console is the serial port. It is a pipe: a socket is full after 278 writes of
// one byte, which is how QEMU writes, and the kernel does not wait long for a
// UART that takes no more. Without append=on QEMU would truncate it, and fail.
type console struct{}

func (console) args(func(string) string) []string {
	return []string{
		"-add-fd", fmt.Sprintf("fd=%d,set=1", fdConsole),
		"-chardev", "file,id=console,path=/dev/fdset/1,append=on",
		"-device", "isa-serial,chardev=console",
	}
}

// portName is the name of the virtio port that carries the results.
const portName = "wqfan.results"

// results is the virtio port. What the guest writes is taken in the same
// instruction, not when QEMU's main loop comes to it: else that would be at
// another instruction in each boot.
type results struct{}

func (results) args(func(string) string) []string {
	return []string{
		"-chardev", fmt.Sprintf("socket,id=results,fd=%d", fdResults),
		"-device", "virtio-serial-pci,max_ports=2,ioeventfd=off",
		"-device", "virtserialport,chardev=results,name=" + portName,
	}
}

// disk is one image on virtio-blk; writes go to a temporary file of QEMU's.
type disk struct {
	n             int
	image, serial string
}

func (d disk) args(base func(string) string) []string {
	file := strings.ReplaceAll(base(d.image), ",", ",,")
	return []string{
		"-drive", fmt.Sprintf("if=none,id=drive%d,file=%s,format=raw,snapshot=on,cache=unsafe,file.locking=off", d.n, file),
		"-device", fmt.Sprintf("virtio-blk-pci,drive=drive%d,serial=%s", d.n, d.serial),
	}
}

// qemuBinary finds QEMU.
func qemuBinary() (string, error) {
	name := "qemu-system-x86_64"
	if s := os.Getenv("WQFAN_QEMU"); s != "" {
		name = s
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: install it (Debian: apt install qemu-system-x86) or name another with WQFAN_QEMU", err)
	}
	return filepath.Abs(path)
}

// QEMUVersion is the first line that QEMU prints about its version, for
// result.Host.
func QEMUVersion(ctx context.Context) (string, error) {
	qemu, err := qemuBinary()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, qemu, "-version").Output()
	if err != nil {
		return "", fmt.Errorf("%s -version: %w", qemu, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}
