// SPDX-License-Identifier: MIT

package monitor

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manager is a service manager that listens.
type manager struct {
	*testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &manager{t, conn}
}

// hears waits for a state.
func (m *manager) hears(want string) {
	m.Helper()
	m.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for buf := make([]byte, 1000); ; {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.Fatalf("waiting for %s: %v", want, err)
		}
		if strings.Contains(string(buf[:n]), want) {
			return
		}
	}
}

// A monitor that watches nothing yet is ready all the same, shows that it is
// alive, answers scrapes on loopback only, and a reload.
func TestService(t *testing.T) {
	m := New(Options{Dirs: []string{filepath.Join(t.TempDir(), "not-mounted")}, Backend: Auto, Listen: "127.0.0.1:0", Log: quietly})
	manager := newManager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	manager.hears("READY=1\nSTATUS=watching 0 of 0 filesystems")
	manager.hears("WATCHDOG=1")
	m.Reload()
	manager.hears("RELOADING=1\nMONOTONIC_USEC=")
	manager.hears("READY=1")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	manager.hears("STOPPING=1")
}

func TestScrape(t *testing.T) {
	m := busy()
	m.Listen = "127.0.0.1:0"
	addr, stop, err := m.serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	// One that asks and does not read holds nobody up.
	slow, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, "GET /metrics HTTP/1.1\r\nHost: x\r\n")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(b), `wqfan_errors_total{errno="EFSCORRUPTED",mount="/srv"} 998`) {
		t.Errorf("%v: %s", err, b)
	}
}

// Those who connect and stay have so many descriptors and no more; when they go,
// there is room again.
func TestScrapers(t *testing.T) {
	m := New(Options{Listen: ":0", Log: quietly})
	addr, stop, err := m.serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ask := func() (net.Conn, error) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "HEAD"})
		return c, err
	}
	var conns []net.Conn
	for range maxScrapers {
		c, err := ask()
		if err != nil {
			t.Fatalf("connection %d: %v", len(conns)+1, err)
		}
		conns = append(conns, c)
	}
	if _, err := ask(); err == nil {
		t.Error("one more was answered")
	}
	for _, c := range conns {
		c.Close()
	}
	for {
		if _, err := ask(); err == nil {
			break
		}
	}
}

func TestListen(t *testing.T) {
	for listen, want := range map[string]string{":0": "127.0.0.1:", "[::1]:0": "[::1]:"} {
		m := New(Options{Listen: listen, Log: quietly})
		addr, stop, err := m.serve()
		if err != nil {
			if strings.HasPrefix(listen, "[") {
				continue // no IPv6 here
			}
			t.Fatal(err)
		}
		stop()
		if !strings.HasPrefix(addr, want) {
			t.Errorf("--listen %s listens on %s", listen, addr)
		}
	}
	if _, _, err := New(Options{Listen: "9100", Log: quietly}).serve(); err == nil {
		t.Error("a port without a colon is taken")
	}
}

func TestNoManager(t *testing.T) {
	os.Unsetenv("NOTIFY_SOCKET")
	n, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	n.say("READY=1")
	n.close()
}
