package reach

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// connectTimeout bounds one connection's making, so that a dead address leaves
// time for the next one.
const connectTimeout = 10 * time.Second

// Dialer makes every connection of every builtin. Safe for concurrent use.
type Dialer struct {
	Policy *Policy
	// Resolver answers names; nil is the machine's.
	Resolver *net.Resolver
	// Roots are trusted instead of the machine's, where set.
	Roots *x509.CertPool
}

// DialContext connects to host:port if the policy lets it. Each address that the
// name resolves to is checked after resolution and before anything is sent, so
// a name that changes its answer gains nothing.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{
		Timeout:  connectTimeout,
		Resolver: d.Resolver,
		ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			return d.Policy.Check(host, to)
		},
	}
	return dialer.DialContext(ctx, network, address)
}
