package runner

import (
	"context"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// CanMail says why a code cannot be mailed now, nil if it can.
func (r *Runner) CanMail() error {
	if r.cfg.Mails != nil && !r.cfg.Mails() {
		return engine.Errorf(engine.Unavailable, "no mail server is configured, so no code can be sent").
			WithHint("An administrator can make a link that signs this browser in: larkspur login NAME")
	}
	if _, _, err := r.live(); err != nil {
		return engine.Errorf(engine.Unavailable, "no scripts are live yet, so no code can be sent").
			WithHint("Try again in a moment; or an administrator makes a link that signs this browser in: larkspur login NAME")
	}
	return nil
}

// OfferSignIn offers a way to sign in. A code is mailed by a run that begins with the
// record; one for nobody is recorded alike, so that nobody learns who there is.
func (r *Runner) OfferSignIn(ctx context.Context, s engine.SignIn, by string) (engine.Decision, error) {
	p := record.SignInOffered{Token: s.Token, Person: s.Person, Email: s.Email, How: s.How, Expires: s.Expires, By: by}
	if s.How == engine.ViaCode {
		if err := r.CanMail(); err != nil {
			return engine.Decision{}, err
		}
		var err error
		if p.Bundle, p.Commit, err = r.live(); err != nil {
			return engine.Decision{}, err
		}
		p.Code = engine.CodeSum(r.cfg.LinkKey, s.Token, engine.SignInCode(r.cfg.LinkKey, s.Token))
	}
	_, d, err := r.offerFirst(ctx, record.SignInOfferedKind, p)
	return d, err
}

// PairDevice pairs a browser with the person to whom a sign-in was offered.
func (r *Runner) PairDevice(ctx context.Context, p engine.Pairing) (device string, d engine.Decision, err error) {
	now := r.cfg.Clock.Now()
	said := record.DevicePaired{
		Token: p.SignIn.Token, Person: p.SignIn.Person, Email: p.SignIn.Email, How: p.SignIn.How,
		Key: p.Key, Name: p.Name, Replaces: p.Replaces, Expires: now.Add(engine.DeviceLife),
	}
	if p.SignIn.How == engine.ViaCode {
		said.Code = engine.CodeSum(r.cfg.LinkKey, p.SignIn.Token, p.Typed)
	}
	o, d, err := r.offerFirst(ctx, record.DevicePairedKind, said)
	if o.Action == state.WrongCode {
		d = engine.Decision{Why: state.WrongCode}
	}
	return o.Device, d, err
}

// RevokeDevice ends a pairing.
func (r *Runner) RevokeDevice(ctx context.Context, device, by, how, why string) (engine.Decision, error) {
	_, d, err := r.offerFirst(ctx, record.DeviceRevokedKind, record.DeviceRevoked{Device: device, By: by, How: how, Why: why})
	return d, err
}

// offerFirst offers a record to the first shard.
func (r *Runner) offerFirst(ctx context.Context, kind record.Kind, payload any) (o record.Outcome, d engine.Decision, err error) {
	rec, err := r.cfg.Ledger.Offer(ctx, state.DeviceShard, newRecord(kind, payload))
	if err != nil {
		return o, d, err
	}
	if o, err = outcomeOf(rec); err != nil {
		return o, d, err
	}
	return o, engine.Decision{Applied: o.Applied, Why: o.Why}, nil
}
