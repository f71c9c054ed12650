// SPDX-License-Identifier: MIT

package wq

import (
	"slices"
	"time"

	"wqfan/fserr"
	"wqfan/internal/stream"
)

// What a queue keeps of chains is bounded, whatever the kernel sends.
const (
	maxOpen = 64  // chains whose parts are still coming
	maxLent = 256 // records that the caller has from one Read
	maxGone = 64  // chains that were given up, whose parts may still come
)

// chainGrace is how long a queue must have had no more to read before a chain
// that may have lost its last parts is given up: they are posted one by one, and
// whoever posts them can be interrupted.
const chainGrace = int64(20 * time.Millisecond)

// chain is a record that is being put together.
type chain struct {
	id    uint32
	watch uint8
	first bool        // event is that of the first note
	event fserr.Event // Record has what came so far
	len   uint32      // chain_len, if first
	buf   []byte      // behind Record.Bytes
	last  int         // index of the latest part
	// Something has been lost that may have been a part of this.
	doubtful bool
	dry      int64 // when the queue was first found empty after the latest part
}

// chains puts chains together: it is the Decoder of a queue. The bytes of a
// record belong to it and are the caller's until release.
//
// The kernel posts the parts of a chain in order, but not at once. It does not
// say that a part was lost, only that something was. So a chain is broken if a
// later part or the end of the watch comes first, or if the queue has no more to
// give after a loss.
type chains struct {
	open []*chain // in the order of their beginning
	lent []*chain
	free []*chain
	gone [maxGone]uint32 // a ring of ids; no chain has id 0
	past int             // number of those ever put into gone
	loss bool            // since the queue was last found empty
}

// release takes back the bytes that the caller has.
func (c *chains) release() {
	c.free = append(c.free, c.lent...)
	c.lent = c.lent[:0]
}

// decode implements [stream.Decoder].
func (c *chains) decode(b []byte, e *fserr.Event) (int, error) {
	n, err := Decode(b, e)
	if err != nil || e.Kind == fserr.Error && e.Has&fserr.HasBroken == 0 {
		return n, err
	}
	b = b[:n]
	switch e.Kind {
	case fserr.Error:
		if native.Uint32(b[offInfo:])&fsErrorInfoChain != 0 {
			return c.begin(b, e)
		}
	case fserr.Fragment:
		return c.add(b, e)
	case fserr.Lost:
		c.loss = true
		for _, o := range c.open {
			o.doubtful = true
		}
	case fserr.Removed:
		// No part follows it, and losing one was not told.
		if i := slices.IndexFunc(c.open, func(o *chain) bool { return o.watch == e.Watch }); i >= 0 {
			c.giveUp(i, e)
			return 0, nil
		}
	}
	return n, nil
}

// begin starts a chain with its first note. It takes the note only if there is
// room for another chain.
func (c *chains) begin(b []byte, e *fserr.Event) (int, error) {
	if len(c.open) == maxOpen {
		c.giveUp(0, e)
		return 0, nil
	}
	o := c.take(chainID(b), e.Watch)
	o.first, o.event, o.len = true, *e, chainLen(b)
	*e = fserr.Event{}
	return len(b), nil
}

// add adds a part, and ends the chain if it is the last one.
func (c *chains) add(b []byte, e *fserr.Event) (int, error) {
	id, index, last := native.Uint32(b[offChain:]), partIndex(b), partIsLast(b)
	i := slices.IndexFunc(c.open, func(o *chain) bool { return o.id == id && o.watch == e.Watch })
	if i < 0 {
		switch {
		case slices.Contains(c.gone[:], id) && id != 0:
			*e = fserr.Event{}
			return len(b), nil
		case len(c.open) == maxOpen:
			c.giveUp(0, e)
			return 0, nil
		}
		i = len(c.open)
		c.take(id, e.Watch).event = fserr.Event{Kind: fserr.Fragment, Has: e.Has, Watch: e.Watch,
			Record: fserr.Record{Missing: fserr.AllParts}}
	}
	o := c.open[i]
	if index <= o.last {
		return len(b), malformed("watch_notification_chain", "part %d of chain %d after part %d", index, id, o.last)
	}
	data := e.Record.Bytes
	if o.first {
		all := partsOf(o.len)
		rest := int(o.len) - (index-1)*chainPartData
		if index > all || last != (index == all) || last && len(data) < rest {
			return len(b), malformed("watch_notification_chain", "part %d of chain %d has %d bytes, last %v; the chain has %d bytes", index, id, len(data), last, o.len)
		}
		data = data[:min(len(data), rest)] // without padding
	}
	if last && len(c.lent) == maxLent {
		*e = fserr.Event{}
		return 0, nil
	}
	o.buf = append(o.buf, data...)
	o.event.Record.Missing &^= 1 << (index - 1)
	o.last, o.dry = index, 0
	if !last {
		*e = fserr.Event{}
		return len(b), nil
	}
	o.event.Record.Missing &= firstParts(index)
	c.deliver(i, e)
	return len(b), nil
}

// take opens a chain.
func (c *chains) take(id uint32, watch uint8) *chain {
	var o *chain
	if n := len(c.free); n > 0 {
		o, c.free = c.free[n-1], c.free[:n-1]
		*o = chain{buf: o.buf[:0]}
	} else {
		o = &chain{}
	}
	o.id, o.watch, o.doubtful = id, watch, c.loss
	c.open = append(c.open, o)
	return o
}

// deliver ends a chain and makes it the event.
func (c *chains) deliver(i int, e *fserr.Event) {
	o := c.open[i]
	c.open = slices.Delete(c.open, i, i+1)
	c.lent = append(c.lent, o)
	*e = o.event
	if e.Record.Missing == 0 {
		e.Has = e.Has&^fserr.HasBroken | fserr.HasRecord
	}
	if len(o.buf) > 0 {
		e.Record.Bytes = o.buf[:len(o.buf):len(o.buf)]
	}
}

// giveUp delivers a chain as it is, unless the caller has too many already.
func (c *chains) giveUp(i int, e *fserr.Event) {
	if len(c.lent) == maxLent {
		*e = fserr.Event{}
		return
	}
	c.gone[c.past%maxGone] = c.open[i].id
	c.past++
	c.deliver(i, e)
}

// dry implements [stream.Config].Dry: it gives up a chain, or says when one will
// be due.
func (c *chains) dry(e *fserr.Event) (at int64, ok bool) {
	c.loss = false
	for i, o := range c.open {
		if !o.doubtful {
			continue
		}
		now := stream.Now()
		if o.dry == 0 {
			o.dry = now
		}
		due := o.dry + chainGrace
		if due <= now {
			c.giveUp(i, e)
			return 0, true
		}
		if at == 0 || due < at {
			at = due
		}
	}
	return at, false
}
