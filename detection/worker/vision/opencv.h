// Functions of OpenCV that gocv does not have. Nothing here throws.
#ifndef GRIDPOST_VISION_OPENCV_H
#define GRIDPOST_VISION_OPENCV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { GP_NO_MEMORY = -2 };

void gp_one_thread(void);

typedef struct gp_background gp_background;

// threshold is the squared distance, in variances of a pixel, above which it is foreground.
gp_background *gp_background_new(int w, int h, int history, double threshold);
void gp_background_free(gp_background *b);

// Sets mask to 255 where gray, of w*h pixels, is foreground, else to 0, and learns gray at rate
// (0: not at all, 1: replace the background). Returns 0, GP_NO_MEMORY, or -1
// on another failure.
int gp_background_apply(gp_background *b, const uint8_t *gray, uint8_t *mask, double rate);

// Clears the pixels of mask that are only shadows. uncertainty is the fraction of its brightness by
// which a pixel may be wrong because the exposure is not the reference one, 0..1.
void gp_background_remove_shadows(gp_background *b, const uint8_t *gray, uint8_t *mask, double uncertainty);

// Moves the mean of every pixel towards gray, by the fraction rate; where mask is set by
// an eighth of that.
void gp_background_update_mean(gp_background *b, const uint8_t *gray, const uint8_t *mask, double rate);

#ifdef __cplusplus
}
#endif
#endif
