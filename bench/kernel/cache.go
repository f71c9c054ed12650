// SPDX-License-Identifier: MIT

package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cache is the directory that everything is kept in.
type cache struct {
	dir string
}

// The folders of a cache.
const (
	sourcesDir = "sources"
	treesDir   = "trees"
	imagesDir  = "images"
	logsDir    = "logs"
	ccacheDir  = "objects"
	checkDir   = "check" // a cache of its own, for CheckBase
	tmpDir     = "tmp"
	locksDir   = "locks"
)

// cacheDir is where the cache is when nobody says otherwise.
func cacheDir() (string, error) {
	if dir := os.Getenv("WQFAN_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the kernel cache: %w; set WQFAN_CACHE", err)
	}
	return filepath.Join(dir, "wqfan"), nil
}

func (c cache) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// make creates the folders.
func (c cache) make() error {
	for _, d := range []string{sourcesDir, treesDir, imagesDir, logsDir, tmpDir, locksDir} {
		if err := os.MkdirAll(c.path(d), 0o755); err != nil {
			return fmt.Errorf("kernel cache: %w: point WQFAN_CACHE to where you may write", err)
		}
	}
	return nil
}

// errBusy says that another process holds a lock.
var errBusy = errors.New("in use by another process")

// lock takes the lock of name, which covers the entry of that name and
// tmp/name; unlock releases it. It waits for another process when wait is not
// nil, calling it once before. Lock files stay: a file that is removed while
// somebody waits for it would be locked twice.
func (c cache) lock(ctx context.Context, name string, wait func()) (unlock func(), err error) {
	f, err := os.OpenFile(c.path(locksDir, name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kernel cache: %w", err)
	}
	for told := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK || wait == nil {
			f.Close()
			if err == unix.EWOULDBLOCK {
				err = errBusy
			}
			return nil, fmt.Errorf("kernel cache: lock %s: %w", name, err)
		}
		if !told {
			told = true
			wait()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// work gives an empty directory tmp/name. The caller holds the lock of name,
// so whatever is there belongs to nobody.
func (c cache) work(name string) (dir string, remove func(), err error) {
	dir = c.path(tmpDir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", nil, fmt.Errorf("kernel cache: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("kernel cache: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// sweep removes what processes that died left below tmp/, and compiled objects of
// before [kbuild.whole], among which may be the payload of another kernel.
func (c cache) sweep() {
	os.RemoveAll(c.path("ccache"))
	entries, _ := os.ReadDir(c.path(tmpDir))
	for _, e := range entries {
		if unlock, err := c.lock(context.Background(), e.Name(), nil); err == nil {
			os.RemoveAll(c.path(tmpDir, e.Name()))
			unlock()
		}
	}
}

// room makes sure that need bytes are free in the cache.
func (c cache) room(what string, need int64) error {
	free, err := c.free()
	if err == nil && free < need {
		err = &SpaceError{Dir: c.dir, What: what, Need: need, Free: free, Err: unix.ENOSPC}
	}
	return err
}

func (c cache) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(c.dir, &st); err != nil {
		return 0, fmt.Errorf("kernel cache: %w", &fs.PathError{Op: "statfs", Path: c.dir, Err: err})
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// noSpace turns an error into a SpaceError when the filesystem filled up: by
// its errno, or by what a command said.
func (c cache) noSpace(what string, err error, output string) error {
	full := errors.Is(err, unix.ENOSPC) || strings.Contains(output, "No space left on device")
	if _, said := errors.AsType[*SpaceError](err); err == nil || !full || said {
		return err
	}
	free, _ := c.free()
	return &SpaceError{Dir: c.dir, What: what, Free: free, Err: unix.ENOSPC}
}

// copyTree copies the tree src to dst, which must not exist, leaving out names
// that skip says. With link, files are hard links to src's where the filesystem
// can do it.
func copyTree(ctx context.Context, src, dst string, link bool, skip func(rel string, d fs.DirEntry) bool) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		if skip != nil && skip(rel, d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		to := filepath.Join(dst, rel)
		switch {
		case d.IsDir():
			return os.Mkdir(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		case !d.Type().IsRegular():
			return nil
		case link && os.Link(path, to) == nil:
			return nil
		}
		return copyFile(path, to)
	})
}

// copyFile copies a file with its mode and modification time.
func copyFile(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Chtimes(dst, time.Time{}, info.ModTime())
}
