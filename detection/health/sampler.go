package health

import "time"

const (
	interval      = time.Second            // between samples
	intraInterval = 500 * time.Millisecond // from another one to one of a frame that is encoded by itself, which is preferred
	patience      = 500 * time.Millisecond // for which a frame that is analysed anyway is waited for

	// artefacts is by how many levels encoding alone changes pixels of a still scene between two frames.
	artefacts = 8
)

// Sampler makes samples of a stream's frames. It belongs to one goroutine. Its zero value can be used.
type Sampler struct {
	started bool
	last    time.Duration // PTS of the last sample
	intra   bool          // that sample is of a frame that is encoded by itself

	w, h     int
	previous [2][]byte // pixels of the last sample: of frames with references, of others
	column   []uint16  // of the thumbnail, for each column of the frame
}

// Reset begins the clock of another session. The camera's view is the same.
func (s *Sampler) Reset() { s.started = false }

// Due reports whether a frame of pts is to be sampled. analysed says that its gray pixels are needed
// anyway.
func (s *Sampler) Due(pts time.Duration, intra, analysed bool) bool {
	passed := pts - s.last
	switch {
	case !s.started || passed < 0: // the camera's clock was set back
		return true
	case intra && !s.intra:
		return passed >= intraInterval
	case analysed:
		return passed >= interval
	}
	return passed >= interval+patience
}

// Missing reports that no frame was there for as long as there should have been a sample, up to the access
// unit of pts, which then counts as one.
func (s *Sampler) Missing(pts time.Duration) bool {
	if !s.started || pts < s.last {
		s.started, s.last = true, pts
		return false
	}
	if pts-s.last < 2*interval {
		return false
	}
	s.last = pts
	return true
}

// Sample measures the gray frame of pts, of w x h pixels, which it does not change or retain.
func (s *Sampler) Sample(gray []byte, w, h int, pts time.Duration, intra bool) *Sample {
	s.started, s.last, s.intra = true, pts, intra
	tw, th := Size(w, h)
	if tw > w || th > h || len(gray) != w*h {
		return &Sample{} // too small to show anything
	}
	if s.w != w || s.h != h {
		s.w, s.h, s.previous = w, h, [2][]byte{}
		s.column = make([]uint16, w)
		for x := range s.column {
			s.column[x] = uint16(x * tw / w)
		}
	}
	out := &Sample{Width: tw, Height: th, Gray: make([]byte, tw*th), Intra: intra}
	before := &s.previous[0]
	tolerance := artefacts
	if intra {
		before, tolerance = &s.previous[1], 0
	}
	s.thumbnail(gray, out)
	s.details(gray, out)
	if *before != nil {
		s.changes(gray, *before, tolerance, out)
	}
	*before = append((*before)[:0], gray...)
	return out
}

// thumbnail fills in Gray.
func (s *Sampler) thumbnail(gray []byte, out *Sample) {
	sums, counts := make([]uint32, out.Width), make([]uint32, out.Width)
	for _, x := range s.column {
		counts[x]++
	}
	for ty := range out.Height {
		clear(sums)
		y0, y1 := ty*s.h/out.Height, (ty+1)*s.h/out.Height
		for y := y0; y < y1; y++ {
			row := gray[y*s.w:][:len(s.column)]
			for x, c := range s.column {
				sums[c] += uint32(row[x])
			}
		}
		line := out.Gray[ty*out.Width:][:out.Width]
		for x := range line {
			n := counts[x] * uint32(y1-y0)
			line[x] = byte((sums[x] + n/2) / max(n, 1))
		}
	}
}

// details fills in Fine.
func (s *Sampler) details(gray []byte, out *Sample) {
	columns := out.Width / cell
	sums, counts := make([]uint64, out.cells()), make([]uint64, out.cells())
	for y := 0; y+1 < s.h; y++ {
		row, below := gray[y*s.w:][:s.w], gray[(y+1)*s.w:][:s.w]
		first := y * out.Height / s.h / cell * columns
		for c := range columns {
			x0, x1 := s.span(c, columns)
			sum, last := 0, int(row[x0])
			for x := x0; x < min(x1, s.w-1); x++ {
				next := int(row[x+1])
				dx, dy := next-last, int(below[x])-last
				sum += dx*dx + dy*dy
				last = next
			}
			sums[first+c] += uint64(sum)
			counts[first+c] += uint64(x1 - x0)
		}
	}
	out.Fine = make([]uint16, len(sums))
	for i, sum := range sums {
		out.Fine[i] = uint16(min(16*sum/max(counts[i], 1), 1<<16-1))
	}
}

// changes fills in Changed.
func (s *Sampler) changes(gray, before []byte, tolerance int, out *Sample) {
	columns := out.Width / cell
	out.Changed = make([]byte, out.cells())
	for y := range s.h {
		row, old := gray[y*s.w:][:s.w], before[y*s.w:][:s.w]
		line := out.Changed[y*out.Height/s.h/cell*columns:][:columns]
		for c := range line {
			if line[c] == 255 {
				continue
			}
			x0, x1 := s.span(c, columns)
			n := int(line[c])
			for x := x0; x < x1; x++ {
				if d := int(row[x]) - int(old[x]); d > tolerance || -d > tolerance {
					n++
				}
			}
			line[c] = byte(min(n, 255))
		}
	}
}

// span returns the columns of the frame that belong to a column of cells.
func (s *Sampler) span(c, columns int) (from, to int) {
	return c * s.w / columns, (c + 1) * s.w / columns
}
