//go:build tools

// Package tools names the program that build.sh makes from this module.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
