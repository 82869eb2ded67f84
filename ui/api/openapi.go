package api

import (
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// Operation describes one call. Paths are in the form of OpenAPI.
type Operation struct {
	Method, Path, Summary string
	Query                 []string
	// Body and Answer are values of the types that are read and written; nil for
	// none, "" for text.
	Body, Answer any
	Status       int // of success; 0 means 200
	Open         bool
}

// Operations lists every call of the interface.
func Operations() []Operation {
	lists := []string{"limit", "cursor"}
	with := func(names ...string) []string { return append(names, lists...) }
	return []Operation{
		{Method: "GET", Path: "/api/v1/incidents", Summary: "List incidents, newest first",
			Query: with("status", "rule", "type", "severity", "owner", "deadline", "q"), Answer: List[engine.Incident]{}},
		{Method: "GET", Path: "/api/v1/incidents/{id}", Summary: "One incident with all that belongs to it", Answer: Incident{}},
		{Method: "GET", Path: "/api/v1/incidents/{id}/timeline", Summary: "The story of an incident", Query: lists, Answer: List[engine.TimelineEntry]{}},
		{Method: "GET", Path: "/api/v1/incidents/{id}/attachments/{sum}", Summary: "A file of an incident, by the SHA-256 of its content", Answer: ""},
		{Method: "GET", Path: "/api/v1/incidents/{id}/events", Summary: "The events of an incident", Query: lists, Answer: List[Event]{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/close", Summary: "Close an incident", Body: CloseBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/reopen", Summary: "Open a closed incident again", Body: ReasonBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/note", Summary: "Write a note on an incident", Body: NoteBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/assign", Summary: "Give an incident to a person or a team; pick, of a team: less-busy or random", Body: AssignBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/escalate", Summary: "Set an incident's severity", Body: EscalateBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/set", Summary: "Set summary facts of an incident", Body: SetBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/incidents/{id}/press", Summary: "Press a button of an incident, once", Body: PressBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/runs", Summary: "List runs, newest first", Query: with("status", "incident", "rule"), Answer: List[engine.Run]{}},
		{Method: "GET", Path: "/api/v1/runs/{id}", Summary: "One run with its steps; generation shows a branch that a restart left", Query: []string{"generation"}, Answer: Run{}},
		{Method: "POST", Path: "/api/v1/runs/{id}/restart", Summary: "Let a run go on from a step again, with another answer or the live script; dry tells what that would do (a RestartPreview)",
			Body: RestartBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/runs/{id}/undo", Summary: "Take back all that a run changed, and end it; dry tells what that would do (a RestartPreview)", Body: UndoRunBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/brake", Summary: "The brake: whether it is on, since when and why", Answer: engine.Brake{}},
		{Method: "POST", Path: "/api/v1/pause", Summary: "Press the brake: every effect is held before it begins", Body: BrakeBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/clock", Summary: "Whether timers wait because the clock jumped, since when and why", Answer: engine.ClockHold{}},
		{Method: "POST", Path: "/api/v1/clock/accept", Summary: "Take what the clock says for the time: what fell due by then fires", Body: AcceptClockBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/resume", Summary: "Let the brake go: what it held is done", Body: BrakeBody{}, Answer: engine.Decision{}},
		{Method: "POST", Path: "/api/v1/runs/{id}/resolve", Summary: "Say of a step in doubt: happened (with a value), again or skip; of one that is held: release or drop", Body: ResolveBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/questions", Summary: "List questions, newest first", Query: with("status", "incident"), Answer: List[engine.Question]{}},
		{Method: "GET", Path: "/api/v1/questions/{id}", Summary: "One question", Answer: engine.Question{}},
		{Method: "POST", Path: "/api/v1/questions/{id}/answer", Summary: "Answer a question; with files as multipart/form-data: choice, reason, field.NAME", Body: AnswerBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/mails", Summary: "List mails that the mail server did not take yet, the oldest first", Query: lists, Answer: List[engine.Mail]{}},
		{Method: "GET", Path: "/api/v1/changes", Summary: "List changes, newest first", Query: with("status", "incident"), Answer: List[engine.Change]{}},
		{Method: "GET", Path: "/api/v1/changes/{id}", Summary: "One change", Answer: engine.Change{}},
		{Method: "POST", Path: "/api/v1/changes/{id}/undo", Summary: "Take a change back", Body: UndoBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/devices", Summary: "Paired browsers, newest first: one's own, or, for administrators, all", Query: lists, Answer: List[engine.Device]{}},
		{Method: "POST", Path: "/api/v1/devices/{id}/revoke", Summary: "End the pairing of a browser", Body: ReasonBody{}, Answer: engine.Decision{}},
		{Method: "GET", Path: "/api/v1/rules", Summary: "What is live: rules and jobs, and problems of the newest files", Answer: Rules{}},
		{Method: "GET", Path: "/api/v1/rules/{name}/hits", Summary: "What a rule matched, newest first", Query: lists, Answer: List[engine.Hit]{}},
		{Method: "POST", Path: "/api/v1/jobs/{name}/run", Summary: "Start a job by hand, whatever its schedule", Answer: engine.JobStart{}},
		{Method: "GET", Path: "/api/v1/stats", Summary: "What was counted: by=hour (35 days), day (of UTC) or all; group=rule, type or severity; the last 7 days by default",
			Query: []string{"by", "since", "until", "rule", "type", "severity", "group"}, Answer: List[engine.TallyRow]{}},
		{Method: "GET", Path: "/api/v1/metrics", Summary: "What scripts recorded with metric: each series with its newest value; by=5m (two days) or hour (90 days) adds points",
			Query: with("name", "by"), Answer: List[Series]{}},
		{Method: "GET", Path: "/api/v1/audit", Summary: "Records of the audit log; format=jsonl exports all of them as a file",
			Query: with("since", "until", "incident", "format"), Answer: List[engine.AuditRecord]{}},
		{Method: "GET", Path: "/api/v1/audit/checkpoint", Summary: "The newest signed checkpoint, a C2SP note", Answer: ""},
		{Method: "GET", Path: "/api/v1/erasures", Summary: "List erasures, newest first", Query: lists, Answer: List[engine.Erasure]{}},
		{Method: "GET", Path: "/api/v1/erasures/{id}", Summary: "One erasure, and how far it is", Answer: engine.Erasure{}},
		{Method: "POST", Path: "/api/v1/erasures", Summary: "Erase what is held of an incident or a person; dry_run only tells what would go (200)",
			Body: ErasureBody{}, Answer: engine.Erasure{}, Status: http.StatusAccepted},
		{Method: "GET", Path: "/api/v1/rebuild", Summary: "How far a rebuild of the projections is, or how the last one ended", Answer: desk.Rebuild{}},
		{Method: "POST", Path: "/api/v1/rebuild", Summary: "Make all projections anew from the ledger, while everything goes on", Answer: desk.Rebuild{}, Status: http.StatusAccepted},
		{Method: "GET", Path: "/api/v1/dns", Summary: "What the sensors saw of a name and all below it, of an address that was answered, of a name that records lead to (target), or of a client: the newest first, or by name where they are too many",
			Query: with("domain", "ip", "client", "target"), Answer: DNSList{}},
		{Method: "GET", Path: "/api/v1/dns/domains", Summary: "List registrable domains, those that were seen last for the first time first", Query: lists, Answer: List[engine.DNSDomain]{}},
		{Method: "GET", Path: "/api/v1/dns/export", Summary: "The memory of DNS in the passive DNS common output format, JSON lines; it is recorded", Answer: ""},
		{Method: "POST", Path: "/api/v1/dns/import", Summary: "Take in JSON lines in the passive DNS common output format", Body: "", Answer: engine.DNSImport{}},
		{Method: "GET", Path: "/api/v1/scrub", Summary: "How far a scrub of the state folder is, or what the last one found", Answer: desk.Scrub{}},
		{Method: "POST", Path: "/api/v1/scrub", Summary: "Look for damage in every file and record, while everything goes on", Answer: desk.Scrub{}, Status: http.StatusAccepted},
		{Method: "POST", Path: "/api/v1/login", Summary: "Make a one-time sign-in link for a person", Body: LinkBody{}, Answer: Link{}, Status: http.StatusCreated},
		{Method: "GET", Path: "/api/v1/openapi.json", Summary: "This document", Answer: map[string]any{}, Open: true},
		{Method: "GET", Path: "/metrics", Summary: "Totals and gauges in the text format of Prometheus", Answer: ""},
		{Method: "GET", Path: "/healthz", Summary: "The health tree", Answer: desk.Check{}, Open: true},
		{Method: "GET", Path: "/readyz", Summary: "Whether requests are served", Answer: map[string]bool{}, Open: true},
		{Method: "POST", Path: "/hooks/{name}", Summary: "An event for on.webhook(name); signed, or with the hook's own secret as bearer token",
			Body: map[string]any{}, Answer: hookAnswer{}, Status: http.StatusAccepted, Open: true},
	}
}

type hookAnswer struct {
	Event string `json:"event"`
}

// OpenAPI serves GET openapi.json.
func (a *API) OpenAPI(c echo.Context) error { return write(c, http.StatusOK, a.Document()) }

type object = map[string]any

// Document is the OpenAPI 3.1 document.
func (a *API) Document() map[string]any {
	s := schemas{}
	failure := s.of(reflect.TypeFor[Failure]())
	paths := object{}
	for _, op := range Operations() {
		path, ok := paths[op.Path].(object)
		if !ok {
			path = object{}
			paths[op.Path] = path
		}
		path[strings.ToLower(op.Method)] = s.operation(op, failure)
	}
	return object{
		"openapi":  "3.1.0",
		"info":     object{"title": "Larkspur", "version": a.Version, "description": "Incidents, runs, questions and changes of one Larkspur."},
		"servers":  []any{object{"url": strings.TrimSuffix(a.URL.String(), "/")}},
		"security": []any{object{"token": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas":         s,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}
}

func (s schemas) operation(op Operation, failure object) object {
	status := op.Status
	if status == 0 {
		status = http.StatusOK
	}
	out := object{
		"summary":     op.Summary,
		"operationId": operationID(op),
		"parameters":  s.parameters(op),
		"responses": object{
			itoa(status): object{"description": http.StatusText(status), "content": object{mediaOf(op.Answer): object{"schema": s.of(reflect.TypeOf(op.Answer))}}},
			"default":    object{"description": "An error", "content": object{"application/json": object{"schema": failure}}},
		},
	}
	if op.Body != nil {
		out["requestBody"] = object{"content": object{mediaOf(op.Body): object{"schema": s.of(reflect.TypeOf(op.Body))}}}
	}
	if op.Open {
		out["security"] = []any{}
	}
	return out
}

// mediaOf is the type of a body.
func mediaOf(body any) string {
	if _, text := body.(string); text {
		return "text/plain"
	}
	return "application/json"
}

func itoa(status int) string {
	return string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)})
}

func operationID(op Operation) string {
	words := strings.FieldsFunc(strings.TrimPrefix(op.Path, "/api/v1"), func(r rune) bool { return strings.ContainsRune("/{}.", r) })
	return strings.ToLower(op.Method) + "_" + strings.Join(words, "_")
}

func (s schemas) parameters(op Operation) []any {
	out := []any{}
	for _, part := range strings.Split(op.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, name := range op.Query {
		schema := object{"type": "string"}
		if name == "limit" {
			schema = object{"type": "integer", "minimum": 1, "maximum": desk.MaxLimit, "default": desk.DefaultLimit}
		}
		out = append(out, object{"name": name, "in": "query", "schema": schema})
	}
	return out
}

// schemas are the document's named schemas, made from our own types.
type schemas map[string]any

func (s schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[engine.Data](), reflect.TypeFor[any]():
		return object{} // any JSON
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[time.Duration]():
		return object{"type": "integer", "description": "nanoseconds"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{} // raw JSON
		}
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.named(t)
	}
	return object{"type": "integer"}
}

// named makes a struct's schema once and refers to it.
func (s schemas) named(t reflect.Type) object {
	name := schemaName(t)
	if _, done := s[name]; !done {
		properties := object{}
		s[name] = object{"type": "object", "properties": properties} // ends recursion
		s.addProperties(t, properties)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

func (s schemas) addProperties(t reflect.Type, properties object) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.addProperties(f.Type, properties)
		case f.IsExported() && name != "-" && name != "":
			properties[name] = s.of(f.Type)
		}
	}
}

// schemaName is the type's name, with its package where that is not the nouns':
// "Run" is engine's, "api.Run" ours.
func schemaName(t reflect.Type) string {
	name := t.Name()
	if list, item, ok := strings.Cut(name, "["); ok {
		item = strings.TrimSuffix(item, "]")
		pkg := ""
		if strings.Contains(item, "ui/api.") {
			pkg = "api."
		}
		return list + "." + pkg + item[strings.LastIndexByte(item, '.')+1:]
	}
	if t.PkgPath() == reflect.TypeFor[engine.Run]().PkgPath() {
		return name
	}
	return t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:] + "." + name
}
