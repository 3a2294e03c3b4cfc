// Package spreadsheet writes tables as CSV (RFC 4180) that spreadsheet programs open as they are: in UTF-8 with a byte
// order mark, and without formulas. A cell whose text a spreadsheet would calculate begins with an apostrophe, because
// names and notes come from people and devices that the reader of the table need not trust.
package spreadsheet

import (
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// ContentType is the media type of what a Writer writes.
const ContentType = "text/csv; charset=utf-8"

// Writer writes a table. It is not for several goroutines at once.
type Writer struct{ out *csv.Writer }

// NewWriter returns a writer of a table with the names of its columns.
func NewWriter(w io.Writer, columns ...string) (*Writer, error) {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return nil, fmt.Errorf("writing a table: %w", err)
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	t := &Writer{out: out}
	return t, t.Row(columns...)
}

// Row writes a row. It may be buffered until Flush.
func (w *Writer) Row(cells ...string) error {
	row := make([]string, len(cells))
	for i, text := range cells {
		row[i] = Text(text)
	}
	if err := w.out.Write(row); err != nil {
		return fmt.Errorf("writing a table: %w", err)
	}
	return nil
}

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	w.out.Flush()
	if err := w.out.Error(); err != nil {
		return fmt.Errorf("writing a table: %w", err)
	}
	return nil
}

// A formula begins with one of these characters, in either width, or with a control character; programs skip blanks
// before it.
const (
	formulas = "=+-@＝＋－＠\t\r\n"
	blanks   = " \u00a0\u3000\ufeff"
)

// number is a number, which may begin with a sign.
var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// Text returns a text that spreadsheets show and do not calculate. Numbers stay as they are.
func Text(text string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, blanks))
	if text == "" || number.MatchString(text) || !strings.ContainsRune(formulas, first) {
		return text
	}
	return "'" + text
}
