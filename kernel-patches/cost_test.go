// SPDX-License-Identifier: MIT

package patches_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"wqfan/bench/flood"
	"wqfan/bench/guest"
	"wqfan/bench/guest/guesttest"
	"wqfan/bench/kernel"
	"wqfan/bench/result"
	"wqfan/internal/golden"
	"wqfan/internal/need"
)

// The table of what nobody's watching costs, beside the patches.
const costTable = "cost.txt"

// What nobody watches costs as much with the series as without, within 1 %: in
// guest instructions, one CPU, each the median of many. The errors are such that the
// filesystems report themselves, which the stock kernel can as well: one that ext4
// is asked for, and on XFS, which has each of its errors queued, a read(2) that the
// device fails.
func TestCost(t *testing.T) {
	costs := map[string]map[string]float64{}
	var names []string
	for _, variant := range []string{"stock", "patched"} {
		im := image(t, kernel.Options{Variant: variant})
		t.Run(variant, func(t *testing.T) { names, costs[variant] = measure(t, im) })
	}
	if len(names) == 0 {
		t.Fatal("nothing was measured")
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "guest instructions\tstock\tpatched\tratio\t")
	for _, name := range names {
		stock, patched := costs["stock"][name], costs["patched"][name]
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.4f\t\n", name, stock, patched, patched/stock)
		if patched == 0 || patched > 1.01*stock {
			t.Errorf("%s: %.0f instructions with the series, %.0f without: more than 1 %%", name, patched, stock)
		}
	}
	w.Flush()
	t.Logf("\n%s", table.String())
	if golden.Update() {
		if err := os.WriteFile(costTable, table.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// measure gives what TestGuestCost measures on a kernel, and its names in order.
func measure(t *testing.T, im *kernel.Image) (names []string, costs map[string]float64) {
	t.Helper()
	costs = map[string]float64{}
	boot(t, guesttest.Options{
		Kernel: im.Path, Mode: result.ICount, Run: "^TestGuestCost$", FS: []string{"ext4", "xfs"},
		Say: func(_ string, lines []string) {
			for _, l := range lines {
				var name string
				var n float64
				_, l, _ = strings.Cut(l, ": cost: ")
				if _, err := fmt.Sscan(l, &name, &n); err == nil {
					names = append(names, name)
					costs[name] = n
				}
			}
		},
	})
	return names, costs
}

func TestGuestCost(t *testing.T) {
	need.Guest(t)
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	// What the kernel's workers do is not to be done before the call returns.
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
		t.Fatal(err)
	}
	key, err := unix.AddKey("user", "cost", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte("y")
	cost(t, "key_update", 2001, 0, func() error {
		_, err := unix.KeyctlBuffer(unix.KEYCTL_UPDATE, key, payload, 0)
		return err
	})

	device, err := guest.FindDisk("ext4")
	if err != nil {
		t.Fatal(err)
	}
	sysfs := filepath.Join("/sys/fs/ext4", filepath.Base(device))
	// Nothing is printed: that would be most of the cost.
	if err := os.WriteFile(filepath.Join(sysfs, "err_ratelimit_burst"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	trigger, err := unix.Open(filepath.Join(sysfs, "trigger_fs_error"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(trigger)
	// fserror's and ext4's workers are done before the next error.
	cost(t, "ext4_error", 501, time.Millisecond, func() error {
		_, err := unix.Write(trigger, payload)
		return err
	})

	read := failingRead(t)
	cost(t, "xfs_read_error", 501, time.Millisecond, func() error {
		if err := read(); err != unix.EIO {
			return fmt.Errorf("read a block that the device cannot read: %v, want %v", err, unix.EIO)
		}
		return nil
	})
}

// failingRead mounts XFS anew on a device that cannot read one block of a file,
// and returns a direct read of that. Nothing is written to the kernel's log then,
// which would be most of the cost, and depend on where its symbols are.
func failingRead(t *testing.T) func() error {
	t.Helper()
	device, err := guest.FindDisk("xfs")
	if err != nil {
		t.Fatal(err)
	}
	const dir, block = "/mnt/xfs", 4096
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	dm, err := flood.Map("cost", device)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(dm.Path, dir, "xfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "victim"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, block)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	at, _, err := flood.FirstExtent(f)
	if err != nil {
		t.Fatal(err)
	}
	bad := at / 512
	if err := dm.Load(flood.Segment{Sectors: bad}, flood.Segment{Sectors: block / 512, Fails: true},
		flood.Segment{Sectors: dm.Sectors() - bad - block/512}); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(f.Name(), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	buf, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // aligned
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := unix.Pread(fd, buf, 0)
		return err
	}
}

// cost prints the median of what f costs.
func cost(t *testing.T, name string, n int, pause time.Duration, f func() error) {
	t.Helper()
	costs := make([]int64, n)
	for i := range costs {
		before := monotonic()
		err := f()
		costs[i] = monotonic() - before
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if pause > 0 {
			ts := unix.NsecToTimespec(pause.Nanoseconds())
			_ = unix.Nanosleep(&ts, nil) // a signal makes it shorter, no more
		}
	}
	slices.Sort(costs)
	t.Logf("cost: %s %d", name, costs[n/2])
	t.Logf("%s: least %d, quartiles %d and %d, most %d", name, costs[0], costs[n/4], costs[3*n/4], costs[n-1])
}

// monotonic is the guest's clock, which counts instructions.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail with a valid clock and pointer
	return ts.Nano()
}
