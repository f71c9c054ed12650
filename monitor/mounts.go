// SPDX-License-Identifier: MIT

package monitor

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"wqfan/fserr"
)

// Mount is a mounted filesystem: a line of /proc/self/mountinfo (proc(5)).
type Mount struct {
	ID           int
	Major, Minor uint32 // of the filesystem: st_dev
	Root         string // what of the filesystem is mounted
	Dir          string // where
	Type         string // "ext4"
	Source       string // "/dev/vda1"
}

// Device returns the name of the block device that the filesystem is on:
// "vda1".
func (m Mount) Device() string { return filepath.Base(m.Source) }

// ParseMounts reads the text of a mountinfo file.
func ParseMounts(b []byte) ([]Mount, error) {
	var mounts []Mount
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %q: %w", lines.Text(), err)
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// parseMount reads
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// with any number of optional fields in front of the dash.
func parseMount(line string) (Mount, error) {
	head, tail, ok := strings.Cut(line, " - ")
	fields, rest := strings.Split(head, " "), strings.Split(tail, " ")
	if !ok || len(fields) < 6 || len(rest) < 2 {
		return Mount{}, fmt.Errorf("%d and %d fields, want at least 6 and 2", len(fields), len(rest))
	}
	m := Mount{Root: unescape(fields[3]), Dir: unescape(fields[4]), Type: rest[0], Source: unescape(rest[1])}
	var err error
	if m.ID, err = strconv.Atoi(fields[0]); err != nil {
		return Mount{}, err
	}
	if _, err := fmt.Sscanf(fields[2], "%d:%d", &m.Major, &m.Minor); err != nil {
		return Mount{}, fmt.Errorf("device %q: %w", fields[2], err)
	}
	return m, nil
}

// unescape undoes the kernel's \040 for blanks and the like (mangle_path).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// onDevices reads /proc/filesystems and returns the types of filesystems that
// live on a block device.
func onDevices(b []byte) map[string]bool {
	types := make(map[string]bool)
	for line := range bytes.Lines(b) {
		if flag, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t"); flag != "nodev" {
			types[name] = true
		}
	}
	return types
}

// choose returns one mount of each filesystem that is wanted: of those mounted
// at dirs, or where there are none, of all that are on a block device. A mount of
// the whole filesystem is better than one of a part of it, and one that another
// mount hides is none.
func choose(mounts []Mount, dirs []string, local map[string]bool) []Mount {
	type device struct{ major, minor uint32 }
	at := make(map[device]int)
	var chosen []Mount
	for i, m := range mounts {
		hidden := slices.ContainsFunc(mounts[i+1:], func(o Mount) bool { return o.Dir == m.Dir })
		if hidden || len(dirs) == 0 && !local[m.Type] || len(dirs) > 0 && !slices.Contains(dirs, m.Dir) {
			continue
		}
		d := device{m.Major, m.Minor}
		if j, ok := at[d]; !ok {
			at[d] = len(chosen)
			chosen = append(chosen, m)
		} else if chosen[j].Root != "/" && m.Root == "/" {
			chosen[j] = m
		}
	}
	return chosen
}

// wanted reads what is mounted now and chooses from it.
func wanted(dirs []string) ([]Mount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	mounts, err := ParseMounts(b)
	if err != nil {
		return nil, err
	}
	types, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return nil, err
	}
	return choose(mounts, dirs, onDevices(types)), nil
}

// watched is a filesystem that is watched, or that is to be.
type watched struct {
	Mount
	backend string // "" while nothing watches it
	fsid    fserr.FSID
	magic   uint32
	id      uint8 // of the watch, in a watch queue
	failed  string
}
