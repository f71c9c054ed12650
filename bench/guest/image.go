// SPDX-License-Identifier: MIT

package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Image is a filesystem image, made on the host without privileges.
type Image struct {
	FS      string // ext4, xfs or btrfs
	SizeMiB int    // 0: 64, or what the filesystem takes at least
	Label   string // "": the filesystem's type
	// Dir is a folder whose content the filesystem starts with, owned by root;
	// "" is an empty one. ext4 only.
	Dir string
	// Without are features that an ext4 is to do without, with commas between.
	Without string
}

// imageTimeout bounds one run of a filesystem tool.
const imageTimeout = 2 * time.Minute

// mkfsTool is how an image of one filesystem is made. The UUIDs and hash seeds
// are given, so that two images of the same Image behave the same.
type mkfsTool struct {
	pkg    string // Debian's
	minMiB int
	args   func(im Image, uuid string) []string // before the file
}

var mkfsTools = map[string]mkfsTool{
	"ext4": {"e2fsprogs", 8, func(im Image, uuid string) []string {
		args := []string{"-q", "-F", "-L", im.Label, "-U", uuid,
			// Lazy initialisation would write to the disk while something is measured.
			"-E", "hash_seed=" + uuid + ",root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"}
		if im.Dir != "" {
			args = append(args, "-d", im.Dir)
		}
		if im.Without != "" {
			args = append(args, "-O", "^"+strings.ReplaceAll(im.Without, ",", ",^"))
		}
		return args
	}},
	"xfs": {"xfsprogs", 300, func(im Image, uuid string) []string {
		return []string{"-q", "-f", "-L", im.Label, "-m", "uuid=" + uuid}
	}},
	"btrfs": {"btrfs-progs", 128, func(im Image, uuid string) []string {
		return []string{"-q", "-f", "-L", im.Label, "-U", uuid}
	}},
}

// Create makes the image as a sparse file in dir and returns its path. When ctx
// ends, so does the tool, and the error wraps the context's cause.
func (im Image) Create(ctx context.Context, dir string) (path string, err error) {
	tool, ok := mkfsTools[im.FS]
	if !ok {
		return "", fmt.Errorf("image of %q: want ext4, xfs or btrfs", im.FS)
	}
	if im.Label == "" {
		im.Label = im.FS
	}
	if im.SizeMiB == 0 {
		im.SizeMiB = max(64, tool.minMiB)
	}
	if im.SizeMiB < tool.minMiB {
		return "", fmt.Errorf("%s image of %d MiB: want at least %d", im.FS, im.SizeMiB, tool.minMiB)
	}
	if im.Dir != "" && im.FS != "ext4" {
		return "", fmt.Errorf("%s image of the folder %s: only ext4 can be filled", im.FS, im.Dir)
	}
	f, err := os.CreateTemp(dir, im.FS+"-*.img")
	if err != nil {
		return "", err
	}
	path = f.Name()
	defer func() {
		if err != nil {
			os.Remove(path)
			path, err = "", fmt.Errorf("%s image in %s: %w", im.FS, dir, hintSpace(err))
		}
	}()
	if err := errors.Join(f.Truncate(int64(im.SizeMiB)<<20), f.Close()); err != nil {
		return path, err
	}
	_, err = diskTool(ctx, "mkfs."+im.FS, tool.pkg, "", append(tool.args(im, im.uuid()), path)...)
	return path, err
}

// uuid is the same for the same filesystem and label.
func (im Image) uuid() string {
	h := sha256.Sum256([]byte("wqfan " + im.FS + " " + im.Label))
	h[6] = h[6]&0x0f | 0x40 // version 4
	h[8] = h[8]&0x3f | 0x80 // variant RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// Debugfs runs commands of debugfs(8) on an ext4 image that is not mounted, with
// write access: to break it on purpose. debugfs goes on after a command that
// fails, and may exit with 0; Debugfs returns an error then, and the image may be
// half changed; so it does when ctx ends.
func Debugfs(ctx context.Context, image string, commands []string) error {
	for _, c := range commands {
		if strings.ContainsAny(c, "\n") {
			return fmt.Errorf("debugfs %s: command %q has a newline", image, c)
		}
	}
	if _, err := os.Stat(image); err != nil {
		return fmt.Errorf("debugfs: %w", err)
	}
	script := strings.Join(commands, "\n") + "\n"
	stderr, err := diskTool(ctx, "debugfs", "e2fsprogs", script, "-w", "-f", "-", image)
	if err != nil {
		return err
	}
	// The first line on stderr is the program's version.
	if _, complaints, _ := strings.Cut(stderr, "\n"); strings.TrimSpace(complaints) != "" {
		return fmt.Errorf("debugfs -w %s: %s", image, strings.TrimSpace(complaints))
	}
	return nil
}

// diskTool runs a filesystem tool in a process group of its own and returns what
// it wrote to stderr. The group is killed when ctx ends.
func diskTool(ctx context.Context, name, pkg, stdin string, args ...string) (stderr string, err error) {
	path, err := findTool(name)
	if err != nil {
		return "", fmt.Errorf("%w: install it (Debian: apt install %s)", err, pkg)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, imageTimeout, fmt.Errorf("not done after %v", imageTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	// Times in the filesystem are the first commit's day, messages are English.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SOURCE_DATE_EPOCH=1612915200", "E2FSPROGS_FAKE_TIME=1612915200")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	var out bytes.Buffer
	cmd.Stderr = &limitedWriter{w: &out, n: 64 << 10}
	exited, err := startLocked(cmd)
	if err == nil {
		err = <-exited
	}
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s: %w", name, context.Cause(ctx))
	case strings.Contains(out.String(), "No space left on device"):
		err = fmt.Errorf("%w: %w", err, unix.ENOSPC)
	}
	return "", fmt.Errorf("%s%s: %w", name, lastLines(out.String()), err)
}

// findTool looks where a user's PATH may not: filesystem tools are in sbin.
func findTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
			return p, nil
		}
	}
	return "", err
}
