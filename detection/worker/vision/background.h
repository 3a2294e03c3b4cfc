// A model of each pixel's usual brightness. Nothing here throws. Planes are bytes, rows without padding.
#ifndef GRIDPOST_VISION_BACKGROUND_H
#define GRIDPOST_VISION_BACKGROUND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gp_background gp_background;

// Returns NULL if memory is exhausted.
gp_background *gp_background_new(int w, int h);
void gp_background_free(gp_background *b);

// Makes gray the background.
void gp_background_reset(gp_background *b, const uint8_t *gray);

// The background as a plane. It is valid until the next call of a function that learns.
const uint8_t *gp_background_plane(const gp_background *b);

// The mean deviation of all pixels from the background in levels of brightness: the camera's noise.
float gp_background_noise(const gp_background *b);

// Sets mask to 255 where gray differs from the background by more than its pixel usually does, else to 0.
void gp_background_compare(gp_background *b, const uint8_t *gray, uint8_t *mask);

// Clears the pixels of mask that only a change of light or a movement of the camera by up to three pixels explains.
// edge is the gradient, in levels over two pixels, from which on an edge is seen.
void gp_background_explain(const gp_background *b, const uint8_t *gray, uint8_t *mask, int edge);

typedef struct {
	float step;   // seconds since the last frame
	float pace;   // fraction by which the background moves towards a pixel that agrees with it, 0..1
	float drift;  // fraction by which the background moves towards the present light, 0..1
	float absorb; // seconds after which a pixel that differs, and is not held, is the background
} gp_learning;

// What marks the pixels of objects: they are not learned. What moves in one place, as a tree does that sways, makes
// its pixels restless, so that they must differ more; what travels does not.
enum { GP_IN_PLACE = 128, GP_TRAVELLING = 255 };

// Learns gray, which has been scaled to the light of the background; lit is the same frame in its own light. held
// marks the pixels of objects.
void gp_background_learn(gp_background *b, const uint8_t *gray, const uint8_t *lit, const uint8_t *held, gp_learning l);

// Makes gray the background where mask is set in the rectangle. What was there before is still known for some minutes
// in case that it comes back.
void gp_background_absorb(gp_background *b, const uint8_t *gray, const uint8_t *mask, int x0, int y0, int x1, int y1);

#ifdef __cplusplus
}
#endif
#endif
