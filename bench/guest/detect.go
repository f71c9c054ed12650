// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"wqfan/bench/result"
)

// kvmBoots is what [Detect] says of a KVM that is used.
const kvmBoots = "boots"

// detectTimeout is for one boot under KVM without user space, which takes less
// than a second where it works.
const detectTimeout = 10 * time.Second

// verdicts remembers what Detect found out in this process.
var verdicts struct {
	sync.Mutex
	why map[string]string
}

// Detect says whether guests of this kernel run under KVM or TCG, and about KVM
// "boots" or why it is not used (for result.Host). A /dev/kvm that opens is not
// enough: the kernel is booted under it. The answer is remembered until the host
// boots again or the kernel or QEMU changes.
func Detect(ctx context.Context, kernel string) (result.Mode, string) {
	why := detect(ctx, kernel)
	if why == kvmBoots {
		return result.KVM, why
	}
	return result.TCG, why
}

func detect(ctx context.Context, kernel string) string {
	dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "no /dev/kvm"
	case err != nil:
		return err.Error()
	}
	dev.Close()
	key, err := verdictKey(kernel)
	if err != nil {
		return "not tried: " + err.Error()
	}
	verdicts.Lock()
	defer verdicts.Unlock()
	if verdicts.why == nil {
		verdicts.why = loadVerdicts()
	}
	if why, ok := verdicts.why[key]; ok {
		return why
	}
	why := tryKVM(ctx, kernel)
	if ctx.Err() == nil {
		verdicts.why[key] = why
		saveVerdict(key, why)
	}
	return why
}

// tryKVM boots the kernel without user space: it has to come as far as missing
// its root.
func tryKVM(ctx context.Context, kernel string) string {
	m := Machine{Kernel: kernel, Mode: result.KVM, Timeout: detectTimeout}.withDefaults()
	r := &run{m: m, serial: newSerialLog(io.Discard, m.MaxSerial)}
	qemu, err := qemuBinary()
	if err != nil {
		return "not tried: " + err.Error()
	}
	tmp, cleanup, err := TempDir()
	if err != nil {
		return "not tried: " + err.Error()
	}
	defer cleanup()
	err = r.boot(ctx, qemu, tmp, m.qemuArgs(kernel, "", func(s string) string { return s }))
	for _, end := range []string{"VFS: Unable to mount root fs", "No working init found"} {
		if strings.HasPrefix(r.serial.alarm, "Kernel panic - not syncing: "+end) {
			return kvmBoots
		}
	}
	if errors.Is(err, Hung) && r.serial.size == 0 {
		return fmt.Sprintf("/dev/kvm opens, but a kernel says nothing for %v under it", detectTimeout)
	}
	why := strings.TrimPrefix(fmt.Sprint(err), RunnerFailed.Error()+": ")
	return "/dev/kvm opens, but a kernel does not boot under it: " + why
}

// verdictKey names what a verdict depends on.
func verdictKey(kernel string) (string, error) {
	if err := CheckKernel(kernel); err != nil {
		return "", err
	}
	qemu, err := qemuBinary()
	if err != nil {
		return "", err
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(id))
	for _, file := range []string{kernel, qemu} {
		path, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		st, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		key += fmt.Sprintf(" %s@%d", path, st.ModTime().UnixNano())
	}
	return key, nil
}

// The verdicts file is a cache: what cannot be read or written is found out
// again.

func verdictsFile() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "wqfan", "kvm.json"), err
}

func loadVerdicts() map[string]string {
	m := map[string]string{}
	file, err := verdictsFile()
	if err != nil {
		return m
	}
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &m) != nil || m == nil {
		return map[string]string{}
	}
	return m
}

// saveVerdict keeps the verdicts of this boot of the host only.
func saveVerdict(key, why string) {
	bootID, _, _ := strings.Cut(key, " ")
	m := loadVerdicts()
	for k := range m {
		if !strings.HasPrefix(k, bootID) {
			delete(m, k)
		}
	}
	m[key] = why
	file, err := verdictsFile()
	if err != nil {
		return
	}
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "kvm-*")
	if err != nil {
		return
	}
	_, err = tmp.Write(append(b, '\n'))
	if errors.Join(err, tmp.Close()) != nil || os.Rename(tmp.Name(), file) != nil {
		os.Remove(tmp.Name())
	}
}
