// SPDX-License-Identifier: MIT

package guest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"wqfan/bench/result"
	"wqfan/internal/loop"
)

// memDisks is where a guest that counts instructions has its disks: in memory.
// Its clock goes on while it waits, from timer to timer as fast as QEMU gets
// through them, so that a millisecond for which the host's disk is busy is some
// hundred of the guest's, and another number in each boot. A loop device answers
// after as many instructions in each.
const memDisks = "/disks"

// inMemory says whether the machine's disks are in its memory.
func (m Machine) inMemory() bool { return m.Mode == result.ICount }

// addDisk writes what is no hole in an image into the archive, each piece as a
// file that is named after its offset, and returns the image's size. cpio has no
// sparse files.
func (a *archive) addDisk(serial, image string) (size int64, err error) {
	f, err := os.Open(image)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	for end := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // only a hole is left
			return st.Size(), nil
		}
		if err != nil {
			return 0, &fs.PathError{Op: "find data in", Path: image, Err: err}
		}
		if end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return 0, &fs.PathError{Op: "find the end of data in", Path: image, Err: err}
		}
		piece := make([]byte, end-start)
		if _, err := f.ReadAt(piece, start); err != nil {
			return 0, err
		}
		if err := a.addFile(File{Path: fmt.Sprintf("%s/%s/%d", memDisks, serial, start), Data: piece, Mode: 0o600}); err != nil {
			return 0, err
		}
	}
}

// attach makes a loop device of the pieces of a disk. It stays until the guest
// powers off.
func (d orderedDisk) attach() (device string, err error) {
	image, err := d.assemble(filepath.Join(memDisks, d.Serial))
	if err != nil {
		return "", err
	}
	defer image.Close()
	dev, err := loop.Attach(image, 0)
	if err != nil {
		return "", err
	}
	defer dev.Close()
	return dev.Name(), nil
}

// assemble makes one sparse file of the pieces in dir, which are gone then.
func (d orderedDisk) assemble(dir string) (_ *os.File, err error) {
	pieces, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be one hole
		return nil, err
	}
	// In the order of their offsets: memory is handed out alike in each boot.
	slices.SortFunc(pieces, func(a, b os.DirEntry) int {
		return cmp.Or(cmp.Compare(len(a.Name()), len(b.Name())), cmp.Compare(a.Name(), b.Name()))
	})
	image, err := os.OpenFile(dir+".img", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			image.Close()
		}
	}()
	if err := image.Truncate(d.Size); err != nil {
		return nil, err
	}
	for _, p := range pieces {
		at, err := strconv.ParseInt(p.Name(), 10, 64)
		if err != nil {
			return nil, err
		}
		if err := place(image, at, filepath.Join(dir, p.Name())); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// place moves a piece to its offset.
func place(image *os.File, at int64, name string) error {
	piece, err := os.Open(name)
	if err != nil {
		return err
	}
	defer piece.Close()
	if _, err := io.Copy(io.NewOffsetWriter(image, at), piece); err != nil {
		return err
	}
	return os.Remove(name)
}
