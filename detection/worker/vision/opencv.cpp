#include "opencv.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <vector>

#include <opencv2/core/utility.hpp>
#include <opencv2/video/background_segm.hpp>

struct gp_background {
	int w, h;
	cv::Ptr<cv::BackgroundSubtractorMOG2> mog;
	std::vector<uint16_t> mean; // of each pixel's brightness, in 1/128
};

static const int unit = 128;

void gp_one_thread(void) { cv::setNumThreads(1); }

gp_background *gp_background_new(int w, int h, int history, double threshold) {
	try {
		gp_background *b = new gp_background;
		b->w = w;
		b->h = h;
		b->mog = cv::createBackgroundSubtractorMOG2(history, threshold, false);
		b->mean.assign(size_t(w) * h, 0);
		return b;
	} catch (...) {
		return nullptr;
	}
}

void gp_background_free(gp_background *b) { delete b; }

int gp_background_apply(gp_background *b, const uint8_t *gray, uint8_t *mask, double rate) {
	try {
		const cv::Mat in(b->h, b->w, CV_8UC1, const_cast<uint8_t *>(gray));
		cv::Mat out(b->h, b->w, CV_8UC1, mask);
		b->mog->apply(in, out, rate);
		return out.data == mask ? 0 : -1; // OpenCV did not reallocate it
	} catch (const std::bad_alloc &) {
		return GP_NO_MEMORY;
	} catch (const cv::Exception &e) {
		return e.code == cv::Error::StsNoMem ? GP_NO_MEMORY : -1;
	} catch (...) {
		return -1;
	}
}

// near reports that the brightness v at (x, y) lies within the range of the mean there and two and
// three pixels around: on a swaying mast every edge in the frame moves.
static bool near(const gp_background *b, int x, int y, int v, int slack) {
	int low = b->mean[size_t(y) * b->w + x], high = low;
	for (int r = 2; r <= 3; r++) {
		for (int dy = -r; dy <= r; dy += r) {
			for (int dx = -r; dx <= r; dx += r) {
				const int nx = std::min(std::max(x + dx, 0), b->w - 1);
				const int ny = std::min(std::max(y + dy, 0), b->h - 1);
				const int m = b->mean[size_t(ny) * b->w + nx];
				low = std::min(low, m);
				high = std::max(high, m);
			}
		}
	}
	low /= unit;
	high /= unit;
	return v >= low - 8 - low * slack / 256 && v <= high + 8 + high * slack / 256;
}

// A shadow darkens the ground by a factor that changes slowly from pixel to pixel: the ground keeps its
// edges and gets no new ones. An object is brighter than the ground, or much darker, or has edges.
void gp_background_remove_shadows(gp_background *b, const uint8_t *gray, uint8_t *mask, double uncertainty) {
	const int w = b->w, h = b->h;
	const int slack = int(uncertainty * 256);
	for (int y = 0; y < h; y++) {
		const int up = y > 0 ? -w : 0, down = y < h - 1 ? w : 0;
		for (int x = 0; x < w; x++) {
			const size_t i = size_t(y) * w + x;
			if (!mask[i]) {
				continue;
			}
			const int v = gray[i], m = std::max(1, int(b->mean[i]) / unit);
			if (near(b, x, y, v, slack)) {
				mask[i] = 0;
				continue;
			}
			if (v > m || 2 * v < m) {
				continue;
			}
			const int left = x > 0 ? -1 : 0, right = x < w - 1 ? 1 : 0;
			// The gradient of the frame minus that of the mean, darkened as the pixel is.
			const int mx = (int(b->mean[i + right]) - int(b->mean[i + left])) / unit * v / m;
			const int my = (int(b->mean[i + down]) - int(b->mean[i + up])) / unit * v / m;
			const int dx = gray[i + right] - gray[i + left] - mx;
			const int dy = gray[i + down] - gray[i + up] - my;
			if (std::abs(dx) + std::abs(dy) < 9) {
				mask[i] = 0;
			}
		}
	}
}

void gp_background_update_mean(gp_background *b, const uint8_t *gray, const uint8_t *mask, double rate) {
	const size_t n = b->mean.size();
	const int fast = std::min(65536, int(rate * 65536)), slow = fast / 8;
	uint16_t *mean = b->mean.data();
	for (size_t i = 0; i < n; i++) {
		const int step = int(gray[i]) * unit - mean[i];
		mean[i] = uint16_t(mean[i] + (step * (mask[i] ? slow : fast) + 32768) / 65536);
	}
}
