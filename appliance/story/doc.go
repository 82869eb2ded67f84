// Package story holds the tests of whole stories: the appliance as its owner
// runs it, with a wire, a controller and a mail server around it. What one room
// does alone is tested in that room. Nothing of it is part of the program.
package story
