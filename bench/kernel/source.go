// SPDX-License-Identifier: MIT

package kernel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted is the version that the series is made for.
const wanted = "7.3"

// room is what the steps take, in bytes, with some to spare. Tests build
// kernels that are smaller.
var room = struct{ source, tree, compile int64 }{1 << 29, 2 << 30, 1 << 29}

// source is a kernel source that has been found. For tarballs in the cache it
// is kept as JSON beside the tarball.
type source struct {
	Version string `json:"version"`           // as far as known without unpacking
	Package string `json:"package,omitempty"` // distribution's revision: "Debian 7.3.4-1~bpo13+1"
	Origin  string `json:"origin"`            // where it is from, in words
	SHA256  string `json:"sha256"`            // of the tarball; of the listing of a directory
	File    string `json:"file"`              // tarball, by name

	path   string // tarball or directory
	dir    bool
	cached bool // the tarball is ours: it may be thrown away
}

// id names the tree.
func (s source) id() string { return s.SHA256[:12] }

// base names a version for people.
func (s source) base(version string) string {
	if s.Package != "" {
		return fmt.Sprintf("%s (%s)", version, s.Package)
	}
	return version
}

// given is the source that the user points at.
func given(ctx context.Context, path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return source{}, fmt.Errorf("kernel source: %w", err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return source{}, fmt.Errorf("kernel source: %w", err)
	}
	s := source{Origin: path, path: path, dir: info.IsDir()}
	if !s.dir && !info.Mode().IsRegular() {
		return source{}, &SourceError{path, "it is neither a directory nor a regular file"}
	}
	if !s.dir {
		s.SHA256, err = fileHash(path)
		return s, err
	}
	if s.Version, err = treeVersion(path); err != nil {
		return source{}, err
	}
	s.SHA256, err = listingHash(ctx, path)
	return s, err
}

// fileHash is the SHA-256 of a file in hex.
func fileHash(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO has no end
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// notSource says what of a user's tree is not copied: history, and what a build
// inside the tree leaves behind.
func notSource(rel string, d fs.DirEntry) bool {
	name := d.Name()
	if d.IsDir() {
		return name == ".git" || rel == "include/config" || rel == "include/generated" ||
			rel == "arch/x86/include/generated"
	}
	switch filepath.Ext(name) {
	case ".o", ".a", ".ko", ".cmd", ".mod", ".order":
		return true
	}
	return rel == ".config" || rel == ".config.old" || rel == "vmlinux" || name == ".git"
}

// listingHash stands for the content of a directory: names, sizes and
// modification times of what would be copied. Reading 1.6 GB to find out that
// nothing changed would take longer than everything else.
func listingHash(ctx context.Context, dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, dir)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if notSource(rel, d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, rel, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

var versionLine = regexp.MustCompile(`(?m)^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) =[ \t]*(\S*)$`)

// treeVersion reads the version out of a kernel tree's Makefile and refuses
// what is no kernel, or one that the series cannot be for.
func treeVersion(dir string) (string, error) {
	makefile := filepath.Join(dir, "Makefile")
	info, err := os.Stat(makefile)
	if err == nil && !info.Mode().IsRegular() {
		return "", &SourceError{dir, "its Makefile is not a regular file, so it is no kernel tree"}
	}
	data, err := os.ReadFile(makefile)
	if err != nil {
		return "", &SourceError{dir, "it has no Makefile, so it is no kernel tree"}
	}
	v := map[string]string{}
	for _, m := range versionLine.FindAllStringSubmatch(string(data[:min(len(data), 4096)]), -1) {
		v[m[1]] = m[2]
	}
	if v["VERSION"] == "" || v["PATCHLEVEL"] == "" {
		return "", &SourceError{dir, "its Makefile names no VERSION and PATCHLEVEL, so it is no kernel tree"}
	}
	version := v["VERSION"] + "." + v["PATCHLEVEL"]
	if v["SUBLEVEL"] != "" {
		version += "." + v["SUBLEVEL"]
	}
	version += v["EXTRAVERSION"]
	if v["VERSION"] != "7" {
		return "", &VersionError{dir, version}
	}
	if _, err := os.Stat(filepath.Join(dir, "Kconfig")); err != nil {
		return "", &SourceError{dir, "it has no Kconfig: the tree is not whole"}
	}
	return version, nil
}

// is73 tells whether a version is one the series is made for.
func is73(version string) bool {
	return version == wanted || strings.HasPrefix(version, wanted+".") || strings.HasPrefix(version, wanted+"-")
}

// compareVersions orders "7.3.4" after "7.3" and before "7.10".
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < max(len(as), len(bs)); i++ {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

// cachedSources are the tarballs in the cache, the best first: 7.3 before
// others, then the newest.
func (c cache) cachedSources() []source {
	records, _ := filepath.Glob(c.path(sourcesDir, "*.json"))
	var list []source
	for _, r := range records {
		var s source
		if err := readJSON(r, &s); err != nil || len(s.SHA256) != 64 {
			continue
		}
		s.path, s.cached = c.path(sourcesDir, filepath.Base(s.File)), true
		if _, err := os.Stat(s.path); err == nil {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b source) int {
		if x, y := is73(a.Version), is73(b.Version); x != y {
			if x {
				return -1
			}
			return 1
		}
		return compareVersions(b.Version, a.Version)
	})
	return list
}

// keep moves a fetched tarball into the cache. The record comes last: a tarball
// without one does not count.
func (c cache) keep(tarball string, s source) (source, error) {
	sum, err := fileHash(tarball)
	if err != nil {
		return source{}, err
	}
	s.SHA256, s.cached = sum, true
	s.path = c.path(sourcesDir, s.File)
	if err := os.Rename(tarball, s.path); err != nil {
		return source{}, err
	}
	return s, writeJSON(s.path+".json", s)
}

// discard removes a tarball from the cache.
func (c cache) discard(s source) {
	os.Remove(s.path + ".json")
	os.Remove(s.path)
}

// damagedError is a tarball that is not what was fetched.
type damagedError struct {
	src source
	why string
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("kernel source %s is damaged: %s", e.src.path, e.why)
}

// tree gives the unpacked tree of a tarball and its version, unpacking it when
// it is not there yet.
func (b *builder) tree(ctx context.Context, s source) (dir, version string, err error) {
	if s.dir {
		version, err = treeVersion(s.path)
		return s.path, version, err
	}
	dir = b.cache.path(treesDir, s.id())
	name := "tree-" + s.id()
	unlock, err := b.cache.lock(ctx, name, func() { b.opts.Progress.Note("waiting for another process that unpacks the same source") })
	if err != nil {
		return "", "", err
	}
	defer unlock()
	if version, err = treeVersion(dir); err == nil {
		return dir, version, nil
	}
	b.opts.Progress.Stage("unpacking " + filepath.Base(s.path))
	if sum, err := fileHash(s.path); err != nil {
		return "", "", &damagedError{s, err.Error()}
	} else if sum != s.SHA256 {
		return "", "", &damagedError{s, fmt.Sprintf("its SHA-256 is %s, not %s", sum, s.SHA256)}
	}
	if err := b.cache.room("an unpacked kernel source", room.tree); err != nil {
		return "", "", err
	}
	tmp, remove, err := b.cache.work(name)
	if err != nil {
		return "", "", err
	}
	defer remove()
	tree := filepath.Join(tmp, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", "", b.cache.noSpace("unpacking the kernel source", err, "")
	}
	// xz uses several CPUs where the tarball allows it.
	c := command{env: []string{"XZ_DEFAULTS=-T0"}}
	out, err := c.output(ctx, "tar", "-x", "--no-same-owner", "--strip-components=1", "-C", tree, "-f", s.path)
	if err != nil {
		if ctx.Err() != nil {
			return "", "", err
		}
		if serr := b.cache.noSpace("unpacking the kernel source", err, out); serr != err {
			return "", "", serr
		}
		if _, ok := errors.AsType[*os.PathError](err); ok {
			return "", "", fmt.Errorf("unpacking %s: %w", s.path, err)
		}
		why, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
		return "", "", &damagedError{s, why}
	}
	if version, err = treeVersion(tree); err != nil {
		if e, ok := errors.AsType[*SourceError](err); ok {
			return "", "", &SourceError{s.path, e.Why}
		}
		if e, ok := errors.AsType[*VersionError](err); ok {
			return "", "", &VersionError{s.path, e.Got}
		}
		return "", "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", "", err
	}
	return dir, version, os.Rename(tree, dir)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces path by v, whole or not at all.
func writeJSON(path string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	if err := enc.Encode(v); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, buf.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
