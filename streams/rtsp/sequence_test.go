package rtsp

import (
	"slices"
	"testing"
)

func TestSequenceNumbers(t *testing.T) {
	type step struct {
		n    uint16
		want arrival
		lost uint64
	}
	for name, steps := range map[string][]step{
		"in order":          {{7, inOrder, 0}, {8, inOrder, 0}, {9, inOrder, 0}},
		"wraps":             {{65535, inOrder, 0}, {0, inOrder, 0}, {1, inOrder, 0}},
		"loss":              {{7, inOrder, 0}, {11, afterLoss, 3}, {12, inOrder, 0}},
		"loss at the wrap":  {{65534, inOrder, 0}, {1, afterLoss, 2}},
		"a duplicate":       {{7, inOrder, 0}, {7, outdated, 0}, {8, inOrder, 0}, {8, outdated, 0}, {9, inOrder, 0}},
		"a late packet":     {{7, inOrder, 0}, {9, afterLoss, 1}, {8, outdated, 0}, {10, inOrder, 0}},
		"all sent twice":    {{7, inOrder, 0}, {8, inOrder, 0}, {7, outdated, 0}, {8, outdated, 0}, {9, inOrder, 0}},
		"starts again":      {{40000, inOrder, 0}, {1, restarted, 0}, {2, inOrder, 0}},
		"jumps ahead":       {{1, inOrder, 0}, {20000, restarted, 0}, {20001, inOrder, 0}},
		"starts a bit back": {{100, inOrder, 0}, {50, outdated, 0}, {51, restarted, 0}, {52, inOrder, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var s sequence
			for i, c := range steps {
				if got, lost := s.push(c.n); got != c.want || lost != c.lost {
					t.Errorf("step %d, packet %d: %v with %d lost, want %v with %d", i, c.n, got, lost, c.want, c.lost)
				}
			}
		})
	}
}

// TestSourceThatDoesNotCount: after a while its packets are taken as they come.
func TestSourceThatDoesNotCount(t *testing.T) {
	var s sequence
	used := 0
	for range 1000 {
		if a, _ := s.push(0); a == inOrder {
			used++
		}
	}
	if used < 1000-2*maxMisorder {
		t.Errorf("%d of 1000 packets are used", used)
	}
}

// FuzzSequence: whatever comes, consecutive numbers are in order again after two packets, and the sum of losses is
// bounded.
func FuzzSequence(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 9}, uint16(100))
	f.Fuzz(func(t *testing.T, numbers []byte, from uint16) {
		var s sequence
		for pair := range slices.Chunk(numbers, 2) {
			if len(pair) < 2 {
				continue
			}
			if a, lost := s.push(uint16(pair[0])<<8 | uint16(pair[1])); lost >= maxDropout || a != afterLoss && lost != 0 {
				t.Fatalf("%v with %d lost", a, lost)
			}
		}
		s.push(from)
		s.push(from + 1)
		for n := from + 2; n != from+10; n++ {
			if a, _ := s.push(n); a != inOrder {
				t.Fatalf("packet %d: %v", n, a)
			}
		}
	})
}
