package controller

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// maxBodyBytes bounds what a request may send.
const maxBodyBytes = 1 << 20

// maxFailures is how many wrong passwords lead to status 429.
const maxFailures = 5

// handler routes as the real one does: UniFi OS has the application below
// /proxy/network and a page at /, a classic controller redirects from there.
func (c *Controller) handler() http.Handler {
	mux := http.NewServeMux()
	prefix := ""
	if c.options.OS {
		prefix = "/proxy/network"
		mux.HandleFunc("POST /api/auth/login", c.loginOS)
		mux.Handle("GET /{$}", c.Page())
	} else {
		mux.HandleFunc("POST /api/login", c.loginClassic)
		mux.Handle("GET /{$}", http.RedirectHandler("/manage", http.StatusFound))
		mux.Handle("GET /manage", c.Page())
	}
	api := prefix + "/api/s/{site}/"
	get := func(path string, list func() []Value) {
		serve := c.guarded(func(w http.ResponseWriter, _ *http.Request, _ string) { answer(w, list()) })
		mux.HandleFunc("GET "+api+path, serve)
		mux.HandleFunc("GET "+api+path+"/{$}", serve)
	}
	get("stat/sta", func() []Value { return c.list(true) })
	for _, path := range []string{"rest/user", "list/user", "stat/alluser"} {
		get(path, func() []Value { return c.list(false) })
	}
	mux.HandleFunc("POST "+api+"cmd/stamgr", c.guarded(c.stamgr))
	mux.HandleFunc("GET "+prefix+"/api/self/sites", c.guarded(c.sites))
	mux.HandleFunc("GET "+prefix+"/v2/api/site/{site}/clients/active", c.guarded(func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeJSON(w, http.StatusOK, c.list(true))
	}))
	mux.HandleFunc("GET "+prefix+"/v2/api/site/{site}/clients/history", c.guarded(func(w http.ResponseWriter, _ *http.Request, _ string) {
		writeJSON(w, http.StatusOK, c.list(false))
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "api.err.NotFound") })
	return c.faulty(mux)
}

// Value is a JSON object of the API.
type Value map[string]any

// faulty plays the fault that is set, before anything else.
func (c *Controller) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		switch c.broken() {
		case Down:
			cut(w)
		case Starting:
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "<html><body>UniFi OS is starting up</body></html>")
		case ServerError:
			refuse(w, http.StatusInternalServerError, "api.err.ServerError")
		case TooMany:
			writeJSON(w, http.StatusTooManyRequests, Value{"code": "AUTHENTICATION_FAILED_LIMIT_REACHED", "message": "You've reached the login attempt limit"})
		case Hang:
			io.Copy(io.Discard, r.Body) // the server notices a caller that leaves only when the body is read
			<-r.Context().Done()
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// cut closes the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

// credentials reads a login's body.
func credentials(r *http.Request) (user, password string) {
	var body struct{ Username, Password string }
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return "", ""
	}
	return body.Username, body.Password
}

// admit counts failures and opens a session for the right password.
func (c *Controller) admit(r *http.Request) (token string, s *login, status int) {
	user, password := credentials(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fault == SecondFactor:
		return "", nil, 499
	case c.failures >= maxFailures:
		return "", nil, http.StatusTooManyRequests
	case c.options.User == "" || !same(user, c.options.User) || !same(password, c.options.Password):
		c.failures++
		return "", nil, http.StatusUnauthorized
	}
	c.failures = 0
	c.logins++
	s = &login{user: user, csrf: rand.Text()}
	token = jwt(s.csrf)
	c.sessions[token] = s
	return token, s, http.StatusOK
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// jwt is a token as UniFi OS hands out: the CSRF token stands in its payload.
func jwt(csrf string) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(Value{"alg": "HS256", "typ": "JWT"}) + "." + part(Value{"csrfToken": csrf, "userId": rand.Text()}) + "." + rand.Text()
}

func (c *Controller) loginOS(w http.ResponseWriter, r *http.Request) {
	token, s, status := c.admit(r)
	switch status {
	case http.StatusOK:
		http.SetCookie(w, &http.Cookie{Name: "TOKEN", Value: token, Path: "/", Secure: true, HttpOnly: true})
		w.Header().Set("X-CSRF-Token", s.csrf)
		writeJSON(w, status, Value{"username": s.user, "status": "ACTIVE"})
	case 499:
		writeJSON(w, status, Value{"code": "MFA_AUTH_REQUIRED", "message": "second factor required"})
	case http.StatusTooManyRequests:
		writeJSON(w, status, Value{"code": "AUTHENTICATION_FAILED_LIMIT_REACHED", "message": "You've reached the login attempt limit"})
	default:
		writeJSON(w, status, Value{"code": "AUTHENTICATION_FAILED_INVALID_CREDENTIALS", "message": "Invalid username or password"})
	}
}

func (c *Controller) loginClassic(w http.ResponseWriter, r *http.Request) {
	token, _, status := c.admit(r)
	switch status {
	case http.StatusOK:
		http.SetCookie(w, &http.Cookie{Name: "unifises", Value: token, Path: "/", Secure: true, HttpOnly: true})
		answer(w, nil)
	case 499:
		refuse(w, http.StatusBadRequest, "api.err.Ubic2faTokenRequired")
	case http.StatusTooManyRequests:
		refuse(w, status, "api.err.TooManyAttempts")
	default:
		refuse(w, http.StatusBadRequest, "api.err.Invalid")
	}
}

// guarded lets through who is signed in (with a valid CSRF token where the
// request changes something) and knows the site.
func (c *Controller) guarded(next func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by, status := c.identify(w, r)
		if status != http.StatusOK {
			if c.options.OS {
				writeJSON(w, status, Value{"error": Value{"code": status, "message": http.StatusText(status)}})
				return
			}
			refuse(w, status, "api.err.LoginRequired")
			return
		}
		if c.broken() == NoPermission {
			refuse(w, http.StatusOK, "api.err.NoPermission")
			return
		}
		if site := r.PathValue("site"); site != "" && site != c.options.Site {
			refuse(w, http.StatusOK, "api.err.NoSiteContext")
			return
		}
		next(w, r, by)
	}
}

// identify returns who asks. On UniFi OS the CSRF token of a session is used up
// by each change and replaced.
func (c *Controller) identify(w http.ResponseWriter, r *http.Request) (by string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := r.Header.Get("X-API-KEY"); key != "" && c.options.OS {
		if c.options.APIKey == "" || !same(key, c.options.APIKey) {
			return "", http.StatusUnauthorized
		}
		return "API key", http.StatusOK
	}
	name := "unifises"
	if c.options.OS {
		name = "TOKEN"
	}
	cookie, err := r.Cookie(name)
	if err != nil || c.sessions[cookie.Value] == nil {
		return "", http.StatusUnauthorized
	}
	s := c.sessions[cookie.Value]
	if c.options.OS && r.Method != http.MethodGet {
		if !same(r.Header.Get("X-CSRF-Token"), s.csrf) {
			return "", http.StatusForbidden
		}
		s.csrf = rand.Text()
		w.Header().Set("X-Updated-CSRF-Token", s.csrf)
	}
	return s.user, http.StatusOK
}

func (c *Controller) stamgr(w http.ResponseWriter, r *http.Request, by string) {
	var body struct{ Cmd, MAC string }
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Cmd == "" || body.MAC != strings.ToLower(body.MAC) {
		refuse(w, http.StatusBadRequest, "api.err.InvalidPayload")
		return
	}
	code := c.perform(body.Cmd, body.MAC, by)
	switch fault := c.broken(); {
	case fault == Lost:
		cut(w)
	case fault == Stuck:
		<-r.Context().Done()
	case code != "":
		refuse(w, http.StatusOK, code)
	default:
		answer(w, []Value{{"mac": body.MAC}})
	}
}

func (c *Controller) sites(w http.ResponseWriter, _ *http.Request, _ string) {
	answer(w, []Value{{"name": c.options.Site, "desc": "Simulated", "role": "admin"}})
}

// list describes clients as stat/sta (online) and rest/user (known) do.
func (c *Controller) list(online bool) []Value {
	out := []Value{}
	for _, k := range c.Clients() {
		if online && !k.Online {
			continue
		}
		v := Value{"mac": k.MAC, "hostname": k.Hostname, "is_wired": k.Wired, "blocked": k.Blocked, "last_seen": k.LastSeen.Unix()}
		if k.Name != "" {
			v["name"] = k.Name
		}
		if online {
			v["ip"], v["essid"], v["network"] = k.IP.String(), k.SSID, k.Network
		} else if k.IP.IsValid() {
			v["last_ip"], v["last_connection_network_name"] = k.IP.String(), k.Network
		}
		out = append(out, v)
	}
	return out
}

func answer(w http.ResponseWriter, data []Value) {
	if data == nil {
		data = []Value{}
	}
	writeJSON(w, http.StatusOK, Value{"meta": Value{"rc": "ok"}, "data": data})
}

func refuse(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, Value{"meta": Value{"rc": "error", "msg": code}, "data": []Value{}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
