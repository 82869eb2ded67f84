package desk

import (
	"context"
	"strings"

	"larkspur/engine"
	"larkspur/ui/login"
)

// PairedDevices lists the devices of somebody, or, for administrators, of all.
func (d *Desk) PairedDevices(who login.Identity, cursor string, limit int) ([]engine.Device, string, error) {
	of := who.Name
	if who.May(login.Govern) {
		of = ""
	}
	list, next, err := d.Reader.Devices(of, cursor, limit)
	for i := range list {
		list[i].Used = d.Devices.LastUsed(list[i])
	}
	return list, next, err
}

// Revoke ends a pairing: one's own, or, for administrators, any.
func (d *Desk) Revoke(ctx context.Context, who login.Identity, id, why string) (engine.Decision, error) {
	if err := text("reason", why, false); err != nil {
		return engine.Decision{}, err
	}
	device, err := d.Reader.Device(id)
	own := err == nil && (device.ID == who.Device.ID || who.Known() && device.Person == who.Name && who.Device.ID != "")
	if err != nil && engine.KindOf(err) == engine.NotFound || err == nil && !own && !who.May(login.Govern) {
		return engine.Decision{}, missing("device", id) // whose it is is nobody's business
	}
	if err != nil {
		return engine.Decision{}, err
	}
	by, how := who.Name, who.How
	if by == "" {
		by, how = who.Device.Owner(), "page"
	}
	return d.Decider.RevokeDevice(ctx, id, by, how, strings.TrimSpace(why))
}
