#include "decode.h"

#include <string.h>
#include <unistd.h>

// The largest frame that is decoded, in pixels: 8K with room. A parameter set can ask for more
// memory than the machine has.
#define MAX_PIXELS (8192LL * 4608LL)

void gp_quiet(void) { av_log_set_level(AV_LOG_QUIET); }

// outcome returns err, or that memory is exhausted if an allocation has failed since errno was 0. The
// libraries report some failed allocations as invalid data and others not at all, and would go on
// without frames; glibc sets errno in each case.
static int outcome(int err) { return errno == ENOMEM ? AVERROR(ENOMEM) : err; }

static void configure(AVCodecContext *c) {
	c->thread_count = 1;                   // frame threads would delay frames
	c->flags |= AV_CODEC_FLAG_LOW_DELAY;
	c->max_pixels = MAX_PIXELS;
	c->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER;
}

AVCodecContext *gp_decoder_new(enum AVCodecID id) {
	const AVCodec *codec = avcodec_find_decoder(id);
	if (codec == NULL) {
		return NULL;
	}
	AVCodecContext *c = avcodec_alloc_context3(codec);
	if (c == NULL) {
		return NULL;
	}
	configure(c);
	if (avcodec_open2(c, codec, NULL) < 0) {
		avcodec_free_context(&c);
	}
	return c;
}

int gp_decoder_send(AVCodecContext *c, AVPacket *p, const uint8_t *data, int size, int64_t tag) {
	errno = 0;
	if (data == NULL) {
		return outcome(avcodec_send_packet(c, NULL)); // drain
	}
	int err = av_new_packet(p, size); // with the padding that decoders read beyond the end
	if (err < 0) {
		return outcome(err);
	}
	memcpy(p->data, data, size);
	p->pts = tag;
	p->dts = AV_NOPTS_VALUE;
	err = avcodec_send_packet(c, p);
	av_packet_unref(p);
	return outcome(err);
}

int gp_decoder_receive(AVCodecContext *c, AVFrame *f) {
	errno = 0;
	int err = outcome(avcodec_receive_frame(c, f));
	if (err == AVERROR(EAGAIN)) {
		return GP_AGAIN;
	}
	if (err == AVERROR_EOF) {
		return GP_END;
	}
	return err;
}

int gp_damaged(const AVFrame *f) {
	return f->decode_error_flags != 0 || (f->flags & AV_FRAME_FLAG_CORRUPT) != 0;
}

// The functions of an AVIOContext over a descriptor: libavformat's own protocols open files by name,
// which a confined process cannot.
static int file_read(void *opaque, uint8_t *buf, int size) {
	ssize_t n = read((int)(intptr_t)opaque, buf, size);
	if (n < 0) {
		return AVERROR(errno);
	}
	return n == 0 ? AVERROR_EOF : (int)n;
}

static int64_t file_seek(void *opaque, int64_t offset, int whence) {
	int fd = (int)(intptr_t)opaque;
	if (whence == AVSEEK_SIZE) { // not fstat: glibc makes it a call that takes names, too
		off_t at = lseek(fd, 0, SEEK_CUR), end = lseek(fd, 0, SEEK_END);
		return at < 0 || end < 0 || lseek(fd, at, SEEK_SET) < 0 ? AVERROR(errno) : end;
	}
	off_t at = lseek(fd, offset, whence & ~AVSEEK_FORCE);
	return at < 0 ? AVERROR(errno) : at;
}

// new_io returns an AVIOContext over fd, which is seekable if the descriptor is.
static AVIOContext *new_io(int fd) {
	const int size = 32 << 10;
	uint8_t *buf = av_malloc(size);
	if (buf == NULL) {
		return NULL;
	}
	int seekable = lseek(fd, 0, SEEK_CUR) >= 0;
	AVIOContext *io = avio_alloc_context(buf, size, 0, (void *)(intptr_t)fd, file_read, NULL, seekable ? file_seek : NULL);
	if (io == NULL) {
		av_free(buf);
	}
	return io;
}

static void free_io(AVIOContext *io) {
	if (io != NULL) {
		av_freep(&io->buffer); // libavformat may have replaced it
		avio_context_free(&io);
	}
}

// refuse_open stands in for opening a file that a container names, such as the parts of a playlist.
static int refuse_open(AVFormatContext *s, AVIOContext **io, const char *url, int flags, AVDictionary **options) {
	(void)s, (void)io, (void)url, (void)flags, (void)options;
	return AVERROR(EPERM);
}

static int file_open(int fd, AVFormatContext **format, AVCodecContext **codec, int *stream) {
	AVIOContext *io = new_io(fd);
	*format = avformat_alloc_context();
	if (io == NULL || *format == NULL) {
		free_io(io);
		avformat_free_context(*format);
		*format = NULL;
		return AVERROR(ENOMEM);
	}
	(*format)->pb = io;
	(*format)->io_open = refuse_open;
	int err = avformat_open_input(format, NULL, NULL, NULL);
	if (err < 0) {
		free_io(io); // avformat_open_input has freed the context, but not what its caller made
		return err;
	}
	err = avformat_find_stream_info(*format, NULL);
	if (err < 0) {
		return err;
	}
	const AVCodec *dec = NULL;
	int i = av_find_best_stream(*format, AVMEDIA_TYPE_VIDEO, -1, -1, &dec, 0);
	if (i < 0) {
		return i;
	}
	*stream = i;
	*codec = avcodec_alloc_context3(dec);
	if (*codec == NULL) {
		return AVERROR(ENOMEM);
	}
	err = avcodec_parameters_to_context(*codec, (*format)->streams[i]->codecpar);
	if (err < 0) {
		return err;
	}
	configure(*codec);
	(*codec)->pkt_timebase = (*format)->streams[i]->time_base;
	return avcodec_open2(*codec, dec, NULL);
}

int gp_file_open(int fd, AVFormatContext **format, AVCodecContext **codec, int *stream) {
	errno = 0;
	return outcome(file_open(fd, format, codec, stream));
}

static int file_next(AVFormatContext *format, AVCodecContext *codec, int stream, AVPacket *p, AVFrame *f, int *draining) {
	for (;;) {
		int err = gp_decoder_receive(codec, f);
		if (err != GP_AGAIN) {
			return err;
		}
		if (*draining) {
			return GP_END;
		}
		err = av_read_frame(format, p);
		if (err == AVERROR_EOF) {
			*draining = 1;
			err = avcodec_send_packet(codec, NULL);
			if (err < 0) {
				return err;
			}
			continue;
		}
		if (err < 0) {
			return err;
		}
		if (p->stream_index == stream) {
			err = avcodec_send_packet(codec, p);
		}
		av_packet_unref(p);
		if (outcome(err) < 0) {
			return err;
		}
	}
}

int gp_file_next(AVFormatContext *format, AVCodecContext *codec, int stream, AVPacket *p, AVFrame *f, int *draining) {
	errno = 0;
	return outcome(file_next(format, codec, stream, p, f, draining));
}

int64_t gp_file_time(const AVFormatContext *format, int stream, const AVFrame *f) {
	if (f->best_effort_timestamp == AV_NOPTS_VALUE) {
		return INT64_MIN;
	}
	return av_rescale_q(f->best_effort_timestamp, format->streams[stream]->time_base, (AVRational){1, 1000000});
}

void gp_file_close(AVFormatContext **format, AVCodecContext **codec) {
	avcodec_free_context(codec);
	if (*format != NULL) {
		AVIOContext *io = (*format)->pb;
		avformat_close_input(format);
		free_io(io);
	}
}

// scalable returns the pixel format to pass to libswscale for f. The formats with J mean full range,
// which libswscale expects as a separate setting.
static enum AVPixelFormat scalable(enum AVPixelFormat f, int *full) {
	switch (f) {
	case AV_PIX_FMT_YUVJ420P: *full = 1; return AV_PIX_FMT_YUV420P;
	case AV_PIX_FMT_YUVJ422P: *full = 1; return AV_PIX_FMT_YUV422P;
	case AV_PIX_FMT_YUVJ444P: *full = 1; return AV_PIX_FMT_YUV444P;
	case AV_PIX_FMT_YUVJ440P: *full = 1; return AV_PIX_FMT_YUV440P;
	default: return f;
	}
}

static int scale(struct SwsContext **sws, const AVFrame *f, int gray, uint8_t *dst, int w, int h) {
	int full = f->color_range == AVCOL_RANGE_JPEG;
	enum AVPixelFormat from = scalable(f->format, &full);
	enum AVPixelFormat to = gray ? AV_PIX_FMT_GRAY8 : AV_PIX_FMT_BGR24;
	const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(from);
	if (d == NULL || (d->flags & AV_PIX_FMT_FLAG_HWACCEL)) {
		return AVERROR(EINVAL);
	}
	int luma = gray && (d->flags & AV_PIX_FMT_FLAG_PLANAR) && !(d->flags & AV_PIX_FMT_FLAG_RGB) &&
	           d->comp[0].depth == 8 && d->comp[0].plane == 0;
	if (luma) {
		from = AV_PIX_FMT_GRAY8; // the first plane is the gray image: no colour conversion is needed
	}
	*sws = sws_getCachedContext(*sws, f->width, f->height, from, w, h, to, SWS_AREA, NULL, NULL, NULL);
	if (*sws == NULL) {
		return AVERROR(EINVAL);
	}
	if (!luma) {
		int matrix = f->colorspace == AVCOL_SPC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601;
		const int *coefficients = sws_getCoefficients(matrix);
		sws_setColorspaceDetails(*sws, coefficients, full, coefficients, 1, 0, 1 << 16, 1 << 16);
	}
	uint8_t *planes[4] = {dst, NULL, NULL, NULL};
	int strides[4] = {gray ? w : 3 * w, 0, 0, 0};
	int rows = sws_scale(*sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, planes, strides);
	return rows == h ? 0 : AVERROR(EINVAL);
}

int gp_scale(struct SwsContext **sws, const AVFrame *f, int gray, uint8_t *dst, int w, int h) {
	errno = 0;
	return outcome(scale(sws, f, gray, dst, w, h));
}

int gp_intra(const AVFrame *f) {
	return f->pict_type == AV_PICTURE_TYPE_I;
}

int gp_frame_bytes(const AVFrame *f) {
	int n = av_image_get_buffer_size(f->format, f->width, f->height, 1);
	return n < 0 ? 0 : n;
}
