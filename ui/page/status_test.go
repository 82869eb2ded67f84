package page_test

import (
	"testing"

	"larkspur/ui/desk"
	"larkspur/ui/uitest"
)

func TestStatus(t *testing.T) {
	w := uitest.Sample(t, address)
	vic := w.Visit(t, "vic")
	vic.Get("/larkspur/status").Want(200, "something wants a look", "unifi home", "answers slowly", "Look at the controller's load.")
	w.Has.Health.Children[0].Status = desk.HealthFail
	vic.Get("/larkspur/status").Want(200, "Something is broken")
	w.Has.Health = desk.Check{Name: "Larkspur", Status: desk.HealthOK}
	vic.Get("/larkspur/status").Want(200, "Everything works")
}
