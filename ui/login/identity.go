// Package login knows who is asking: paired browsers, one-time codes and links that
// pair them, bearer tokens of the API, what each role may do, and the guards against
// forged requests and guessed tokens.
//
// Begin with Access, which turns a request into an Identity. Sign-ins and pairings
// are records of the ledger; the cache store knows only when a browser was last seen.
package login

import (
	"slices"
	"strings"

	"larkspur/engine"
)

// Identity is who makes a request. The zero Identity is nobody.
type Identity struct {
	Name  string // a key of people, or a token's name
	Email string
	Role  string
	Teams []string
	// Device is the paired browser that they came from. Without a Name it is of
	// somebody who has no role: of an address alone.
	Device engine.Device
	// How they came: "page", "api" or "command"; it becomes Answer.How.
	How string
}

// Known reports whether somebody is signed in.
func (who Identity) Known() bool { return who.Name != "" }

// Right is something that a role may do.
type Right string

// The rights. A route of the table in package ui names the one that it needs.
const (
	Anyone   Right = ""          // needs no sign-in
	See      Right = "see"       // incidents, runs, questions, changes, rules
	SeeAll   Right = "see all"   // what only a team may see, too
	Answer   Right = "answer"    // what is asked of them
	AnyAsked Right = "any"       // answer what is asked of others
	Work     Right = "work"      // close, reopen, note, undo changes
	Steer    Right = "steer"     // restart runs, change rule modes
	Audit    Right = "audit"     // read and export the audit log
	Trace    Right = "trace"     // look through the memory of DNS: who asked for what
	Govern   Right = "govern"    // make sign-in links
	SignedIn Right = "signed in" // whatever the role
)

// rightsOf lists what each role may do, LANGUAGE section 6.
func rightsOf(role string) []Right {
	switch role {
	case engine.RoleViewer:
		return []Right{See}
	case engine.RoleApprover:
		return []Right{See, Answer}
	case engine.RoleResponder:
		return []Right{See, Answer, Work, Trace}
	case engine.RoleEngineer:
		return []Right{See, Answer, Work, Steer, Trace}
	case engine.RoleAuditor:
		return []Right{See, SeeAll, Audit, Trace}
	case engine.RoleAdmin:
		return []Right{See, SeeAll, Answer, AnyAsked, Work, Steer, Audit, Trace, Govern}
	}
	return nil
}

// May reports whether the identity's role includes a right.
func (who Identity) May(r Right) bool {
	switch {
	case r == Anyone:
		return true
	case !who.Known():
		return false
	case r == SignedIn:
		return true
	}
	return slices.Contains(rightsOf(who.Role), r)
}

// RolesWith names the roles that have a right, for the sentence of a refusal.
func RolesWith(r Right) []string {
	var names []string
	for _, role := range []string{
		engine.RoleViewer, engine.RoleApprover, engine.RoleResponder,
		engine.RoleEngineer, engine.RoleAuditor, engine.RoleAdmin,
	} {
		if slices.Contains(rightsOf(role), r) {
			names = append(names, role)
		}
	}
	return names
}

// Is reports whether the identity is an addressee: by name, or by e-mail address
// without regard to case.
func (who Identity) Is(a engine.Addressee) bool {
	if !who.Known() {
		return false
	}
	if a.Name != "" && a.Name == who.Name {
		return true
	}
	return a.Email != "" && strings.EqualFold(a.Email, who.Email)
}

// InTeam reports membership.
func (who Identity) InTeam(team string) bool { return slices.Contains(who.Teams, team) }

// Administrator is the identity of the control socket, whose file permissions
// are the proof.
func Administrator() Identity {
	return Identity{Name: "administrator", Role: engine.RoleAdmin, How: "command"}
}
