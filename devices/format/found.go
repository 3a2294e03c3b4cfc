package format

import (
	"errors"
	"maps"
	"slices"
)

// maxFound bounds the devices that one discoverer remembers.
const maxFound = 1000

var errFull = errors.New("more devices announce themselves than can be remembered")

// found are devices that have announced themselves, for discoverers that join several messages of a
// device.
type found struct{ byID map[string]*foundDevice }

// foundDevice is a device as it is known so far.
type foundDevice struct {
	Discovered
	topic  string
	values map[string]any
	parts  map[string][]Suggestion // by the message that announced them
}

func newFound() *found { return &found{byID: map[string]*foundDevice{}} }

// get returns a device, new or known, or nil when there are too many.
func (f *found) get(id string) *foundDevice {
	d := f.byID[id]
	if d == nil && len(f.byID) < maxFound {
		d = &foundDevice{parts: map[string][]Suggestion{}}
		f.byID[id] = d
	}
	return d
}

// remove forgets a device and returns that it is withdrawn.
func (f *found) remove(format, id string) []Discovered {
	if f.byID[id] == nil {
		return nil
	}
	delete(f.byID, id)
	return []Discovered{{Format: format, ID: id, Removed: true}}
}

func sortedParts(parts map[string][]Suggestion) []string { return slices.Sorted(maps.Keys(parts)) }
