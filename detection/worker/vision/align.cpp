#include "align.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

// profile sums the columns and the rows of a plane.
static void profile(const uint8_t *p, int w, int h, std::vector<int> &cols, std::vector<int> &rows) {
	cols.assign(w, 0);
	rows.assign(h, 0);
	int *c = cols.data();
	for (int y = 0; y < h; y++) {
		const uint8_t *line = p + size_t(y) * w;
		int sum = 0;
		for (int x = 0; x < w; x++) {
			c[x] += line[x];
			sum += line[x];
		}
		rows[y] = sum;
	}
}

// offset returns how far a is shifted against b, by their differences from place to place, which light changes little;
// 0 unless another one fits clearly better.
static int offset(const std::vector<int> &a, const std::vector<int> &b) {
	const int n = int(a.size()), most = std::min(int(GP_MOST_SHIFT), n / 8);
	double best = std::numeric_limits<double>::max(), still = best;
	int at = 0;
	for (int s = -most; s <= most; s++) {
		double sum = 0;
		for (int i = most; i < n - most - 1; i++) {
			sum += std::abs((a[i + s + 1] - a[i + s]) - (b[i + 1] - b[i]));
		}
		if (s == 0) {
			still = sum;
		}
		if (sum < best) {
			best = sum;
			at = s;
		}
	}
	return best < 0.7 * still ? at : 0;
}

// difference compares the planes at a sample of pixels.
static int64_t difference(const uint8_t *gray, const uint8_t *back, int w, int h, int dx, int dy) {
	int64_t sum = 0;
	for (int y = GP_MOST_SHIFT; y < h - GP_MOST_SHIFT; y += 4) {
		for (int x = GP_MOST_SHIFT; x < w - GP_MOST_SHIFT; x += 4) {
			sum += std::min(std::abs(int(gray[size_t(y + dy) * w + x + dx]) - back[size_t(y) * w + x]), 60);
		}
	}
	return sum;
}

int gp_align(uint8_t *gray, const uint8_t *back, int w, int h, int *dx, int *dy) {
	*dx = *dy = 0;
	try {
		static thread_local std::vector<int> cols, rows, backCols, backRows;
		static thread_local std::vector<uint8_t> moved;
		profile(gray, w, h, cols, rows);
		profile(back, w, h, backCols, backRows);
		const int x = offset(cols, backCols), y = offset(rows, backRows);
		if ((x == 0 && y == 0) || 10 * difference(gray, back, w, h, x, y) > 8 * difference(gray, back, w, h, 0, 0)) {
			return 0;
		}
		moved.assign(back, back + size_t(w) * h);
		const int from = std::max(0, -x), to = std::min(w, w - x);
		for (int row = std::max(0, -y); row < std::min(h, h - y); row++) {
			std::memcpy(&moved[size_t(row) * w + from], gray + size_t(row + y) * w + from + x, size_t(to - from));
		}
		std::memcpy(gray, moved.data(), moved.size());
		*dx = x;
		*dy = y;
		return 0;
	} catch (...) {
		return -1;
	}
}
