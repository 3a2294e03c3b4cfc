package track

import "math"

// forbidden stands for an infinite cost within the algorithm, whose sums must remain finite.
const forbidden = 1e6

// cheapest returns for each row the column that it gets, or -1, such that as many pairs of finite
// cost as possible are made at the least total. It is the Hungarian method with
// potentials (Kuhn 1955, Munkres 1957), cubic in the number of rows and columns.
func cheapest(cost [][]float64) []int {
	rows := len(cost)
	if rows == 0 {
		return nil
	}
	n := max(rows, len(cost[0]))
	at := func(r, c int) float64 { // 1-based, padded to a square
		if r > rows || c > len(cost[0]) || math.IsNaN(cost[r-1][c-1]) {
			return forbidden
		}
		return min(cost[r-1][c-1], forbidden)
	}
	rowOf := make([]int, n+1) // per column
	u, v := make([]float64, n+1), make([]float64, n+1)
	way := make([]int, n+1)
	least := make([]float64, n+1)
	used := make([]bool, n+1)
	for r := 1; r <= n; r++ {
		rowOf[0] = r
		for c := range n + 1 {
			least[c], used[c] = math.Inf(1), false
		}
		c0 := 0
		for rowOf[c0] != 0 {
			used[c0] = true
			r0, c1, delta := rowOf[c0], 0, math.Inf(1)
			for c := 1; c <= n; c++ {
				if used[c] {
					continue
				}
				if reduced := at(r0, c) - u[r0] - v[c]; reduced < least[c] {
					least[c], way[c] = reduced, c0
				}
				if least[c] < delta {
					delta, c1 = least[c], c
				}
			}
			for c := range n + 1 {
				if used[c] {
					u[rowOf[c]] += delta
					v[c] -= delta
				} else {
					least[c] -= delta
				}
			}
			c0 = c1
		}
		for c0 != 0 {
			rowOf[c0] = rowOf[way[c0]]
			c0 = way[c0]
		}
	}
	match := make([]int, rows)
	for i := range match {
		match[i] = -1
	}
	for c := 1; c <= n; c++ {
		if r := rowOf[c]; r >= 1 && r <= rows && at(r, c) < forbidden {
			match[r-1] = c - 1
		}
	}
	return match
}
