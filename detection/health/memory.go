package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// memory is what a Monitor has learned, as it is stored: some 10 kB for each reference.
type memory struct {
	Width      int              `json:"width"` // pixels of the thumbnails
	Height     int              `json:"height"`
	References []memorisedLight `json:"references"`
	Other      []memorisedLight `json:"other,omitempty"` // of the view that the camera shows since it was moved
	Held       time.Duration    `json:"held,omitempty"`  // for which it has shown that
}

// memorisedLight is a reference. Its numbers are stored in steps, one byte each.
type memorisedLight struct {
	X, Y, Contrast, Detail, Seen []byte
	N, DX, DY                    int
}

const (
	vectorSteps = 127
	cellSteps   = 8
)

// Memory returns what the Monitor has learned, for Restore; nil before it has learned a view.
func (m *Monitor) Memory() []byte {
	if !m.home.complete() {
		return nil
	}
	out := memory{Width: m.w, Height: m.h, References: memorise(m.home), Held: m.held}
	if m.other != nil && m.other.complete() {
		out.Other = memorise(*m.other)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil // numbers and bytes are always encoded
	}
	return data
}

// Revision grows when something has been learned that should be saved soon.
func (m *Monitor) Revision() int { return m.revision }

// Restore takes over what another Monitor has learned. After an error nothing has changed.
func (m *Monitor) Restore(data []byte) error {
	var in memory
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("restoring a camera's view: %w", err)
	}
	size := Sample{Width: in.Width, Height: in.Height}
	size.Gray, size.Fine = make([]byte, min(max(in.Width*in.Height, 0), maxSide*maxSide)), make([]uint16, min(max(size.cells(), 0), maxCells))
	if err := size.Check(); err != nil || !size.Decoded() {
		return errors.New("restoring a camera's view: invalid size")
	}
	home, err := recall(in.References, &size)
	if err != nil || !home.complete() {
		return errors.New("restoring a camera's view: invalid reference")
	}
	other, err := recall(in.Other, &size)
	if err != nil {
		return err
	}
	m.w, m.h, m.home, m.held = in.Width, in.Height, home, max(in.Held, 0)
	if m.other = nil; other.complete() {
		m.other = &other
	}
	return nil
}

func memorise(v view) []memorisedLight {
	out := make([]memorisedLight, len(v.references))
	for i, r := range v.references {
		out[i] = memorisedLight{
			X: pack(r.x, vectorSteps), Y: pack(r.y, vectorSteps), Contrast: pack(r.contrast, cellSteps),
			Detail: pack(r.detail, cellSteps), Seen: pack(r.seen, 1), N: r.n, DX: r.dx, DY: r.dy,
		}
	}
	return out
}

func recall(all []memorisedLight, size *Sample) (view, error) {
	var v view
	if len(all) > maxViews {
		return v, errors.New("restoring a camera's view: too many references")
	}
	pixels, cells := len(size.Gray), len(size.Fine)
	for _, l := range all {
		if len(l.X) != pixels || len(l.Y) != pixels || len(l.Contrast) != cells || len(l.Detail) != cells || len(l.Seen) != cells || l.N < 0 {
			return v, errors.New("restoring a camera's view: a reference of another size")
		}
		v.references = append(v.references, &reference{
			x: unpack(l.X, vectorSteps), y: unpack(l.Y, vectorSteps), contrast: unpack(l.Contrast, cellSteps),
			detail: unpack(l.Detail, cellSteps), seen: unpack(l.Seen, 1), n: l.N, dx: l.DX, dy: l.DY,
		})
	}
	return v, nil
}

// pack stores numbers in steps, as signed bytes. What is too large for them is stored as the largest.
func pack(all []float32, steps float64) []byte {
	out := make([]byte, len(all))
	for i, v := range all {
		out[i] = byte(int8(min(max(math.Round(float64(v)*steps), math.MinInt8), math.MaxInt8)))
	}
	return out
}

func unpack(all []byte, steps float32) []float32 {
	out := make([]float32, len(all))
	for i, v := range all {
		out[i] = float32(int8(v)) / steps
	}
	return out
}
