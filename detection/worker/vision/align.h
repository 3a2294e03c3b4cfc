// The movement of a camera on its mast. Nothing here throws.
#ifndef GRIDPOST_VISION_ALIGN_H
#define GRIDPOST_VISION_ALIGN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { GP_MOST_SHIFT = 12 }; // pixels

// Finds by how many pixels gray is shifted against back, planes of w x h pixels, and shifts it back in place. What
// lay outside of the frame is taken from back. Returns 0 and the shift, or -1 if memory is exhausted.
int gp_align(uint8_t *gray, const uint8_t *back, int w, int h, int *dx, int *dy);

#ifdef __cplusplus
}
#endif
#endif
