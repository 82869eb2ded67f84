package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"larkspur/engine"
)

// Fault turns an error of the network into one with a kind and a cause, as
// LANGUAGE's `attempt` lists them. doing says what was under way. An error that
// has a kind keeps it. key, where not empty, is the configuration key of the
// fingerprint that would make an unknown certificate known.
func Fault(err error, doing, key string) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		copied := *known
		copied.Message = doing + ": " + known.Message
		return &copied
	}
	if pin, ok := unknownCertificate(err); ok {
		e := engine.Errorf(engine.Unavailable, "%s: the certificate is not to be trusted: %s", doing, certificateProblem(err)).WithCause("tls")
		if key != "" {
			_ = e.WithHint("if it is the device's own certificate, compare its key's fingerprint and put it into %s: %q", key, pin)
		}
		return e
	}
	kind, cause, text := classify(err)
	return engine.Errorf(kind, "%s: %s", doing, text).WithCause(cause)
}

func classify(err error) (kind engine.Kind, cause, text string) {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && !dns.IsTimeout:
		if dns.IsNotFound {
			return engine.Unavailable, "name", "the name " + dns.Name + " does not exist"
		}
		return engine.Unavailable, "name", "the name " + dns.Name + " could not be looked up"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return engine.Timeout, "", "no answer in time"
	case errors.Is(err, context.Canceled):
		return engine.Unavailable, "", "the call was stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return engine.Unavailable, "refused", "the connection was refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return engine.Unavailable, "unreachable", "there is no route to it"
	case isTLS(err):
		return engine.Unavailable, "tls", err.Error()
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return engine.Unavailable, "reset", "the connection was lost"
	}
	return engine.Unavailable, "", err.Error()
}

func isTLS(err error) bool {
	// An alert's type is not exported; it comes as one of these two operations.
	var alert *net.OpError
	if errors.As(err, &alert) && (alert.Op == "remote error" || alert.Op == "local error") {
		return true
	}
	var header tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &header) || errors.As(err, &verify) || strings.HasPrefix(err.Error(), "tls: ")
}

// certificateProblem is the shortest true sentence about a refused certificate.
func certificateProblem(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "it is signed by nobody that this machine knows"
	case errors.As(err, &name):
		return name.Error()
	case errors.As(err, &invalid):
		return invalid.Error()
	}
	return err.Error()
}
