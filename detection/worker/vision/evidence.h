// Edges as evidence: what an object has of its own, and light has not. Nothing here throws.
#ifndef GRIDPOST_VISION_EVIDENCE_H
#define GRIDPOST_VISION_EVIDENCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
	int own;   // pixels with an edge that the background does not have
	int kept;  // pixels of the background's edges that the frame has, too
	int lost;  // pixels of the background's edges that the frame does not have
	int outline;     // pixels of the mask's outline
	int outlineOwn;  // of these, those at an edge of the frame alone
	int outlineLost; // of these, those at an edge of the background alone

	int sharpness; // mean gradient of the frame along the outline, levels over two pixels
	int contrast;  // mean difference from the background within the mask, levels
} gp_evidence;

// Counts the edges in the rectangle of gray and back, planes of w x h pixels. mask is what differs. edge is the
// gradient, in levels over two pixels, from which on an edge is seen.
gp_evidence gp_evidence_of(const uint8_t *gray, const uint8_t *back, const uint8_t *mask, int w, int h,
	int x0, int y0, int x1, int y1, int edge);

#ifdef __cplusplus
}
#endif
#endif
