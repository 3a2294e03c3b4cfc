// What gocv has no call for. Nothing here throws.
#ifndef GRIDPOST_VISION_OPENCV_H
#define GRIDPOST_VISION_OPENCV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void gp_one_thread(void);

typedef struct gp_background gp_background;

// threshold is the squared distance, in variances of a pixel, at which it no longer fits.
gp_background *gp_background_new(int w, int h, int history, double threshold);
void gp_background_free(gp_background *b);

// Writes 255 into mask where gray, of w*h pixels, does not fit what was seen before, else 0,
// and learns gray at rate (0: not at all, 1: forget the past). Returns 0, or -1 on failure.
int gp_background_apply(gp_background *b, const uint8_t *gray, uint8_t *mask, double rate);

// Clears what in mask is only shade. doubt is the part of its brightness by which a pixel may be
// wrong because the light is not the usual one, 0..1.
void gp_background_unshade(gp_background *b, const uint8_t *gray, uint8_t *mask, double doubt);

// Moves the mean of every pixel towards gray, by the given part of the way; where mask is set
// an eighth of that.
void gp_background_mean(gp_background *b, const uint8_t *gray, const uint8_t *mask, double rate);

#ifdef __cplusplus
}
#endif
#endif
