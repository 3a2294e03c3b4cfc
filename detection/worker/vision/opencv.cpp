#include "opencv.h"

#include <opencv2/core/utility.hpp>

void gp_one_thread(void) { cv::setNumThreads(1); }
