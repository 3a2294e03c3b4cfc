// The part of libavcodec, libavformat and libswscale that package decode uses, as functions with
// plain arguments. Errors are negative AVERROR codes; each allocation that fails is GP_NO_MEMORY.
#ifndef GRIDPOST_DECODE_H
#define GRIDPOST_DECODE_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/error.h>
#include <libavutil/imgutils.h>
#include <libavutil/log.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <errno.h>
#include <stdint.h>

enum {
	GP_AGAIN = 1,  // more input is needed first
	GP_END = 2,    // no more frames
	GP_NO_MEMORY = AVERROR(ENOMEM),
};

void gp_quiet(void);

// Decoding of access units.
AVCodecContext *gp_decoder_new(enum AVCodecID id);
int gp_decoder_send(AVCodecContext *c, AVPacket *p, const uint8_t *data, int size, int64_t tag);
int gp_decoder_receive(AVCodecContext *c, AVFrame *f);

// Nonzero if the decoder concealed missing parts of the frame.
int gp_damaged(const AVFrame *f);

// Nonzero if the frame was encoded without reference to others.
int gp_intra(const AVFrame *f);

// A video file.
// fd must stay open until gp_file_close.
int gp_file_open(int fd, AVFormatContext **format, AVCodecContext **codec, int *stream);
int gp_file_next(AVFormatContext *format, AVCodecContext *codec, int stream, AVPacket *p, AVFrame *f, int *draining);
int64_t gp_file_time(const AVFormatContext *format, int stream, const AVFrame *f);
void gp_file_close(AVFormatContext **format, AVCodecContext **codec);

// Scaling into one packed plane of w*h pixels.
int gp_scale(struct SwsContext **sws, const AVFrame *f, int gray, uint8_t *dst, int w, int h);

// Size of a frame's planes in bytes.
int gp_frame_bytes(const AVFrame *f);

#endif
