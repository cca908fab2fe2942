//go:build tools

// Package tools names the programs that build.sh makes from this module.
package tools

import _ "sandboxrun.dev/tests/tools/kstatus"
