package lab

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestRelay: every byte passes unmodified in both directions, the end of one
// direction does not end the other, and connections are counted.
func TestRelay(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				all, _ := io.ReadAll(c) // answers only after the client's end
				c.Write(all)
				c.Close()
			}()
		}
	}()
	r := startRelay(t, echo.Addr().String())
	sent := make([]byte, 1<<20)
	rand.Read(sent)
	for range 3 {
		c, err := net.Dial("tcp", r.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(sent)
		c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		c.Close()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	}
	if n := r.connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
	c, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.close()
	c.SetReadDeadline(time.Now().Add(startTimeout))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("close left a connection open")
	}
	if c, err := net.Dial("tcp", r.listener.Addr().String()); err == nil {
		c.Close()
		t.Error("a closed relay still accepts")
	}
}
