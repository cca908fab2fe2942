// Command kstatus says what Flux and other tools make of Kubernetes objects, by the library that
// they use: for each object (JSON, one after the other on standard input) a line "Status: message".
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func run(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	for {
		var text json.RawMessage
		if err := decoder.Decode(&text); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		object := map[string]any{}
		if err := utiljson.Unmarshal(text, &object); err != nil {
			return err
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			return err
		}
		message, _, _ := strings.Cut(result.Message, "\n")
		if _, err := fmt.Fprintf(out, "%s: %s\n", result.Status, message); err != nil {
			return err
		}
	}
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}
