//go:build tools

// Package tools pins the gVisor runtime that the guard's tests run under.
package tools

import _ "gvisor.dev/gvisor/runsc"
