package health

import "slices"

// window is of how many samples the middle is judged: rain, insects and headlights are elsewhere in each.
const window = 5

// recent holds the last samples that show a frame.
type recent struct{ samples []*Sample }

// middle adds a sample and returns one that has the middle value of each pixel and of each cell's detail. It begins
// anew with a sample of another size.
func (r *recent) middle(s *Sample) *Sample {
	if len(r.samples) > 0 && (r.samples[0].Width != s.Width || r.samples[0].Height != s.Height) {
		r.samples = nil
	}
	if len(r.samples) == window {
		r.samples = slices.Delete(r.samples, 0, 1)
	}
	r.samples = append(r.samples, s)
	n := len(r.samples)
	out := &Sample{Width: s.Width, Height: s.Height, Gray: make([]byte, len(s.Gray)), Fine: make([]uint16, len(s.Fine))}
	var gray [window]byte
	for i := range out.Gray {
		for k, other := range r.samples {
			gray[k] = other.Gray[i]
		}
		out.Gray[i] = median(gray[:n])
	}
	var fine [window]uint16
	for i := range out.Fine {
		for k, other := range r.samples {
			fine[k] = other.Fine[i]
		}
		out.Fine[i] = median(fine[:n])
	}
	return out
}

// median sorts a few values and returns the middle one, of an even number the lower one.
func median[T byte | uint16](all []T) T {
	for i := 1; i < len(all); i++ {
		for j := i; j > 0 && all[j] < all[j-1]; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all[(len(all)-1)/2]
}
