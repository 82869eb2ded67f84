package eraser

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// clock is advanced by who sleeps.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

var morning = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// box is the rooms below an eraser, in a folder that a next box can open again.
type box struct {
	t      *testing.T
	dir    string
	clock  *clock
	store  *store.Store
	cache  *store.Cache
	blobs  *store.Blobs
	ledger *ledger.Ledger
	state  *state.State
	signer *ledger.Signer
	eraser *Eraser
	keep   string

	snapshotsGone bool
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *box {
	t.Helper()
	b := &box{t: t, dir: dir, clock: &clock{now: morning}}
	var err error
	b.store, err = store.OpenLedger(dir + "/ledger")
	must(t, err)
	b.cache, err = store.OpenCache(dir + "/cache")
	must(t, err)
	b.blobs, err = store.OpenBlobs(dir + "/blobs")
	must(t, err)
	b.signer, err = ledger.LoadSigner(dir+"/key", "larkspur")
	must(t, err)
	b.ledger, err = ledger.Open(ledger.Config{Store: b.store, Projector: state.NewProjector(nil), Clock: b.clock, Node: "test", Signer: b.signer})
	must(t, err)
	b.state = state.Open(b.store, b.blobs, b.ledger)
	b.eraser = New(Config{
		Ledger: b.ledger, State: b.state, Store: b.store, Blobs: b.blobs, Cache: b.cache, Clock: b.clock,
		Zone: func() *time.Location { return time.UTC }, Snapshots: func() error { b.snapshotsGone = true; return nil },
		Keep: func(now time.Time) (string, time.Time) { return b.keep, now.AddDate(-2, 0, 0) },
	})
	return b
}

func (b *box) close() {
	b.t.Helper()
	b.ledger.Close()
	must(b.t, b.cache.Close())
	must(b.t, b.store.Close())
}

func (b *box) append(records ...ledger.New) record.Outcome {
	b.t.Helper()
	done, err := b.ledger.Append(context.Background(), 0, records...)
	must(b.t, err)
	return outcomeOf(done[len(done)-1])
}

func rec(k record.Kind, payload any) ledger.New {
	return ledger.New{Kind: k, Payload: record.Marshal(payload)}
}

func data(v engine.Value) engine.Data { return engine.MustEncode(v) }

// marker is a text that stands nowhere else.
func marker() string {
	b := make([]byte, 12)
	rand.Read(b)
	return "m" + hex.EncodeToString(b)
}

// story plays an incident about a text in every place where a text can be, with
// a large result. It is closed, but for its outbox run when that is kept.
func (b *box) story(text string) (incident, run string) {
	b.t.Helper()
	values := map[string]engine.Value{"who": text, "raw": engine.Bytes("<" + text + ">")}
	e := b.append(rec(record.EventSeenKind, record.EventSeen{Kind: "webhook", Source: "alarm", Time: b.clock.Now(), Offer: "webhook/alarm/" + text, Fields: data(values)})).Event
	o := b.append(rec(record.EventMatchedKind, record.EventMatched{
		Rule: "alarm", Event: e, EventKind: "webhook", Source: "alarm", Offer: e + "/alarm", DedupSet: true, Dedup: text, Severity: "low", Type: "alarm",
		Title: "Alarm of " + text, Args: data(values), Fields: data(values), Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live",
	}))
	b.append(rec(record.EventRoutedKind, record.EventRouted{Event: e, Rules: []string{"alarm"}}))
	incident, run = o.Incident, o.Run
	large := data(strings.Repeat(text+" ", 2000))
	sum, err := b.state.KeepBlob(large)
	must(b.t, err)
	defer b.state.ReleaseBlob(sum)
	file := []byte("a file about " + text)
	log, err := b.state.KeepBlob(file)
	must(b.t, err)
	defer b.state.ReleaseBlob(log)
	handed := []byte("handed in about " + text)
	scan, err := b.state.KeepBlob(handed)
	must(b.t, err)
	defer b.state.ReleaseBlob(scan)
	b.append(
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 1, Builtin: "http.get", At: "a.star:1:1", Args: data(values), Blob: sum}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 2, Builtin: "email.send", At: "a.star:2:1", Class: engine.Once, Args: data(values),
			Starts: []record.Start{{Handler: engine.Handler{File: "@larkspur//outbox.star", Name: "mail"}, Purpose: "outbox", Args: data(values)}}}))
	asked := b.append(rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 3, Builtin: "ask", At: "a.star:3:1", Question: &record.Question{
		Text: "What of " + text + "?", To: []engine.Addressee{{Name: "dave", Email: text + "@example.org"}, {Name: text}}, Choices: []engine.Choice{{Name: "Block " + text}},
		Quorum: 2, Remind: time.Hour}}))
	b.append(
		rec(record.RunParkedKind, record.RunParked{Run: run, Generation: 1, Number: 3, Waits: text}),
		rec(record.TimerFiredKind, record.TimerFired{Timer: asked.Reminder}),
		rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: asked.Question, By: "dave", Choice: "Block " + text, Reason: text, How: "link"}),
		rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: asked.Question, By: text, Email: text + "@example.net", Choice: "Block " + text, Reason: text, How: "link",
			Fields: data(values), Files: []engine.Attachment{{Name: text + ".pdf", Type: "application/pdf", Size: int64(len(handed)), SHA256: scan}}}),
		rec(record.QuestionAnsweredKind, record.QuestionAnswered{Question: asked.Question, By: text, Choice: "Again " + text, How: "link"}),
		rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActNote, Incident: incident, By: text, Text: text}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 4, Builtin: "incident.set", At: "a.star:4:1", Incident: &record.IncidentAct{
			Act: record.ActSet, Incident: incident, By: "run " + run, Fields: data(values), Order: []string{"who", "raw"}}}),
		rec(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 5, Builtin: "unifi.block", At: "a.star:5:1", Class: engine.Once, Args: data(values)}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 5, Error: engine.Errorf(engine.Denied, "%s may not", text)}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 6, Builtin: "incident.attach", At: "a.star:6:1", Args: data(values), Blob: log, Incident: &record.IncidentAct{
			Act: record.ActAttach, Incident: incident, By: "run " + run, Attachment: &engine.Attachment{Name: text + ".log", Type: "text/plain", Size: int64(len(file)), SHA256: log}}}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 7, Builtin: "incident.indicator", At: "a.star:7:1", Args: data(values), Incident: &record.IncidentAct{
			Act: record.ActIndicator, Incident: incident, By: "run " + run, Indicator: &engine.Indicator{Value: text + ".example.org", Kind: engine.IndicatorDomain, Verdict: "malicious", Sources: []string{text}}}}),
		rec(record.MetricSetKind, record.MetricSet{Run: run, Generation: 1, Name: "alarms", Value: 1, Labels: map[string]string{"of": text}, Offer: "metric/" + run}),
		rec(record.StepDoneKind, record.StepDone{Run: run, Generation: 1, Number: 8, Builtin: "metric", At: "a.star:8:1", Args: data(values)}),
		rec(record.RunEndedKind, record.RunEnded{Run: run, Generation: 1, Status: engine.RunFailed, Error: engine.Errorf(engine.Script, "%s", text), Backtrace: text}))
	runs, _, err := b.state.Runs(engine.RunFilter{Incident: incident}, "", 10)
	must(b.t, err)
	for _, r := range runs {
		if r.Ended.IsZero() {
			b.append(rec(record.StepDoneKind, record.StepDone{Run: r.ID, Generation: 1, Number: 1, Builtin: "mail.waits", At: "outbox.star:1:1", Args: data(values),
				Mail: &record.Mail{To: []string{text + "@example.org"}, Subject: text, Error: text + " is unknown", Tries: 1, Next: b.clock.Now()}}))
			b.append(rec(record.RunEndedKind, record.RunEnded{Run: r.ID, Generation: 1, Status: engine.RunDone}))
		}
	}
	return incident, run
}

func (b *box) shut(incident, text string) {
	b.t.Helper()
	b.append(rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActClose, Incident: incident, By: text, Text: text, Code: text}))
}

// finish does what is asked until nothing is left to do.
func (b *box) finish() {
	b.t.Helper()
	must(b.t, b.eraser.Finish(context.Background()))
}

// found lists the files in which a text stands, in clear or in base64.
func (b *box) found(text string) (files []string) {
	b.t.Helper()
	forms := [][]byte{[]byte(text)}
	for skip := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, skip), text...))
		forms = append(forms, []byte(encoded[4:len(encoded)-4]))
	}
	must(b.t, filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(content, form) }) {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// verify exports the ledger and wants the file to be in order.
func (b *box) verify() {
	b.t.Helper()
	var file bytes.Buffer
	must(b.t, b.state.Export(context.Background(), &file, engine.AuditFilter{}))
	report, err := ledger.Verify(&file, b.signer.Verifier)
	must(b.t, err)
	for _, f := range report.Findings {
		b.t.Errorf("finding: %s", f)
	}
	if report.Erased == 0 {
		b.t.Error("the export tells of nothing erased")
	}
}

func (b *box) equalsItsRebuild() {
	b.t.Helper()
	before := b.dump()
	must(b.t, b.ledger.Rebuild())
	after := b.dump()
	if len(before) != len(after) || len(before) == 0 {
		b.t.Errorf("got %d keys after a rebuild, %d before", len(after), len(before))
	}
	for k, v := range before {
		if after[k] != v {
			b.t.Errorf("key %q: got %q after a rebuild, %q before", k, after[k], v)
		}
	}
}

func (b *box) dump() map[string]string {
	all := map[string]string{}
	view := b.store.View()
	defer view.Close()
	for c := byte(0x21); c < 0xff; c++ {
		view.Scan([]byte{c}, nil, false, func(k, v []byte) bool {
			all[string(k)] = string(v)
			return true
		})
	}
	return all
}

const because = "the owner asked for it"

func TestAnErasedIncidentIsInNoFile(t *testing.T) {
	b := open(t, t.TempDir())
	defer func() { b.close() }()
	gone, kept := marker(), marker()
	incident, _ := b.story(gone)
	other, _ := b.story(kept)
	req := engine.ErasureRequest{Incident: incident, Because: because, By: "ana", How: "command"}
	if _, err := b.eraser.Erase(t.Context(), req); engine.KindOf(err) != engine.Conflict || !strings.Contains(err.Error(), "is open: close it first") {
		t.Fatalf("got %v, want a refusal that says what to do", err)
	}
	b.shut(incident, gone)
	b.shut(other, kept)
	b.close()
	b = open(t, b.dir) // so that some of it lies in tables
	b.append(rec(record.IncidentChangedKind, record.IncidentAct{Act: record.ActNote, Incident: incident, By: gone, Text: gone}))
	would, err := b.eraser.Plan(t.Context(), req)
	must(t, err)
	if would.Records < 12 || would.Incidents != 1 || would.Blobs != 3 || len(would.Waits) > 0 {
		t.Errorf("got the plan %+v", would)
	}
	if len(b.found(gone)) < 3 {
		t.Errorf("before: got it in %v, want it in a table, a log and a blob", b.found(gone))
	}
	asked, err := b.eraser.Erase(t.Context(), req)
	must(t, err)
	b.finish()
	if files := b.found(gone); len(files) > 0 {
		t.Errorf("it is still in %v", files)
	}
	done, err := b.eraser.Erasure(asked.ID)
	if err != nil || done.Status != engine.ErasureDone || done.Records != would.Records || done.Incidents != 1 || done.By != "ana" {
		t.Errorf("got %+v, %v, want %d records", done, err, would.Records)
	}
	if again, err := b.eraser.Plan(t.Context(), req); err != nil || again.Records != 0 {
		t.Errorf("got %+v, %v, want that nothing is left", again, err)
	}
	if i, err := b.state.Incident(other); err != nil || !strings.Contains(i.Title, kept) || i.Erased != nil {
		t.Errorf("the other incident: got %+v, %v", i, err)
	}
	if len(b.found(kept)) < 2 {
		t.Errorf("what was kept is only in %v", b.found(kept))
	}
	b.verify()
	b.equalsItsRebuild()
}

// TestAClockThatGoesBack: what is meant is what is there, whatever time it has.
// Found by the fault harness: an erasure was done that had erased nothing.
func TestAClockThatGoesBack(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	gone := marker()
	incident, _ := b.story(gone)
	b.shut(incident, gone)
	b.clock.now = b.clock.now.AddDate(0, 0, -9)
	asked, err := b.eraser.Erase(t.Context(), engine.ErasureRequest{Incident: incident, Because: because, By: "ana", How: "page"})
	must(t, err)
	b.finish()
	if b.snapshotsGone {
		t.Error("the snapshots are gone, and nobody asked for that")
	}
	if files := b.found(gone); len(files) > 0 || asked.Records < 12 {
		t.Errorf("got %d records planned; it is still in %v", asked.Records, files)
	}
}

func TestErasingAPerson(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	person := marker()
	closed, _ := b.story(person + "@example.org")
	waiting, _ := b.story(strings.ToUpper(person) + "@example.org")
	other, _ := b.story("not" + person + "@example.org")
	b.shut(closed, "dave")
	b.shut(other, "dave")
	b.append(rec(record.LoggedInKind, record.LoggedIn{Who: person + "@example.org", How: "login link"}))
	for _, of := range []string{person, "ana"} {
		email, ends := of+"@example.org", b.clock.now.Add(engine.DeviceLife)
		b.append(rec(record.SignInOfferedKind, record.SignInOffered{Token: "t" + of, Email: email, How: engine.ViaLink, Expires: ends, By: "dave"}))
		b.append(rec(record.DevicePairedKind, record.DevicePaired{Token: "t" + of, Email: email, How: engine.ViaLink, Key: "k" + of, Expires: ends}))
		if _, err := b.state.DeviceByKey("k" + of); err != nil {
			t.Fatal(err)
		}
	}
	must(t, b.cache.Set("session/1", []byte(`{"who":"`+person+`@example.org"}`), time.Hour))
	must(t, b.cache.Set("session/2", []byte(`{"who":"ana"}`), time.Hour))
	asked, err := b.eraser.Erase(t.Context(), engine.ErasureRequest{Person: person + "@Example.org", Because: because, By: "ana", How: "command"})
	must(t, err)
	if len(asked.Waits) != 1 || asked.Waits[0].On != waiting || !strings.Contains(asked.Waits[0].Why, "is open") {
		t.Errorf("got %+v, want that it waits for %s", asked.Waits, waiting)
	}
	b.finish()
	if x, err := b.eraser.Erasure(asked.ID); err != nil || x.Status != engine.ErasureWaits || len(x.Waits) != 1 {
		t.Errorf("got %+v, %v, want that it waits", x, err)
	}
	for of, there := range map[string]bool{person: false, "ana": true} {
		if _, err := b.state.DeviceByKey("k" + of); (err == nil) != there {
			t.Errorf("the browser of %s: got %v, want it paired: %v", of, err, there)
		}
	}
	if _, there, err := b.cache.Get("session/1"); there || err != nil {
		t.Errorf("got the session of who was erased (%v)", err)
	}
	if _, there, err := b.cache.Get("session/2"); !there || err != nil {
		t.Errorf("another session is gone (%v)", err)
	}
	if i, err := b.state.Incident(closed); err != nil || i.Erased == nil {
		t.Errorf("got %+v, %v, want it erased", i, err)
	}
	b.shut(waiting, "dave")
	must(t, b.eraser.Pass(t.Context()))
	b.finish()
	if x, err := b.eraser.Erasure(asked.ID); err != nil || x.Status != engine.ErasureDone {
		t.Errorf("got %+v, %v, want it done", x, err)
	}
	for _, text := range []string{person + "@example.org", strings.ToUpper(person)} {
		for _, file := range b.found(text) {
			content, err := os.ReadFile(file)
			must(t, err)
			if bytes.Count(content, []byte(text)) > bytes.Count(content, []byte("not"+text)) {
				t.Errorf("%s is still in %s", text, file)
			}
		}
	}
	if i, err := b.state.Incident(other); err != nil || i.Erased != nil {
		t.Errorf("got %+v, %v, want somebody else's incident as it was", i, err)
	}
	b.verify()
	b.equalsItsRebuild()
}

func TestRetention(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	old, _ := b.story("first")
	b.shut(old, "dave")
	stays, _ := b.story("second") // open as long as it takes
	b.clock.now = b.clock.now.AddDate(2, 0, -1)
	young, _ := b.story("third")
	b.shut(young, "dave")
	b.keep = "2y"
	must(t, b.eraser.Pass(t.Context()))
	if list, _, err := b.eraser.Erasures("", 10); err != nil || len(list) != 0 {
		t.Errorf("a day before: got %+v, %v, want nothing", list, err)
	}
	b.clock.now = b.clock.now.AddDate(0, 0, 2)
	for range 2 { // the second finds nothing
		must(t, b.eraser.Pass(t.Context()))
		b.finish()
	}
	list, _, err := b.eraser.Erasures("", 10)
	if err != nil || len(list) != 1 || list[0].Because != "retention: incidents older than 2y" || list[0].How != "schedule" || list[0].Incidents != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
	for id, want := range map[string]bool{old: true, stays: false, young: false} {
		i, err := b.state.Incident(id)
		if err != nil || (i.Erased != nil) != want {
			t.Errorf("%s: got %+v, %v, want it erased: %v", id, i.Erased, err, want)
		}
	}
	b.verify()
	b.equalsItsRebuild()
}

func TestTheNightIsTheWorkspaces(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*3600)
	e := New(Config{Clock: &clock{now: morning}, Zone: func() *time.Location { return tokyo }})
	if got := e.untilNight(); got != 10*time.Hour { // 17:00 there
		t.Errorf("got %v, want ten hours", got)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	b := open(t, t.TempDir())
	defer b.close()
	for want, req := range map[string]engine.ErasureRequest{
		"because: it must be said why":             {Incident: "i0-1"},
		"because: 201 bytes, at most 200":          {Incident: "i0-1", Because: strings.Repeat("x", 201)},
		`incident "i0-9": there is none`:           {Incident: "i0-9", Because: because},
		"want one mail address or user name":       {Person: "dave jones", Because: because},
		"got an erasure of several things or of":   {Because: because},
		"got an erasure of several things or of n": {Incident: "i0-1", Person: "dave", Because: because},
	} {
		if _, err := b.eraser.Erase(t.Context(), req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", req, err, want)
		}
	}
}

func TestMentions(t *testing.T) {
	keys := map[string][]byte{"k1": []byte("secret")}
	for person, texts := range map[string]map[string]bool{
		"dave": {
			`{"by":"dave"}`: true, `{"t":"Dave's phone"}`: true, `{"t":"a\nDAVE"}`: true, `{"t":"\u0001dave"}`: true, `dave.`: true, `"davey"`: false,
			`"dave@example.org"`: false, `"dave-laptop"`: false, `""`: false, `{"v":{"$":"bytes","v":"PGRhdmU+"}}`: true,
		},
		"dave@example.org": {
			`"Dave <DAVE@example.org>."`: true, `"mailto:dave@example.org?subject=x"`: true, `"dave@example.org.uk"`: false, `"notdave@example.org"`: false,
		},
		"zoë": {`"ZOË"`: true, `"zoe"`: false},
	} {
		m := newMentions(keys, sealed(keys, "k1", " "+strings.ToUpper(person)))
		for text, want := range texts {
			if got := m.in([]byte(text)); got != want {
				t.Errorf("%s in %s: got %v, want %v", person, text, got, want)
			}
		}
	}
}

// FuzzWords: no text makes it run away or lose a word that stands alone.
func FuzzWords(f *testing.F) {
	f.Add([]byte(`{"a":"b \"dave\" \u00e9 \\"}`))
	f.Add([]byte("\xff\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		words(text, func(word []byte) bool {
			if len(word) == 0 {
				t.Error("got an empty word")
			}
			return false
		})
		if !words(append(append([]byte{}, text...), ` dave `...), func(word []byte) bool { return string(word) == "dave" }) && !bytes.HasSuffix(text, []byte(`\`)) && !bytes.Contains(text[max(0, len(text)-6):], []byte(`\u`)) {
			t.Errorf("dave is lost behind %q", text)
		}
	})
}
