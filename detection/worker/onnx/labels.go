package onnx

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxLabels = 1 << 20 // bytes of a labels file
	maxLabel  = 64      // bytes of a name
)

// readLabels reads one name per line and ignores empty lines at the end.
func readLabels(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	info, err := checkFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the labels: %w", err)
	}
	if info.Size() > maxLabels {
		return nil, fmt.Errorf("reading the labels: %s has %d bytes, more than %d", path, info.Size(), maxLabels)
	}
	text, err := os.ReadFile(path) // configured by the operator
	if err != nil {
		return nil, fmt.Errorf("reading the labels: %w", err)
	}
	unmarked := strings.TrimPrefix(string(text), "\ufeff") // some editors begin a file with it
	names := strings.Split(strings.TrimRight(strings.ReplaceAll(unmarked, "\r\n", "\n"), "\n"), "\n")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		if !validLabel(names[i]) {
			return nil, fmt.Errorf("reading the labels: line %d of %s is empty, too long or not readable", i+1, path)
		}
	}
	if len(names) > maxClasses {
		return nil, fmt.Errorf("reading the labels: %s has %d lines, more than %d", path, len(names), maxClasses)
	}
	return names, nil
}

// validLabel reports a name that can stand in a result.
func validLabel(name string) bool {
	return name != "" && len(name) <= maxLabel && strings.ToValidUTF8(name, "") == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
}

// metadataNames returns the names of classes that some exporters write into the model's metadata as
// `{0: 'person', 1: 'bicycle'}`; nil if there are none, or not all from 0 on.
func metadataNames(metadata map[string]string) []string {
	entry := regexp.MustCompile(`(\d{1,4})['"]?\s*:\s*(?:'([^']*)'|"([^"]*)")`)
	byNumber := map[int]string{}
	for _, m := range entry.FindAllStringSubmatch(metadata["names"], maxClasses) {
		i, err := strconv.Atoi(m[1])
		if name := m[2] + m[3]; err == nil && validLabel(name) {
			byNumber[i] = name
		}
	}
	var names []string
	for i := range len(byNumber) {
		name, ok := byNumber[i]
		if !ok {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// classNames returns a name for each class of a head. labels are those of the file, else those of the
// metadata; there may be none.
func classNames(labels []string, h head) ([]string, error) {
	if h.first == 1 && len(labels) > 0 {
		if first := strings.Trim(strings.ToLower(labels[0]), "_"); first != "background" {
			labels = append([]string{"background"}, labels...)
		}
	}
	switch {
	case len(labels) > 0:
		if n := h.classes; n > 0 && len(labels) != n {
			return nil, fmt.Errorf("it has %d classes where the labels name %d", n, len(labels))
		}
		return labels, nil
	case h.classes == len(cocoNames), h.classes == 0 && h.first == 0:
		return cocoNames[:], nil
	case h.classes == 0:
		return nil, fmt.Errorf("it does not say how many classes it has: a labels file must name them")
	}
	return nil, fmt.Errorf("it has %d classes and no labels file that names them", h.classes)
}
