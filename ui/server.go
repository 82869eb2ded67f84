package ui

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
	"larkspur/ui/login"
)

// build makes the handler of the table of routes. From outside to inside:
// compression, base path, identifier and security headers, panics, then for each
// route body limit, sign-in, right, forged-request guard.
func (s *Server) build(asAdmin bool) (http.Handler, error) {
	e := echo.New()
	e.HTTPErrorHandler = s.fail
	e.Use(s.label, s.recovered)
	for _, r := range s.routes() {
		if r.handle == nil {
			return nil, engine.Errorf(engine.Internal, "ui: the route %s %s has no handler", r.method, r.path)
		}
		if asAdmin && r.surface != jsonOf && r.surface != laterOf {
			continue
		}
		e.Add(r.method, r.path, s.guarded(r, asAdmin))
		if r.method == http.MethodGet {
			e.Add(http.MethodHead, r.path, s.guarded(r, asAdmin))
		}
	}
	compressed, err := gzhttp.NewWrapper(gzhttp.MinSize(1024))
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, "ui: compression")
	}
	return compressed(s.below(e)), nil
}

// below takes the base path off, where the proxy has not.
func (s *Server) below(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if s.base != "" && (path == s.base || strings.HasPrefix(path, s.base+"/")) {
			stripped := r.Clone(r.Context())
			stripped.URL.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(path, s.base), "/")
			stripped.URL.RawPath = ""
			stripped.RequestURI = ""
			r = stripped
		}
		next.ServeHTTP(w, r)
	})
}

// contentPolicy allows our own stylesheet, images and forms, and nothing else:
// no script at all.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// idKey is where a request's identifier is kept.
const idKey = "request_id"

// label gives a request its identifier and the answer its security headers.
func (s *Server) label(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		b := make([]byte, 8)
		rand.Read(b) // never fails, crypto/rand
		c.Set(idKey, hex.EncodeToString(b))
		h := c.Response().Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
		return next(c)
	}
}

// recovered turns a panic into an error that the log tells whole and the page
// by its identifier alone.
func (s *Server) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v) // an export that broke off: cut the connection
			default:
				slog.Error("a page panicked", "id", c.Get(idKey), "path", c.Path(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				err = engine.Errorf(engine.Internal, "panic")
				c.Set(panicKey, true)
			}
		}()
		return next(c)
	}
}

// panicKey marks a request whose panic stands in the log already.
const panicKey = "panicked"

// fail writes the error of a request in the style of its surface.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	id, _ := c.Get(idKey).(string)
	if status, _ := desk.Explain(err, id); status >= http.StatusInternalServerError && c.Get(panicKey) == nil {
		slog.Error("a request went wrong", "id", id, "method", c.Request().Method, "path", c.Path(), "error", err.Error())
	}
	if tooMany := (*login.TooMany)(nil); errors.As(err, &tooMany) {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(tooMany.Wait.Seconds())+1))
	}
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		c.Response().Header().Set("Connection", "close")
	}
	if found, wrong := s.access.Authenticate(c.Request()); wrong == nil && !login.From(c.Request().Context()).Known() {
		// an address without a route: the page still knows who is signed in
		c.SetRequest(c.Request().WithContext(login.With(c.Request().Context(), found)))
	}
	write := s.pages.Error
	if path := c.Request().URL.Path; strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/hooks/") || path == "/healthz" || path == "/readyz" || path == "/metrics" {
		write = s.api.Fail
	}
	if failed := write(c, err, id); failed != nil && !c.Response().Committed {
		slog.Error("an error could not be shown", "id", id, "error", failed.Error())
		_ = c.String(http.StatusInternalServerError, "Something went wrong. It is in the log under the id "+id+".")
	}
}

// guarded puts a route's guards before its handler.
func (s *Server) guarded(r route, asAdmin bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := s.limitBody(c, r); err != nil {
			return err
		}
		if r.surface == assetsOf || r.surface == hookOf {
			return r.handle(c)
		}
		found, err := s.identify(c, asAdmin)
		c.SetRequest(c.Request().WithContext(login.With(c.Request().Context(), found)))
		if err != nil {
			return err
		}
		if !found.May(r.need) {
			if !found.Known() {
				return login.Nobody()
			}
			return desk.Permit(found.Identity, r.need)
		}
		if err := s.notForged(c, r, found, asAdmin); err != nil {
			return err
		}
		return r.handle(c)
	}
}

// limitBody refuses a body that is declared too large before a byte of it is
// read, and bounds the others.
func (s *Server) limitBody(c echo.Context, r route) error {
	req := c.Request()
	limit := max(r.limit, 1<<10) // a stray body of a GET hurts nobody
	if req.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	if req.Body != nil {
		// A copy: net/http looks at the body of its own request when it decides
		// whether to wait before it hangs up, so that the refusal still arrives.
		bounded := req.WithContext(req.Context())
		bounded.Body = http.MaxBytesReader(c.Response(), req.Body, limit)
		c.SetRequest(bounded)
	}
	return nil
}

func (s *Server) identify(c echo.Context, asAdmin bool) (login.Request, error) {
	if asAdmin {
		return login.Request{Identity: login.Administrator(), Bearer: true}, nil
	}
	return s.access.Authenticate(c.Request())
}

// notForged refuses what another site's page could make a browser send: a form
// of a session without its token, and a session's cookie where the interface
// writes.
func (s *Server) notForged(c echo.Context, r route, found login.Request, asAdmin bool) error {
	if r.method != http.MethodPost {
		return nil
	}
	switch {
	case r.surface == pageOf:
		return s.pages.CheckForm(c)
	case r.surface == jsonOf && !found.Bearer && !asAdmin:
		return engine.Errorf(engine.Denied, "writing by this interface takes a token, not a browser's session").
			WithHint("Send the header: Authorization: Bearer TOKEN")
	}
	return nil
}
