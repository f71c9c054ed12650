// SPDX-License-Identifier: MIT

package bench

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"

	"wqfan/bench/cdecode"
	"wqfan/bench/flood"
	"wqfan/bench/ledger"
	"wqfan/bench/result"
	"wqfan/bench/scenario"
	"wqfan/fserr"
)

// Decoder is where a guest has the C decoder of an arm, see package cdecode.
func Decoder(arm scenario.Arm) string { return "/bin/decode-" + arm.Name }

// copies is how many of a record are decoded in a row.
const copies = 1000

// decoding measures what a record costs to decode that has just been read, in Go
// and in C.
func decoding(ctx context.Context, c scenario.Cell, t Task, out *result.Cell) error {
	mounts := []string{t.Mounts[c.FS]}
	targets, err := openTargets(mounts, c.Targets)
	if err != nil {
		return err
	}
	defer closeAll(targets)
	ch, err := openChannel(c, mounts, nil)
	if err != nil {
		return err
	}
	defer ch.Close()
	raw, err := ch.conn.SyscallConn()
	if err != nil {
		return err
	}
	rep, err := flood.Inject(ctx, c.Flood, targets...)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	n, _, err := timedRead(raw, buf)
	if err != nil {
		return err
	}
	var l ledger.Ledger
	var e fserr.Event
	used, err := ch.decode(buf[:n], &e)
	if err != nil {
		return err
	}
	l.Observe([]fserr.Event{e}, false)
	out.Flood = result.Flood{Attempted: rep.Attempted, Accepted: rep.Accepted, Refused: rep.Refused}
	if err := (&reader{ch: ch, cell: c, ledger: l}).account(flood.Report{}, rep, nil, out); err != nil {
		return err
	}

	records := bytes.Repeat(buf[:used], copies)
	inGo, clears, bare := newTiming("decode"), newTiming("decode-C"), newTiming("decode-bare-C")
	var events [64]fserr.Event
	for range rounds {
		at := now()
		for i, in := 0, records; len(in) > 0; i++ {
			used, err := ch.decode(in, &events[i%len(events)])
			if err != nil {
				return err
			}
			in = in[used:]
		}
		inGo.record((now() - at) / copies)
	}
	inC, inBareC, err := decodeInC(ctx, c.Arm, records)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		out.Warnings = append(out.Warnings, "no decoder in C: there was no compiler on the host, or none of the kernel's headers")
	case err != nil:
		return err
	default:
		clears.record(int64(inC))
		bare.record(int64(inBareC))
	}
	return histograms(t, out, inGo, clears, bare)
}

func decodeInC(ctx context.Context, arm scenario.Arm, records []byte) (clears, bare float64, err error) {
	f, err := os.CreateTemp("", "records-")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(records)
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, 0, err
	}
	return cdecode.Run(ctx, Decoder(arm), f.Name(), rounds)
}
