#ifndef GRIDPOST_VISION_THREADS_H
#define GRIDPOST_VISION_THREADS_H
#ifdef __cplusplus
extern "C" {
#endif
void gp_one_thread(void);
#ifdef __cplusplus
}
#endif
#endif
