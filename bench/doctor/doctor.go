// SPDX-License-Identifier: MIT

// Package doctor finds out what a machine can do: what its running kernel knows
// of filesystem errors, whether guests run and how, which tools and kernels are
// there. It changes nothing.
package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/guest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/fan"
	"wqfan/healthmon"
	"wqfan/wq"
)

// Answer says whether something is there.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown" // it takes root, or something else first, to find out
)

// Finding is what was found out about one thing.
type Finding struct {
	About  string `json:"about"` // kernel, guests or tools
	Name   string `json:"name"`
	Answer Answer `json:"answer"`
	Detail string `json:"detail"`           // what is there, or what is missing
	Supply string `json:"supply,omitempty"` // command that supplies what is missing
}

// Commands that supply what the running kernel lacks.
const (
	useGuest = "wqfan repro all          # in a guest, whose kernel has it"
	asRoot   = "sudo wqfan doctor"
)

// Examine looks at everything.
func Examine(ctx context.Context) []Finding {
	var all []Finding
	for _, part := range []struct {
		about string
		look  func(context.Context) []Finding
	}{{"kernel", runningKernel}, {"guests", guests}, {"tools", tools}} {
		for _, f := range part.look(ctx) {
			f.About = part.about
			all = append(all, f)
		}
	}
	return all
}

// runningKernel asks the running kernel.
func runningKernel(context.Context) []Finding {
	mounts := localMounts()
	dir := "/" // which may be of a kind that reports no errors
	if len(mounts) > 0 {
		dir = mounts[0].dir
	}
	return []Finding{fsError(dir), detailed(), watchQueue(), keys(), errorSource(dir), injector(), trigger(), healthMonitor(mounts)}
}

// mount is a line of /proc/self/mounts.
type mount struct{ dir, fstype string }

// localMounts are the filesystems that report errors.
func localMounts() []mount {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil
	}
	defer f.Close()
	var all []mount
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 2 && slices.Contains([]string{"ext4", "xfs", "btrfs", "f2fs"}, w[2]) {
			all = append(all, mount{w[1], w[2]})
		}
	}
	return all
}

// unprivileged answers for what only root can find out.
func unprivileged(name string, err error) Finding {
	return Finding{Name: name, Answer: Unknown, Detail: err.Error(), Supply: asRoot}
}

func fsError(dir string) Finding {
	const name = "fanotify FAN_FS_ERROR"
	g, err := fan.Open(fan.Config{})
	if err != nil {
		return Finding{Name: name, Answer: No, Detail: err.Error(), Supply: useGuest}
	}
	defer g.Close()
	switch err := g.Watch(dir); {
	case err == nil:
		return Finding{Name: name, Answer: Yes, Detail: "Linux " + release() + ", tried on " + dir}
	case errors.Is(err, unix.EPERM):
		return unprivileged(name, err)
	case errors.Is(err, unix.EINVAL):
		return Finding{Name: name, Answer: No, Detail: err.Error(), Supply: useGuest}
	default: // the kernel knows it, but not for this filesystem
		return Finding{Name: name, Answer: Yes, Detail: fmt.Sprintf("Linux %s; here: %v", release(), err)}
	}
}

// option turns the answer of a call that not every kernel knows into a finding.
func option(name, detail string, err error) Finding {
	switch {
	case err == nil:
		return Finding{Name: name, Answer: Yes, Detail: detail}
	case errors.Is(err, unix.EPERM):
		return unprivileged(name, err)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, unix.ENOTTY):
		return Finding{Name: name, Answer: No, Detail: err.Error(), Supply: useGuest}
	}
	return Finding{Name: name, Answer: Unknown, Detail: err.Error()}
}

func detailed() Finding {
	g, err := fan.Open(fan.Config{Detailed: true})
	if err == nil {
		g.Close()
	}
	return option("fanotify detailed errors", "FAN_REPORT_DETAILED_ERROR", err)
}

func watchQueue() Finding {
	q, err := wq.Open(wq.Config{})
	if err == nil {
		q.Close()
	}
	return option("watch_queue", "CONFIG_WATCH_QUEUE", err)
}

func keys() Finding {
	return withQueue("watch_queue keys", "CONFIG_KEY_NOTIFICATIONS", func(q *wq.Queue) error {
		return q.WatchKey(unix.KEY_SPEC_PROCESS_KEYRING, 1)
	})
}

func errorSource(dir string) Finding {
	return withQueue("watch_queue filesystem errors", "FS_IOC_WATCH_ERRORS, tried on "+dir, func(q *wq.Queue) error {
		return q.Watch(dir, 1, wq.Direct)
	})
}

func withQueue(name, detail string, f func(*wq.Queue) error) Finding {
	q, err := wq.Open(wq.Config{})
	if err == nil {
		err = f(q)
		q.Close()
	}
	return option(name, detail, err)
}

func injector() Finding {
	const name = "error injector"
	_, err := os.Stat(flood.Dir)
	switch {
	case err == nil:
		return Finding{Name: name, Answer: Yes, Detail: flood.Dir}
	case errors.Is(err, os.ErrPermission):
		return unprivileged(name, err)
	}
	return Finding{Name: name, Answer: No, Detail: flood.ErrNoInjector.Error(), Supply: useGuest}
}

// trigger is what makes errors on kernels of all sorts: an ext4 on a loop device.
func trigger() Finding {
	const name = "ext4 on a loop device"
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || !strings.Contains(string(known), "\text4\n") {
		return Finding{Name: name, Answer: No, Detail: "the running kernel has no ext4", Supply: "modprobe ext4"}
	}
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
		return Finding{Name: name, Answer: Yes, Detail: "trigger_fs_error makes errors: wqfan repro --host all"}
	case errors.Is(err, os.ErrPermission):
		return unprivileged(name, err)
	}
	return Finding{Name: name, Answer: No, Detail: err.Error(), Supply: "modprobe loop"}
}

func healthMonitor(mounts []mount) Finding {
	const name = "XFS health monitor"
	i := slices.IndexFunc(mounts, func(m mount) bool { return m.fstype == "xfs" })
	switch major, _, _ := strings.Cut(release(), "."); {
	case len(major) == 1 && major < "7":
		return Finding{Name: name, Answer: No, Detail: "it needs Linux 7.0, this is " + release(), Supply: useGuest}
	case i < 0:
		return Finding{Name: name, Answer: Unknown, Detail: "no XFS is mounted to try it on"}
	}
	m, err := healthmon.Open(mounts[i].dir, healthmon.Config{})
	if err == nil {
		m.Close()
	}
	if errors.Is(err, unix.EEXIST) { // somebody else has it
		err = nil
	}
	return option(name, "tried on "+mounts[i].dir, err)
}

// guests looks at what boots, and how.
func guests(ctx context.Context) []Finding {
	var all []Finding
	boot := ""
	for _, variant := range kernel.Variants() {
		f := Finding{Name: variant + " kernel", Supply: "wqfan kernel build --variant " + variant}
		im, err := kernel.Find(ctx, kernel.Options{Variant: variant})
		if err != nil {
			f.Answer, f.Detail = No, firstLine(err)
		} else {
			f.Answer, f.Detail, f.Supply = Yes, im.Path, ""
			if boot == "" {
				boot = im.Path
			}
		}
		all = append(all, f)
	}
	qemu := Finding{Name: "QEMU", Answer: Yes}
	var err error
	if qemu.Detail, err = guest.QEMUVersion(ctx); err != nil {
		qemu.Answer, qemu.Detail, qemu.Supply = No, firstLine(err), install("qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86")
	}
	return append(all, qemu, kvm(ctx, boot))
}

// kvm boots a kernel under it: that it opens is not enough.
func kvm(ctx context.Context, image string) Finding {
	const name, emulated = "KVM", ": guests are emulated"
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrPermission):
		return Finding{Name: name, Answer: No, Detail: err.Error() + emulated, Supply: "sudo usermod -aG kvm $USER   # and log in again"}
	case err != nil:
		return Finding{Name: name, Answer: No, Detail: err.Error() + emulated, Supply: "sudo modprobe -a kvm_intel kvm_amd   # in a virtual machine its host must nest"}
	}
	f.Close()
	if image == "" {
		return Finding{Name: name, Answer: Unknown, Detail: "no kernel to boot under it", Supply: "wqfan kernel build"}
	}
	mode, why := guest.Detect(ctx, image)
	if mode != result.KVM {
		return Finding{Name: name, Answer: No, Detail: why + emulated}
	}
	return Finding{Name: name, Answer: Yes, Detail: "a kernel " + why}
}

// diskTools make and break filesystem images.
var diskTools = []kernel.Tool{
	{Name: "mkfs.ext4", Debian: "e2fsprogs", Fedora: "e2fsprogs", Arch: "e2fsprogs"},
	{Name: "debugfs", Debian: "e2fsprogs", Fedora: "e2fsprogs", Arch: "e2fsprogs"},
	{Name: "mkfs.xfs", Debian: "xfsprogs", Fedora: "xfsprogs", Arch: "xfsprogs"},
	{Name: "mkfs.btrfs", Debian: "btrfs-progs", Fedora: "btrfs-progs", Arch: "btrfs-progs"},
}

func tools(ctx context.Context) []Finding {
	build := Finding{Name: "tools to build a kernel", Answer: Yes, Detail: "all there"}
	if missing, ok := errors.AsType[*kernel.MissingError](kernel.CheckTools(ctx)); ok {
		build = lacking(build.Name, missing.Tools)
	}
	var missing []kernel.Tool
	for _, t := range diskTools {
		if !found(t.Name) {
			missing = append(missing, t)
		}
	}
	disks := Finding{Name: "tools to make disks", Answer: Yes, Detail: "all there"}
	if len(missing) > 0 {
		disks = lacking(disks.Name, missing)
	}
	return []Finding{build, disks}
}

// found looks where a user's PATH may not: filesystem tools are in sbin.
func found(name string) bool {
	for _, file := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/sbin", name)} {
		if _, err := exec.LookPath(file); err == nil {
			return true
		}
	}
	return false
}

func lacking(name string, missing []kernel.Tool) Finding {
	var names, debian, fedora, arch []string
	for _, t := range missing {
		names = append(names, t.Name)
		debian, fedora, arch = append(debian, t.Debian), append(fedora, t.Fedora), append(arch, t.Arch)
	}
	once := func(words []string) string { return strings.Join(slices.Compact(words), " ") }
	return Finding{Name: name, Answer: No, Detail: "missing: " + strings.Join(names, ", "), Supply: install(once(debian), once(fedora), once(arch))}
}

// install is the command of this system's package manager.
func install(debian, fedora, arch string) string {
	switch {
	case found("dnf"):
		return "dnf install " + fedora
	case found("pacman"):
		return "pacman -S " + arch
	}
	return "apt-get install --no-install-recommends " + debian
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	return unix.ByteSliceToString(u.Release[:])
}
