// SPDX-License-Identifier: MIT

package monitor

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"wqfan/internal/stream"
)

// notifier tells the service manager how we are (sd_notify(3)). Without a
// manager it does nothing.
type notifier struct {
	conn  net.Conn
	every time.Duration // between two signs of life, 0 for none
}

// newNotifier reads what the manager put into the environment.
func newNotifier() (*notifier, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return &notifier{}, nil
	}
	conn, err := net.Dial("unixgram", name) // net knows the @ of an abstract name
	if err != nil {
		return nil, fmt.Errorf("reach the service manager: %w", err)
	}
	n := &notifier{conn: conn}
	pid := os.Getenv("WATCHDOG_PID")
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.every = time.Duration(usec) * time.Microsecond / 2
	}
	return n, nil
}

// say sends a state: "READY=1". A manager that is not listening is its own
// problem.
func (n *notifier) say(format string, a ...any) {
	if n.conn != nil {
		_, _ = fmt.Fprintf(n.conn, format, a...)
	}
}

// reloading says that a SIGHUP is being answered; READY=1 ends that.
func (n *notifier) reloading() { n.say("RELOADING=1\nMONOTONIC_USEC=%d", stream.Now()/1000) }

func (n *notifier) close() {
	if n.conn != nil {
		n.say("STOPPING=1")
		n.conn.Close()
	}
}
