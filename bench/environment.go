// SPDX-License-Identifier: MIT

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"wqfan/bench/result"
)

// Environment reads what of this machine, host or guest, decides how fast it is
// and is not its model. What cannot be read is absent.
func Environment() result.Environment {
	read := func(name string) string {
		b, _ := os.ReadFile(name)
		return strings.TrimSpace(string(b))
	}
	const cpu = "/sys/devices/system/cpu"
	env := result.Environment{
		Governor:    read(cpu + "/cpu0/cpufreq/scaling_governor"),
		Clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		Pinned:      pinned(),
		Steal:       steal(read("/proc/stat")),
	}
	if first, _, ok := strings.Cut(read("/proc/loadavg"), " "); ok {
		env.Load, _ = strconv.ParseFloat(first, 64)
	}
	names, _ := filepath.Glob(cpu + "/vulnerabilities/*") // sorted
	for _, name := range names {
		if state := read(name); state != "" && state != "Not affected" {
			env.Mitigations = append(env.Mitigations, filepath.Base(name)+": "+state)
		}
	}
	return env
}

// steal returns the seconds of all CPUs that went to other guests of the same
// host: the eighth number of the first line of /proc/stat, in USER_HZ, which is
// 100 wherever Go runs.
func steal(stat string) float64 {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0
	}
	n, _ := strconv.ParseUint(f[8], 10, 64)
	return float64(n) / 100
}

// pinned is the list of the CPUs that this process may use, "" where it may use
// all of the machine.
func pinned() string {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() >= online() {
		return ""
	}
	var list []string
	for i := 0; len(list) < set.Count(); i++ {
		if set.IsSet(i) {
			list = append(list, strconv.Itoa(i))
		}
	}
	return strings.Join(list, ",")
}

// online is the number of CPUs of the machine; runtime.NumCPU counts those that
// the process was given.
func online() int {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return runtime.NumCPU()
	}
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(string(b)), ",") {
		var lo, hi int
		if k, _ := fmt.Sscanf(part, "%d-%d", &lo, &hi); k == 1 {
			hi = lo
		}
		n += hi - lo + 1
	}
	return n
}
