package tunnel

import (
	"io"
	"net"
)

// listener hands out connections that keep deadlines. Channels of x/crypto/ssh have
// none, and net/http rests on them: without, it waits for a peer that waits for the
// end of the answer, and no slow one is ever cut off.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	far, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	near, inner := net.Pipe()
	go carry(far, inner) // ends with either end of it
	return &conn{Conn: near, far: far}, nil
}

// carry copies both ways until one of them ends, and closes both.
func carry(far, inner net.Conn) {
	go func() { // ends when either is closed
		io.Copy(inner, far)
		inner.Close()
	}()
	io.Copy(far, inner)
	inner.Close()
	far.Close()
}

// conn is the near end, with the addresses of the far one.
type conn struct {
	net.Conn
	far net.Conn
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.far.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.far.RemoteAddr() }
