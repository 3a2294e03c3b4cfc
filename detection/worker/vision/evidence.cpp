#include "evidence.h"

#include <algorithm>
#include <cstdlib>

struct gradient {
	int x, y;
	int size() const { return std::abs(x) + std::abs(y); }
};

static inline gradient at(const uint8_t *p, int w, int x, int y) {
	const uint8_t *q = p + size_t(y) * w + x;
	return gradient{q[1] - q[-1], q[w] - q[-w]};
}

// alike reports whether two edges have about one direction. Their strengths may differ: a camera's tone curve, and
// infrared light, change them.
static inline bool alike(gradient a, gradient b) {
	const int dot = a.x * b.x + a.y * b.y;
	const int64_t aa = a.x * a.x + a.y * a.y, bb = b.x * b.x + b.y * b.y;
	return dot > 0 && int64_t(dot) * dot * 10 > aa * bb * 7 && 9 * aa > bb && 9 * bb > aa;
}

// has reports whether p has an edge like g at (x, y) or two pixels around, as cameras sway.
static bool has(const uint8_t *p, int w, int h, int x, int y, gradient g) {
	for (int dy = -2; dy <= 2; dy += 2) {
		for (int dx = -2; dx <= 2; dx += 2) {
			const int nx = x + dx, ny = y + dy;
			if (nx >= 1 && ny >= 1 && nx < w - 1 && ny < h - 1 && alike(g, at(p, w, nx, ny))) {
				return true;
			}
		}
	}
	return false;
}

// outline reports whether the mask ends at (x, y).
static inline bool outline(const uint8_t *mask, int w, int x, int y) {
	const uint8_t *m = mask + size_t(y) * w + x;
	return m[0] && !(m[1] && m[-1] && m[w] && m[-w]);
}

gp_evidence gp_evidence_of(const uint8_t *gray, const uint8_t *back, const uint8_t *mask, int w, int h,
	int x0, int y0, int x1, int y1, int edge) {
	gp_evidence e{};
	int64_t gradients = 0, differences = 0;
	int differing = 0;
	const int margin = 2;
	x0 = std::max(x0 - margin, 1);
	y0 = std::max(y0 - margin, 1);
	x1 = std::min(x1 + margin, w - 1);
	y1 = std::min(y1 + margin, h - 1);
	for (int y = y0; y < y1; y++) {
		for (int x = x0; x < x1; x++) {
			const gradient f = at(gray, w, x, y), b = at(back, w, x, y);
			const int fs = f.size(), bs = b.size();
			if (fs >= edge && !has(back, w, h, x, y, f)) {
				e.own++;
			}
			if (bs >= edge) {
				if (has(gray, w, h, x, y, b)) {
					e.kept++;
				} else {
					e.lost++;
				}
			}
			const size_t i = size_t(y) * w + x;
			if (mask[i]) {
				differences += std::abs(gray[i] - back[i]);
				differing++;
			}
			if (!outline(mask, w, x, y)) {
				continue;
			}
			// The outline lies some pixels around the edge.
			int own = 0, lost = 0;
			const int reach = 3;
			for (int ny = std::max(y - reach, 1); ny <= std::min(y + reach, h - 2); ny++) {
				for (int nx = std::max(x - reach, 1); nx <= std::min(x + reach, w - 2); nx++) {
					own = std::max(own, at(gray, w, nx, ny).size());
					lost = std::max(lost, at(back, w, nx, ny).size());
				}
			}
			e.outline++;
			gradients += own;
			if (own >= edge && 4 * own > 5 * lost) {
				e.outlineOwn++;
			} else if (lost >= edge && 4 * lost > 5 * own) {
				e.outlineLost++;
			}
		}
	}
	e.sharpness = int(gradients / std::max(e.outline, 1));
	e.contrast = int(differences / std::max(differing, 1));
	return e;
}
