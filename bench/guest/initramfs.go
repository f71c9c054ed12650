// SPDX-License-Identifier: MIT

package guest

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// jobFile is where the guest finds its orders.
const jobFile = "/job.json"

// orders is the content of jobFile.
type orders struct {
	Handler string            `json:"handler"`
	Payload json.RawMessage   `json:"payload,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Mounts  []Mount           `json:"mounts,omitempty"`
	Disks   []orderedDisk     `json:"disks,omitempty"` // as the machine's
}

// orderedDisk is what the guest is told of a disk.
type orderedDisk struct {
	Serial string `json:"serial"`
	Size   int64  `json:"size,omitempty"` // in bytes, if it is in memory; 0: it is on virtio-blk
}

// checkStatic refuses an executable that needs a dynamic linker: the guest has
// none.
func checkStatic(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("guest init %s: %w", file, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("guest init %s is built for %v: build with GOARCH=amd64", file, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("guest init %s is dynamically linked: build with CGO_ENABLED=0", file)
		}
	}
	return nil
}

// writeInitramfs writes the cpio archive that the guest starts from. It is not
// compressed: QEMU copies faster than an emulated CPU inflates.
func writeInitramfs(file string, m Machine, j Job) (err error) {
	init := m.Init
	if init == "" {
		if init, err = os.Executable(); err != nil {
			return err
		}
	}
	if err := checkStatic(init); err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriterSize(out, 1<<20)
	if m.Initrd != "" {
		if err := copyInitrd(w, m.Initrd); err != nil {
			return fmt.Errorf("initrd: %w", err)
		}
	}
	a := archive{w: cpio.Newc.Writer(w), dirs: map[string]bool{".": true}}
	for _, r := range []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
	} {
		if err := a.add(r); err != nil {
			return err
		}
	}
	o := orders{Handler: j.Handler, Payload: j.Payload, Env: j.Env, Mounts: j.Mounts}
	for i, d := range m.Disks {
		disk := orderedDisk{Serial: m.serial(i)}
		if m.inMemory() {
			if disk.Size, err = a.addDisk(disk.Serial, d.Image); err != nil {
				return fmt.Errorf("disk %s: %w", disk.Serial, err)
			}
		}
		o.Disks = append(o.Disks, disk)
	}
	job, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("job %s: %w", j.Handler, err)
	}
	for _, f := range append([]File{
		{Path: "/init", Host: init, Mode: 0o755},
		{Path: jobFile, Data: job},
	}, m.Files...) {
		if err := a.addFile(f); err != nil {
			return err
		}
	}
	if err := cpio.WriteTrailer(a.w); err != nil {
		return err
	}
	return w.Flush()
}

// initrdMagic is what an initramfs begins with, as init/initramfs.c and
// lib/decompress.c know it: cpio, or what packs it.
var initrdMagic = []string{"070701", "070702", "\x1f\x8b", "\x1f\x9e", "BZ", "\x5d\x00", "\xfd7", "\x89\x4c", "\x02\x21", "\x28\xb5"}

// copyInitrd copies an initramfs to the front of ours: the kernel unpacks one
// behind the other, each at a multiple of four bytes, and a file of a later one
// replaces one of an earlier. Behind what is none it would not look for ours, and
// panic for want of a root.
func copyInitrd(w io.Writer, file string) error {
	f, _, err := openRegular(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	head, err := r.Peek(len(initrdMagic[0]))
	if err != nil && err != io.EOF {
		return err
	}
	if !slices.ContainsFunc(initrdMagic, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) }) {
		return fmt.Errorf("%s is no initramfs: neither a cpio archive nor one that is packed", file)
	}
	n, err := io.Copy(w, r)
	if err != nil {
		return err
	}
	_, err = w.Write(make([]byte, -n&3))
	return err
}

// archive writes each path once, behind its directories.
type archive struct {
	w    cpio.RecordWriter
	dirs map[string]bool // paths written; true: a directory
	ino  uint64
}

func (a *archive) add(r cpio.Record) error {
	if _, ok := a.dirs[r.Name]; ok {
		return fmt.Errorf("initramfs has two of /%s", r.Name)
	}
	a.dirs[r.Name] = r.Mode&cpio.S_IFMT == cpio.S_IFDIR
	a.ino++
	r = cpio.MakeReproducible(r)
	r.Ino = a.ino
	return a.w.WriteRecord(r)
}

func (a *archive) mkdirs(dir string) error {
	if a.dirs[dir] {
		return nil
	}
	if err := a.mkdirs(path.Dir(dir)); err != nil {
		return err
	}
	return a.add(cpio.Directory(dir, 0o755))
}

func (a *archive) addFile(f File) error {
	if !path.IsAbs(f.Path) {
		return fmt.Errorf("initramfs: %q is not an absolute path", f.Path)
	}
	name := strings.TrimPrefix(path.Clean(f.Path), "/")
	if name == "" {
		return fmt.Errorf("initramfs: %q is not a file", f.Path)
	}
	data, mode := f.Data, f.Mode
	if f.Host != "" {
		var err error
		if data, err = os.ReadFile(f.Host); err != nil {
			return fmt.Errorf("initramfs: %w", err)
		}
		if mode == 0 {
			st, err := os.Stat(f.Host)
			if err != nil {
				return fmt.Errorf("initramfs: %w", err)
			}
			mode = st.Mode()
		}
	}
	if mode == 0 {
		mode = 0o644
	}
	if err := a.mkdirs(path.Dir(name)); err != nil {
		return err
	}
	return a.add(cpio.Record{
		ReaderAt: bytes.NewReader(data),
		Info: cpio.Info{
			Name: name, Mode: cpio.S_IFREG | uint64(mode.Perm()), NLink: 1, FileSize: uint64(len(data)),
		},
	})
}
