// SPDX-License-Identifier: MIT

package repro

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wqfan/bench/guest"
	"wqfan/bench/result"
)

// Handler is the name under which the guest's init knows [InGuest].
const Handler = "repro"

// Guest says where behaviours are reproduced: in a guest with two CPUs, for what
// takes two, and little memory, for what takes all of it.
type Guest struct {
	Kernel string      // bzImage
	Initrd string      // of that kernel, with modules that it needs; "" is none
	Mode   result.Mode // KVM or TCG
	Init   string      // static program with Handler, the guest's init; "" is this one
	// SerialLog is the file that the console is written to; "" is none.
	SerialLog string
}

const (
	guestCPUs    = 2
	guestMemMiB  = 256
	guestTimeout = 10 * time.Minute
)

// task is what the guest's init is told.
type task struct {
	Names []string `json:"names"`
}

// Perform boots the guest, runs the behaviours in it one after the other and
// gives each result to emit. The error of a guest that did not end well is a
// *guest.Error. A kernel that warned is one of them: no behaviour is meant to.
func (g Guest) Perform(ctx context.Context, behaviours []Behaviour, emit func(Result) error) error {
	tmp, cleanup, err := guest.TempDir()
	if err != nil {
		return guest.OnHost(ctx, err)
	}
	defer cleanup()
	m := guest.Machine{
		Kernel: g.Kernel, Initrd: g.Initrd, Mode: g.Mode, CPUs: guestCPUs, MemMiB: guestMemMiB, Init: g.Init,
		Timeout: guestTimeout, SerialLog: g.SerialLog,
	}
	for n := range maxDisks {
		image, err := guest.Image{FS: "ext4", Label: serial(n)}.Create(ctx, tmp)
		if err != nil {
			return guest.OnHost(ctx, fmt.Errorf("make a disk: %w", err))
		}
		m.Disks = append(m.Disks, guest.Disk{Image: image, Serial: serial(n)})
	}
	var t task
	for _, b := range behaviours {
		t.Names = append(t.Names, b.Name)
	}
	payload, err := json.Marshal(t)
	if err != nil {
		return err
	}
	out, err := guest.Run(ctx, m, guest.Job{
		Handler: Handler, Payload: payload,
		OnRecord: func(data json.RawMessage) error {
			var r Result
			if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("a result from the guest: %w", err)
			}
			return emit(r)
		},
	})
	if err == nil && len(out.Warnings) > 0 {
		return &guest.Error{Kind: guest.Panicked, Msg: "the kernel warned", Context: out.Warnings}
	}
	return err
}

// InGuest is a [guest.Handler]: it runs behaviours on the machine's disks.
func InGuest(ctx context.Context, payload json.RawMessage, out *guest.Output) error {
	var t task
	if err := json.Unmarshal(payload, &t); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	behaviours, err := Select(t.Names)
	if err != nil {
		return err
	}
	return Perform(ctx, behaviours, guestDisks{}, func(r Result) error { return out.Record(r) })
}

// OnHost runs behaviours on the running kernel, on loop devices. It needs root.
// Its error is a *guest.Error, as if this machine were one.
func OnHost(ctx context.Context, behaviours []Behaviour, emit func(Result) error) error {
	if err := Perform(ctx, behaviours, loopDisks{}, emit); err != nil {
		return guest.OnHost(ctx, err)
	}
	return nil
}
