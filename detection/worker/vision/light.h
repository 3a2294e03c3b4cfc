// How the light of a frame differs from that of the background. Nothing here throws.
#ifndef GRIDPOST_VISION_LIGHT_H
#define GRIDPOST_VISION_LIGHT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	GP_CELL = 16,      // pixels of a cell's side
	GP_CELLS = 64 * 64 // most cells of a frame; what lies beyond has the light of the cell beside it
};

typedef struct {
	float gain;    // of the whole frame: the median of its cells; 1: as bright as the background
	int cells;     // of the frame
	int textured;  // cells of the background with a texture
	int changed;   // of these, those that have another texture now
} gp_light_sum;

// Scales gray, of w x h pixels, to the light of the background, cell by cell, into out. noise is the mean deviation
// of the background's pixels in levels.
gp_light_sum gp_light(const uint8_t *gray, const uint8_t *back, uint8_t *out, int w, int h, float noise);

#ifdef __cplusplus
}
#endif
#endif
