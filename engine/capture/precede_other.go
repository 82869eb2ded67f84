//go:build !linux

package capture

// Precede does nothing.
func Precede() {}
