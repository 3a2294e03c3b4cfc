package devices

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxTitle bounds a title in one language, in characters.
const MaxTitle = 60

// Title is what people call a site, a device or a rule, in the languages of the console. Where it has no
// text, its other language is shown; without any text, the identifier.
type Title struct {
	En string `json:"en,omitempty" maxLength:"60" doc:"in English, as within a sentence: bus station, Mill Street"`
	Zh string `json:"zh,omitempty" maxLength:"60" doc:"in Chinese"`
}

// IsZero says whether t has no text.
func (t Title) IsZero() bool { return t == Title{} }

// Pointer returns nil for a title without a text, so that it is left out of JSON.
func (t Title) Pointer() *Title {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Or returns the English text, else the Chinese one, else the identifier with spaces for its hyphens.
func (t Title) Or(identifier string) string {
	switch {
	case t.En != "":
		return t.En
	case t.Zh != "":
		return t.Zh
	}
	return strings.ReplaceAll(identifier, "-", " ")
}

// CheckTitle returns what is wrong with the text of a title: it has 1 to MaxTitle printable characters and
// no space at its ends.
func CheckTitle(text string) error {
	n := utf8.RuneCountInString(text)
	if n < 1 || n > MaxTitle || !utf8.ValidString(text) || strings.TrimSpace(text) != text ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("expected 1 to %d printable characters without spaces around them", MaxTitle)
	}
	return nil
}
