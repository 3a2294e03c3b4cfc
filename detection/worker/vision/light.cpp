#include "light.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// A cell's gain is trusted if its texture is still that of the background: then only its light can have
// changed. Cells without a texture are trusted little, and those whose texture has changed, because an
// object covers them, not at all: they get the gain of their neighbours.
struct cell {
	float gain, weight;
};

static const float alike = 0.85f;       // least correlation of two textures that are the same
static const float unlike = 0.5f;       // correlation of two textures below which they are different
static const float flatWeight = 0.15f;  // of cells without a texture
static const float leastGain = 0.2f, mostGain = 5;
static const float darkest = 6;         // mean level below which a cell has no factor
static const float visible = 0.008f;    // least change of the gain that alters pixels

enum { sameTexture, otherTexture, flatTexture };

struct sums {
	float f, b, ff, bb, fb;
	int n;
};

static sums sum(const uint8_t *gray, const uint8_t *back, int w, int x0, int y0, int x1, int y1) {
	int f = 0, b = 0, n = 0;
	int64_t ff = 0, bb = 0, fb = 0;
	for (int y = y0; y < y1; y += 2) {
		const uint8_t *g = gray + size_t(y) * w, *m = back + size_t(y) * w;
		for (int x = x0; x < x1; x += 2) {
			const int fx = g[x + 1] - g[x - 1], fy = g[x + w] - g[x - w];
			const int bx = m[x + 1] - m[x - 1], by = m[x + w] - m[x - w];
			f += g[x];
			b += m[x];
			ff += fx * fx + fy * fy;
			bb += bx * bx + by * by;
			fb += fx * bx + fy * by;
			n++;
		}
	}
	return sums{float(f), float(b), float(ff), float(bb), float(fb), n};
}

static void smooth(cell *cells, cell *temp, int cols, int rows) {
	static const float k[3] = {1, 2, 1};
	for (int y = 0; y < rows; y++) {
		for (int x = 0; x < cols; x++) {
			float gain = 0, weight = 0, all = 0;
			for (int dy = -1; dy <= 1; dy++) {
				for (int dx = -1; dx <= 1; dx++) {
					const int nx = x + dx, ny = y + dy;
					if (nx < 0 || ny < 0 || nx >= cols || ny >= rows) {
						continue;
					}
					const cell &c = cells[ny * cols + nx];
					const float f = k[dx + 1] * k[dy + 1] * c.weight;
					gain += f * c.gain;
					weight += f;
					all += k[dx + 1] * k[dy + 1];
				}
			}
			temp[y * cols + x] = weight > 0 ? cell{gain / weight, weight / all} : cell{1, 0};
		}
	}
	std::memcpy(cells, temp, sizeof(cell) * size_t(cols) * rows);
}

// distrust takes the weight from flat cells of another gain than the frame's that touch, directly or through others of
// their kind, a cell whose texture has changed: they are the inner parts of objects.
static void distrust(cell *cells, const uint8_t *kinds, int *stack, int cols, int rows, float gain) {
	static const float apart = 0.1f; // least difference of gains that are not the same
	int n = 0;
	for (int i = 0; i < cols * rows; i++) {
		if (kinds[i] == otherTexture) {
			stack[n++] = i;
		}
	}
	while (n > 0) {
		const int i = stack[--n], cx = i % cols, cy = i / cols;
		for (int y = std::max(cy - 1, 0); y <= std::min(cy + 1, rows - 1); y++) {
			for (int x = std::max(cx - 1, 0); x <= std::min(cx + 1, cols - 1); x++) {
				cell &c = cells[y * cols + x];
				if (kinds[y * cols + x] == flatTexture && c.weight > 0 && std::fabs(c.gain / gain - 1) > apart) {
					c.weight = 0;
					stack[n++] = y * cols + x;
				}
			}
		}
	}
}

gp_light_sum gp_light(const uint8_t *gray, const uint8_t *back, uint8_t *out, int w, int h, float noise) {
	static thread_local cell cells[GP_CELLS], temp[GP_CELLS];
	static thread_local float order[GP_CELLS];
	static thread_local uint8_t kinds[GP_CELLS];
	static thread_local int stack[2 * GP_CELLS];
	const int cols = std::min(std::max(w / GP_CELL, 1), 64), rows = std::min(std::max(h / GP_CELL, 1), 64);
	const float flat = std::max(6.0f, 10 * noise * noise); // mean squared gradient without a texture
	int textured = 0, changed = 0, known = 0;
	for (int cy = 0; cy < rows; cy++) {
		for (int cx = 0; cx < cols; cx++) {
			const int x0 = std::max(cx * GP_CELL, 1), y0 = std::max(cy * GP_CELL, 1);
			const int x1 = std::min(cx == cols - 1 ? w : x0 + GP_CELL, w - 1), y1 = std::min(cy == rows - 1 ? h : y0 + GP_CELL, h - 1);
			cell &c = cells[cy * cols + cx];
			uint8_t &kind = kinds[cy * cols + cx];
			c = cell{1, 0};
			kind = otherTexture;
			const sums s = sum(gray, back, w, x0, y0, x1, y1);
			if (s.n == 0) {
				continue;
			}
			const bool fFlat = s.ff < flat * s.n, bFlat = s.bb < flat * s.n;
			const float correlation = s.fb / std::max(std::sqrt(s.ff * s.bb), 1.0f);
			const float steeper = std::sqrt(s.ff / std::max(s.bb, 1.0f)) * s.b / std::max(s.f, 1.0f);
			const bool same = correlation > alike && steeper < 2 && steeper > 0.5f; // as steep as the light makes it
			if (!bFlat) {
				textured++;
				changed += correlation < unlike;
			}
			if (s.b < darkest * s.n || s.f < darkest * s.n) {
				continue;
			}
			c.gain = std::min(std::max(s.f / s.b, leastGain), mostGain);
			if (!fFlat && !bFlat && same) {
				c.weight = 1;
				kind = sameTexture;
			} else if (fFlat && bFlat) {
				c.weight = flatWeight;
				kind = flatTexture;
			}
			if (c.weight > 0) {
				order[known++] = c.gain;
			}
		}
	}
	gp_light_sum result{1, cols * rows, textured, changed};
	if (known > 0) {
		std::nth_element(order, order + known / 2, order + known);
		result.gain = order[known / 2];
	}
	distrust(cells, kinds, stack, cols, rows, result.gain);
	smooth(cells, temp, cols, rows);
	smooth(cells, temp, cols, rows);
	bool any = false;
	for (int i = 0; i < cols * rows; i++) {
		const float prior = 0.01f; // weight of the whole frame's gain
		cells[i].gain = (cells[i].gain * cells[i].weight + result.gain * prior) / (cells[i].weight + prior);
		any |= std::fabs(cells[i].gain - 1) > visible;
	}
	if (!any) {
		std::memcpy(out, gray, size_t(w) * h);
		return result;
	}
	for (int y = 0; y < h; y++) {
		const float py = std::min(std::max((y - GP_CELL / 2) / float(GP_CELL), 0.0f), float(rows - 1));
		const int ya = int(py), yb = std::min(ya + 1, rows - 1);
		const float fy = py - ya;
		float line[64 + 1];
		for (int x = 0; x < cols; x++) {
			line[x] = 1 / (cells[ya * cols + x].gain * (1 - fy) + cells[yb * cols + x].gain * fy);
		}
		line[cols] = line[cols - 1];
		const uint8_t *g = gray + size_t(y) * w;
		uint8_t *o = out + size_t(y) * w;
		for (int x = 0; x < w; x++) {
			const int at = x - GP_CELL / 2;
			const int xa = at < 0 ? 0 : std::min(at / GP_CELL, cols - 1);
			const float fx = at < 0 ? 0 : (at % GP_CELL) / float(GP_CELL);
			o[x] = uint8_t(std::min(g[x] * (line[xa] + (line[xa + 1] - line[xa]) * fx) + 0.5f, 255.0f));
		}
	}
	return result;
}
