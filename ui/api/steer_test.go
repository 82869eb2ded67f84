package api_test

import (
	"testing"

	"larkspur/ui/uitest"
)

func TestADoubtIsResolved(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	post := func(body string) uitest.Page {
		return c.Do("POST", "/api/v1/runs/r0-16/resolve", "application/json", body)
	}
	post(`{"step": 2, "outcome": "happened", "value": {"exit": 0}, "reason": "the log says so"}`).Want(200, `"applied":true`)
	post(`{"step": "1.0/2", "outcome": "again", "value": null}`).Want(200)
	want := `resolve r0-16 2 happened {"exit": 0} by admin-token "the log says so"; resolve r0-16 1.0/2 again  by admin-token ""`
	if got := w.Logged(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	post(`{"step": true, "outcome": "again"}`).Want(400, "want the number of a step")
	post(`{"step": 2, "outcom": "again"}`).Want(400, "outcome")
	c.Do("POST", "/api/v1/runs/r0-99/resolve", "application/json", `{"step": 2, "outcome": "again"}`).Want(404)
	w.Late = "it was resolved by dave: skip it"
	post(`{"step": 2, "outcome": "again"}`).Want(409, "it was resolved by dave: skip it")
	w.Visit(t, "").Do("POST", "/api/v1/runs/r0-16/resolve", "application/json", `{}`).Want(401)
}
