package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gridpost/edge/internal/app"
	"gridpost/edge/internal/status"
)

// discovered prints the devices that have announced themselves, as lines for the sensors of a document.
func (f *flags) discovered(ctx context.Context, args []string, out io.Writer) error {
	f.withData()
	if err := f.parse(args, 0); err != nil {
		return err
	}
	text, err := status.Get(ctx, f.data)
	if err != nil {
		return err
	}
	var s struct {
		Discovered []status.Discovered `json:"discovered"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("reading the edge's answer: %w", err)
	}
	_, err = io.WriteString(out, discoveredLines(s.Discovered))
	return err
}

func discoveredLines(all []status.Discovered) string {
	if len(all) == 0 {
		return "# no device has announced itself that is not in the document; mqtt.discover says which formats are listened to\n"
	}
	var b strings.Builder
	b.WriteString("sensors:\n")
	for _, d := range all {
		fmt.Fprintf(&b, "  # %s: %s\n", d.Name, strings.Join(strings.Fields(d.Model+" "+d.Format+" "+d.ID), " "))
		for _, e := range d.Entries {
			fmt.Fprintf(&b, "  - %s\n", e.YAML)
			if e.Needs != "" {
				fmt.Fprintf(&b, "    # needs: %s\n", e.Needs)
			}
		}
		if len(d.Entries) == 0 {
			b.WriteString("  # its values are not known yet\n")
		}
	}
	return b.String()
}

// change asks the running edge for a change of its devices.
func (f *flags) change(ctx context.Context, args []string, out io.Writer, ask func(ctx context.Context, dir, name string, changes any) error) error {
	f.withData()
	if err := f.parse(args, 1); err != nil {
		return err
	}
	var changes app.Changes
	if err := ask(ctx, f.data, f.args[0], &changes); err != nil {
		return err
	}
	_, err := fmt.Fprint(out, changes)
	return err
}
