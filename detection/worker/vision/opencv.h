// Functions of OpenCV that gocv does not have. Nothing here throws.
#ifndef GRIDPOST_VISION_OPENCV_H
#define GRIDPOST_VISION_OPENCV_H

#ifdef __cplusplus
extern "C" {
#endif

void gp_one_thread(void);

#ifdef __cplusplus
}
#endif
#endif
