package record_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// kinds are the payload types of all kinds.
var kinds = map[record.Kind]any{
	record.EpochOpenedKind: record.EpochOpened{}, record.BundleActivatedKind: record.BundleActivated{},
	record.LoggedInKind: record.LoggedIn{}, record.LoggedOutKind: record.LoggedOut{}, record.ExportedKind: record.Exported{}, record.KeyRotatedKind: record.KeyRotated{},
	record.RebuiltKind: record.Rebuilt{},
	record.ErasedKind:  record.Erased{}, record.EventSeenKind: record.EventSeen{}, record.EventMatchedKind: record.EventMatched{},
	record.EventRoutedKind: record.EventRouted{}, record.JobFiredKind: record.JobFired{}, record.StepStartedKind: record.StepStarted{},
	record.StepDoneKind: record.StepDone{}, record.RunParkedKind: record.RunParked{}, record.RunEndedKind: record.RunEnded{},
	record.WorkerDiedKind: record.WorkerDied{}, record.QuestionAnsweredKind: record.QuestionAnswered{},
	record.RunRestartedKind: record.RunRestarted{}, record.StepDoubtedKind: record.StepDoubted{}, record.StepResolvedKind: record.StepResolved{},
	record.ButtonPressedKind: record.ButtonPressed{}, record.TimerFiredKind: record.TimerFired{}, record.UndoRequestedKind: record.UndoRequested{}, record.IncidentChangedKind: record.IncidentAct{},
	record.IncidentOpenedKind: record.IncidentOpened{}, record.StateSetKind: record.StateSet{}, record.BrakeSetKind: record.BrakeSet{}, record.ClockHeldKind: record.ClockHeld{}, record.LockChangedKind: record.LockChanged{},
	record.JobStartedKind: record.JobStarted{}, record.MetricSetKind: record.MetricSet{}, record.DeadlineSetKind: record.DeadlineSet{}, record.DeadlineBreachedKind: record.DeadlineBreached{},
	record.ExpectSetKind: record.ExpectSet{}, record.EventExpectedKind: record.EventExpected{},
	record.DevicePairedKind: record.DevicePaired{}, record.DeviceRevokedKind: record.DeviceRevoked{}, record.SignInOfferedKind: record.SignInOffered{},
}

// stays names every text of a payload that an erasure leaves, by its path; of
// kinds that are not here everything stays.
var stays = map[record.Kind]string{
	record.LoggedInKind:         "how",
	record.LoggedOutKind:        "",
	record.ExportedKind:         "incident what",
	record.KeyRotatedKind:       "new old",
	record.RebuiltKind:          "differs",
	record.EventSeenKind:        "cursor kind logsource.category logsource.product logsource.service source",
	record.EventMatchedKind:     "bundle commit do.file do.name event event_kind hours mode on_attach.file on_attach.name on_breach.file on_breach.name on_failure rule severity sla.name source team type visible",
	record.JobStartedKind:       "bundle commit do.file do.name how job mode",
	record.JobFiredKind:         "bundle commit do.file do.name job mode offer",
	record.StepStartedKind:      "at await builtin class expect.step lock.name path question.on_breach.file question.on_breach.name question.proof run",
	record.StepDoneKind:         "at builtin button.do.file button.do.name button.token change.inverse change.undo.file change.undo.name class error.at error.cause error.kind incident.act incident.incident incident.severity incident.team link.question link.token path run settled.change starts.handler.file starts.handler.name starts.purpose undo",
	record.RunParkedKind:        "path run steps",
	record.RunEndedKind:         "error.at error.cause error.kind run status",
	record.WorkerDiedKind:       "at cause run",
	record.StepDoubtedKind:      "error.at error.cause error.kind path run",
	record.StepResolvedKind:     "how outcome path run",
	record.RunRestartedKind:     "bundle commit how path run",
	record.ButtonPressedKind:    "button how",
	record.QuestionAnsweredKind: "device how proof question",
	record.UndoRequestedKind:    "bundle change commit",
	record.BrakeSetKind:         "",
	record.ClockHeldKind:        "how",
	record.IncidentChangedKind:  "act incident severity team",
	record.IncidentOpenedKind:   "bundle commit do.file do.name mode rule run severity team type visible",
	record.StateSetKind:         "run",
	record.MetricSetKind:        "run",
	record.ExpectSetKind:        "kind run step",
	record.EventExpectedKind:    "event event_kind run source step",
	record.DevicePairedKind:     "how",
	record.DeviceRevokedKind:    "device how",
	record.SignInOfferedKind:    "bundle commit how",
}

// fill sets every field of a payload, texts to their marker.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1790000000, 0).UTC()))
	case v.Type() == reflect.TypeFor[engine.Data]():
		v.Set(reflect.ValueOf(engine.MustEncode("marker")))
	case v.Kind() == reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"marker": "marker"}))
	case v.CanFloat():
		v.SetFloat(7)
	case v.Kind() == reflect.String:
		v.SetString("marker")
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(7)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

// texts lists the paths of all texts in a JSON value.
func texts(v any, path string) (list []string) {
	switch v := v.(type) {
	case string:
		if v == "marker" {
			list = append(list, path)
		}
	case []any:
		for _, each := range v {
			list = append(list, texts(each, path)...)
		}
	case map[string]any:
		for key, each := range v {
			list = append(list, texts(each, strings.TrimPrefix(path+"."+key, "."))...)
		}
	}
	slices.Sort(list)
	return list
}

// TestWhatStaysOfEachKind: nothing stays of a payload but what this list names.
// A new kind fails until somebody decides; a new field is gone by itself.
func TestWhatStaysOfEachKind(t *testing.T) {
	for _, k := range record.Kinds() {
		typ, known := kinds[k]
		if !known {
			t.Errorf("%s: add its payload here", k)
			continue
		}
		full := reflect.New(reflect.TypeOf(typ)).Elem()
		fill(full)
		payload := record.Marshal(full.Interface())
		left, err := record.Residue(k, payload)
		if err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		want, erasable := stays[k]
		if erasable != (left != nil) {
			t.Errorf("%s: got the residue %s, want one: %v", k, left, erasable)
		}
		if left == nil {
			continue
		}
		var v any
		if err := json.Unmarshal(left, &v); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(texts(v, ""), " "); got != want {
			t.Errorf("%s: got what stays: %q, want %q", k, got, want)
		}
		if again, err := record.Residue(k, left); again != nil || err != nil {
			t.Errorf("%s: got %s (%v) of a residue, want that nothing more can go", k, again, err)
		}
		if _, err := record.Say(k, left, "erased on 2026-11-22 because of this test"); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestUnknownKindsHaveNoResidue(t *testing.T) {
	if left, err := record.Residue(999, []byte(`{}`)); err == nil {
		t.Errorf("got %s, want an error: nobody decided", left)
	}
}

// FuzzResidue: whatever stands in a payload, its residue is one of its kind, of
// which nothing more can go.
func FuzzResidue(f *testing.F) {
	for k, typ := range kinds {
		full := reflect.New(reflect.TypeOf(typ)).Elem()
		fill(full)
		f.Add(uint16(k), record.Marshal(full.Interface()))
		f.Add(uint16(k), []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, kind uint16, payload []byte) {
		k := record.Kind(kind)
		left, err := record.Residue(k, payload)
		if err != nil || left == nil {
			return
		}
		if again, err := record.Residue(k, left); err != nil || again != nil {
			t.Errorf("%s of %s: got %s, then %s (%v)", k, payload, left, again, err)
		}
		if _, err := record.Say(k, left, "gone"); err != nil {
			t.Errorf("%s: %s: %v", k, left, err)
		}
	})
}
