#include "background.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>
#include <vector>

// The background of one pixel is its mean brightness with its mean deviation. Beside it the model has
// another brightness, that of what covers the pixel at the moment, and an earlier one, that of the
// background before the present one: what was taken away and is put back is not an object.
struct gp_background {
	int w, h;
	float noise;
	std::vector<float> mean, deviation; // levels
	std::vector<float> other;           // level of what covers the pixel
	std::vector<float> stay;            // seconds for which it has been there
	std::vector<float> earlier;         // level
	std::vector<float> known;           // seconds for which earlier remains known; 0: it is not
	std::vector<float> restless;        // how often the pixel was covered and free again, lately
	std::vector<float> away;            // seconds since it was covered last; negative: it is free
	std::vector<uint8_t> plane;         // mean, rounded
};

static const float firstDeviation = 2;     // levels
static const float knownSeconds = 600;     // for which an earlier background is known
static const float returnSeconds = 0.6f;   // between two returns of a pixel that count
static const float restlessSeconds = 40;   // after which returns are forgotten
static const float restlessReturns = 3;    // from which on a pixel is restless
static const float restlessLevels = 15;    // by which each further return raises the limit
static const float mostRestlessLevels = 70;

gp_background *gp_background_new(int w, int h) {
	try {
		gp_background *b = new gp_background;
		const size_t n = size_t(w) * h;
		b->w = w;
		b->h = h;
		b->noise = 1;
		for (std::vector<float> *v : {&b->mean, &b->deviation, &b->other, &b->stay, &b->earlier, &b->known, &b->restless, &b->away}) {
			v->assign(n, 0);
		}
		b->plane.assign(n, 0);
		return b;
	} catch (...) {
		return nullptr;
	}
}

void gp_background_free(gp_background *b) { delete b; }

void gp_background_reset(gp_background *b, const uint8_t *gray) {
	const size_t n = b->mean.size();
	for (size_t i = 0; i < n; i++) {
		b->mean[i] = b->other[i] = b->earlier[i] = gray[i];
		b->deviation[i] = firstDeviation;
		b->stay[i] = b->known[i] = b->restless[i] = 0;
		b->away[i] = -1;
		b->plane[i] = gray[i];
	}
}

const uint8_t *gp_background_plane(const gp_background *b) { return b->plane.data(); }

float gp_background_noise(const gp_background *b) { return b->noise; }

// limit is how far a pixel may be from the background.
static inline float limit(float deviation, float restless) {
	const float more = std::min(std::max(restless - restlessReturns, 0.0f) * restlessLevels, mostRestlessLevels);
	return 5 + 4 * deviation + more;
}

void gp_background_compare(gp_background *b, const uint8_t *gray, uint8_t *mask) {
	const size_t n = b->mean.size();
	const float *mean = b->mean.data(), *deviation = b->deviation.data(), *restless = b->restless.data();
	const float *earlier = b->earlier.data(), *known = b->known.data();
	for (size_t i = 0; i < n; i++) {
		const float v = gray[i], l = limit(deviation[i], restless[i]);
		const bool differs = std::fabs(v - mean[i]) > l;
		const bool differed = (known[i] <= 0) | (std::fabs(v - earlier[i]) > l);
		mask[i] = (differs & differed) ? 255 : 0;
	}
}

// near reports that the brightness v at (x, y) lies within the range of a background there and two and
// three pixels around: on a swaying mast every edge in the frame moves.
template <typename T> static bool near(const gp_background *b, const T *plane, int x, int y, int v) {
	int low = int(plane[size_t(y) * b->w + x]), high = low;
	for (int r = 2; r <= 3; r++) {
		for (int dy = -r; dy <= r; dy += r) {
			for (int dx = -r; dx <= r; dx += r) {
				const int nx = std::min(std::max(x + dx, 0), b->w - 1);
				const int ny = std::min(std::max(y + dy, 0), b->h - 1);
				const int m = int(plane[size_t(ny) * b->w + nx]);
				low = std::min(low, m);
				high = std::max(high, m);
			}
		}
	}
	return v >= low - 6 && v <= high + 6;
}

// edges reports whether the frame has an edge at (x, y), or beside it, that the background does not have when it is
// scaled by v/m.
static bool edges(const uint8_t *gray, const uint8_t *plane, int w, int h, int x, int y, int v, int m, int edge) {
	for (int ny = std::max(y - 1, 1); ny <= std::min(y + 1, h - 2); ny++) {
		for (int nx = std::max(x - 1, 1); nx <= std::min(x + 1, w - 2); nx++) {
			const size_t i = size_t(ny) * w + nx;
			const int dx = gray[i + 1] - gray[i - 1] - (plane[i + 1] - plane[i - 1]) * v / m;
			const int dy = gray[i + w] - gray[i - w] - (plane[i + w] - plane[i - w]) * v / m;
			if (std::abs(dx) + std::abs(dy) >= edge) {
				return true;
			}
		}
	}
	return false;
}

// Light changes the ground by a factor that changes slowly from pixel to pixel: the ground keeps its
// edges and gets no new ones. An object has edges of its own.
void gp_background_explain(const gp_background *b, const uint8_t *gray, uint8_t *mask, int edge) {
	const uint8_t *plane = b->plane.data();
	for (int y = 0; y < b->h; y++) {
		for (int x = 0; x < b->w; x++) {
			const size_t i = size_t(y) * b->w + x;
			if (!mask[i]) {
				continue;
			}
			const int v = gray[i], m = std::max(1, int(plane[i]));
			const bool factor = 2 * v >= m && v <= 2 * m;
			if (near(b, plane, x, y, v) || (b->known[i] > 0 && near(b, b->earlier.data(), x, y, v)) ||
				(factor && !edges(gray, plane, b->w, b->h, x, y, v, m, edge))) {
				mask[i] = 0;
			}
		}
	}
}

void gp_background_learn(gp_background *b, const uint8_t *gray, const uint8_t *lit, const uint8_t *held, gp_learning l) {
	const size_t n = b->mean.size();
	const float forget = 1 - std::min(l.step / restlessSeconds, 1.0f);
	const float slow = std::min(l.pace, 0.1f);
	double noise = 0;
	for (size_t i = 0; i < n; i++) {
		const float v = gray[i], d = v - b->mean[i], far = std::fabs(d);
		float away = b->away[i], restless = b->restless[i] * forget;
		b->known[i] = std::max(b->known[i] - l.step, 0.0f);
		if (far <= limit(b->deviation[i], restless)) {
			b->mean[i] += d * l.pace;
			b->deviation[i] += (std::min(far, 20.0f) - b->deviation[i]) * slow;
			if (away >= 0) { // covered a moment ago
				away += l.step;
				if (away > returnSeconds) {
					restless += 1;
					away = -1;
				}
			}
			b->stay[i] = std::max(b->stay[i] - l.step, 0.0f);
		} else {
			away = held[i] == GP_TRAVELLING ? -1 : 0;
			if (std::fabs(v - b->other[i]) > 12) {
				b->other[i] = v;
				b->stay[i] = 0;
			} else {
				b->other[i] += (v - b->other[i]) * 0.1f;
				b->stay[i] = held[i] ? 0 : b->stay[i] + l.step;
			}
			if (!held[i]) {
				b->deviation[i] += (std::min(far, 20.0f) - b->deviation[i]) * slow / 4;
			}
			if (b->stay[i] > l.absorb) {
				b->earlier[i] = b->mean[i];
				b->known[i] = knownSeconds;
				b->mean[i] = b->other[i];
				b->deviation[i] = firstDeviation;
				b->stay[i] = 0;
				away = -1;
			}
		}
		b->away[i] = away;
		b->restless[i] = std::min(restless, 20.0f);
		if (lit[i] != gray[i]) {
			const float gain = std::min(std::max(float(lit[i]) / std::max(v, 1.0f), 0.2f), 5.0f);
			b->mean[i] = std::min(b->mean[i] * (1 + (gain - 1) * l.drift), 255.0f);
		}
		b->plane[i] = uint8_t(b->mean[i] + 0.5f);
		noise += b->deviation[i];
	}
	b->noise = float(noise / double(std::max(n, size_t(1))));
}

void gp_background_absorb(gp_background *b, const uint8_t *gray, const uint8_t *mask, int x0, int y0, int x1, int y1) {
	for (int y = std::max(y0, 0); y < std::min(y1, b->h); y++) {
		for (int x = std::max(x0, 0); x < std::min(x1, b->w); x++) {
			const size_t i = size_t(y) * b->w + x;
			if (!mask[i]) {
				continue;
			}
			b->earlier[i] = b->mean[i];
			b->known[i] = knownSeconds;
			b->mean[i] = b->other[i] = gray[i];
			b->deviation[i] = firstDeviation;
			b->stay[i] = 0;
			b->away[i] = -1;
			b->plane[i] = gray[i];
		}
	}
}
