// SPDX-License-Identifier: MIT

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
)

// Handler is what runs in the guest, by the name it is given to [Main] under.
// An error that wraps [IdentityBroken] is reported as that kind, any other, and
// a panic, as [Failed]. It runs as root, in a process of its own.
type Handler func(ctx context.Context, payload json.RawMessage, out *Output) error

// Output carries a handler's results to the host. Its methods may be called
// from several goroutines.
type Output struct {
	mu sync.Mutex
	w  io.Writer
}

// Record sends v as JSON. When it returns nil the record has left the guest.
// A record may take up to MaxLine bytes; one that is too long is not sent and
// does no harm.
func (o *Output) Record(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return o.send(message{Type: msgRecord, Data: data})
}

// Progress sends a line that says what goes on. It also tells the host that the
// guest is not hung: send one at least every few seconds of work.
func (o *Output) Progress(text string) error {
	return o.send(message{Type: msgProgress, Text: text})
}

func (o *Output) send(m message) error {
	line, err := encode(m, MaxLine)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.w.Write(line); err != nil {
		return fmt.Errorf("send %s: %w", m.Type, err)
	}
	return nil
}

// call runs h and makes a final record of how it ended.
func call(ctx context.Context, h Handler, payload json.RawMessage, out *Output) (final message) {
	defer func() {
		if p := recover(); p != nil {
			final = message{
				Type: msgFinal, Cause: causeFailed,
				Text: fmt.Sprintf("handler panicked: %v", p), Stack: string(debug.Stack()),
			}
		}
	}()
	err := h(ctx, payload, out)
	switch {
	case err == nil:
		return message{Type: msgFinal, OK: true}
	case errors.Is(err, IdentityBroken):
		return message{Type: msgFinal, Cause: causeIdentity, Text: err.Error()}
	}
	return message{Type: msgFinal, Cause: causeFailed, Text: err.Error()}
}

func unmarshal(data json.RawMessage, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%T: %w", v, err)
	}
	return nil
}
