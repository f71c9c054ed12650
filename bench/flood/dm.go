// SPDX-License-Identifier: MIT

package flood

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Segment is one line of a device-mapper table: Sectors sectors of 512 bytes
// that either continue on the underlying device at the same place or fail
// every request with EIO (target "error").
type Segment struct {
	Sectors uint64
	Fails   bool
}

// Mapped is a device-mapper device over a whole block device, parts of which
// can be made to fail while a filesystem is mounted on it.
type Mapped struct {
	Path    string // /dev/dm-N
	name    string
	device  string // the underlying block device
	sectors uint64
	control *os.File
}

// struct dm_ioctl, linux/dm-ioctl.h.
type dmIoctl struct {
	Version     [3]uint32
	DataSize    uint32
	DataStart   uint32
	TargetCount uint32
	OpenCount   int32
	Flags       uint32
	EventNr     uint32
	Padding     uint32
	Dev         uint64
	Name        [128]byte
	UUID        [129]byte
	Data        [7]byte
}

// struct dm_target_spec, linux/dm-ioctl.h.
type dmTargetSpec struct {
	SectorStart uint64
	Length      uint64
	Status      int32
	Next        uint32
	TargetType  [16]byte
}

// linux/dm-ioctl.h: _IOWR(0xfd, nr, struct dm_ioctl).
const (
	dmSize        = 312
	dmDevCreate   = 3
	dmDevRemove   = 4
	dmDevSuspend  = 6
	dmTableLoad   = 9
	dmDeferRemove = 1 << 17
)

// Map creates a device-mapper device called name over all of device and
// activates it with every sector good.
func Map(name, device string) (*Mapped, error) {
	size, err := sectors(device)
	if err != nil {
		return nil, err
	}
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open device-mapper: %w (the kernel needs CONFIG_BLK_DEV_DM)", err)
	}
	m := &Mapped{name: name, device: device, sectors: size, control: control}
	hdr, err := m.call("create", dmDevCreate, 0, 0, nil)
	if err != nil {
		control.Close()
		return nil, err
	}
	m.Path = fmt.Sprintf("/dev/dm-%d", unix.Minor(hdr.Dev))
	if err := m.Load(Segment{Sectors: size}); err != nil {
		m.Remove()
		return nil, err
	}
	return m, nil
}

// Sectors returns the size of the device in sectors of 512 bytes.
func (m *Mapped) Sectors() uint64 { return m.sectors }

// Load replaces the table, also under a mounted filesystem. The segments must
// add up to the device.
func (m *Mapped) Load(table ...Segment) error {
	var b bytes.Buffer
	var start uint64
	for _, s := range table {
		kind, params := "linear", fmt.Sprintf("%s %d", m.device, start)
		if s.Fails {
			kind, params = "error", ""
		}
		spec := dmTargetSpec{SectorStart: start, Length: s.Sectors}
		copy(spec.TargetType[:], kind)
		padded := (len(params) + 1 + 7) &^ 7
		spec.Next = uint32(binary.Size(spec) + padded)
		if err := binary.Write(&b, binary.NativeEndian, spec); err != nil {
			return err
		}
		b.WriteString(params)
		b.Write(make([]byte, padded-len(params)))
		start += s.Sectors
	}
	if start != m.sectors {
		return fmt.Errorf("device-mapper %s: the table has %d sectors, the device %d", m.name, start, m.sectors)
	}
	if _, err := m.call("load the table of", dmTableLoad, 0, uint32(len(table)), b.Bytes()); err != nil {
		return err
	}
	// Without DM_SUSPEND_FLAG the call resumes, which swaps the tables.
	_, err := m.call("resume", dmDevSuspend, 0, 0, nil)
	return err
}

// Remove takes the device away, at the latest when its last user closes it.
func (m *Mapped) Remove() error {
	defer m.control.Close()
	_, err := m.call("remove", dmDevRemove, dmDeferRemove, 0, nil)
	return err
}

func (m *Mapped) call(what string, nr uintptr, flags, targets uint32, data []byte) (dmIoctl, error) {
	hdr := dmIoctl{
		Version: [3]uint32{4, 0, 0}, DataSize: uint32(dmSize + len(data)), DataStart: dmSize,
		TargetCount: targets, Flags: flags,
	}
	copy(hdr.Name[:], m.name)
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, hdr); err != nil {
		return hdr, err
	}
	b.Write(data)
	buf := b.Bytes()
	req := uintptr(3)<<30 | dmSize<<16 | 0xfd<<8 | nr
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, m.control.Fd(), req, uintptr(unsafe.Pointer(&buf[0]))); errno != 0 {
		return hdr, fmt.Errorf("%s device-mapper device %s over %s: %w", what, m.name, m.device, errno)
	}
	err := binary.Read(bytes.NewReader(buf), binary.NativeEndian, &hdr)
	return hdr, err
}

func sectors(device string) (uint64, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", device, err)
	}
	return uint64(size) / 512, nil
}

// struct fiemap with room for one struct fiemap_extent, linux/fiemap.h.
type fiemap struct {
	Start, Length                uint64
	Flags, Mapped, Count, _      uint32
	Logical, Physical, ExtentLen uint64
	_                            [2]uint64
	ExtentFlags                  uint32
	_                            [3]uint32
}

// FirstExtent returns where the first extent of f lies on its device, in
// bytes. The file must be on disk: call Sync first.
func FirstExtent(f *os.File) (physical, length uint64, err error) {
	const fsIocFiemap = 0xc020660b // FS_IOC_FIEMAP, linux/fs.h
	m := fiemap{Length: ^uint64(0), Count: 1}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsIocFiemap, uintptr(unsafe.Pointer(&m))); errno != 0 {
		return 0, 0, fmt.Errorf("map the extents of %s: %w", f.Name(), errno)
	}
	if m.Mapped == 0 {
		return 0, 0, fmt.Errorf("map the extents of %s: it has none", f.Name())
	}
	return m.Physical, m.ExtentLen, nil
}
