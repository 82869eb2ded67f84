package engine

// Proofs that a question asks for, of who answers it.
const (
	ProofLink   = "link"   // whoever has the link
	ProofTyped  = "typed"  // the link, and the choice's name typed out
	ProofDevice = "device" // a paired browser
	ProofLogin  = "login"  // a sign-in of this moment

	// What else proves who somebody is.
	ProofToken   = "token"   // of the API
	ProofCommand = "command" // the control socket's file mode
)

// Proves reports whether a proof that was given is enough for a question that asks
// for one.
func Proves(asked, given string) bool {
	switch asked {
	case ProofTyped:
		return given == ProofTyped
	case ProofDevice:
		return given == ProofDevice || given == ProofLogin || given == ProofToken || given == ProofCommand
	case ProofLogin:
		return given == ProofLogin || given == ProofCommand
	}
	return given != ""
}

// FromDevice reports whether a proof is that of a paired browser.
func FromDevice(proof string) bool { return proof == ProofDevice || proof == ProofLogin }

// SayProof says in words how an answer was proven.
func SayProof(proof string) string {
	switch proof {
	case ProofLink:
		return "by the link alone"
	case ProofTyped:
		return "by the link, with the choice typed out"
	case ProofDevice:
		return "from a paired browser"
	case ProofLogin:
		return "signed in at that moment"
	case ProofToken:
		return "with a token of the interface"
	case ProofCommand:
		return "on the box itself"
	}
	return ""
}

// HowReplay is how the bench of tests and replays answers.
const HowReplay = "replay"
