/* A V4L2 camera without hardware, under unmodified OpenCV and Python: preloaded into a process, it
 * answers for one file. TEST USE ONLY.
 *
 *   gcc -shared -fPIC -o fake_v4l2.so fake_v4l2.c -ldl
 *   FAKE_V4L2=folder LD_PRELOAD=./fake_v4l2.so python ...
 *
 * The camera is folder/video0: while that file is there, it is plugged in. It offers MJPG and YUYV
 * in 640x480 and 320x240 at 30 and 15 frames/s, and delivers folder/0.jpg, 1.jpg ... from the first on, or
 * grey YUYV. While folder/mute is there, it delivers nothing; with folder/no-mjpeg it refuses MJPG.
 * What it is asked for goes into folder/asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
enum { BUFFERS = 4, BYTES = 640 * 480 * 2 };

static int device = -1, memory = -1, queued[BUFFERS], waiting, next_frame;
static __u32 format = V4L2_PIX_FMT_YUYV, width = 640, height = 480, rate = 30;

static const char *path(const char *name) {
    static char whole[4096];
    snprintf(whole, sizeof whole, "%s/%s", getenv("FAKE_V4L2") ? getenv("FAKE_V4L2") : "", name);
    return whole;
}

static void note(const char *what, long a, long b) {
    FILE *file = fopen(path("asked"), "a");
    if (file) { fprintf(file, "%s %ld %ld\n", what, a, b); fclose(file); }
}

static void pace(void) {
    struct itimerspec every = {0};
    every.it_value.tv_nsec = every.it_interval.tv_nsec = 1000000000 / rate;
    timerfd_settime(device, 0, &every, NULL);
}

static int open_fake(const char *name) {
    if (!getenv("FAKE_V4L2") || strcmp(name, path("video0")) || access(name, F_OK)) return -2;
    if (device >= 0) { errno = EBUSY; return -1; }
    memory = memfd_create("frames", 0);
    if (ftruncate(memory, BUFFERS * BYTES)) return -1;
    format = V4L2_PIX_FMT_YUYV;
    next_frame = 0;
    device = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    note("open", 0, 0);
    pace();
    return device;
}

#define OPEN(function)                                                          \
    int function(const char *name, int flags, ...) {                            \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = va_arg(rest, mode_t);                                     \
        va_end(rest);                                                           \
        int fake = open_fake(name);                                             \
        return fake != -2 ? fake : REAL(function)(name, flags, mode);           \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd == device) { note("close", 0, 0); REAL(close)(memory); device = -1; }
    return REAL(close)(fd);
}

static int gone(void) { return access(path("video0"), F_OK); }

int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *limit) {
    int ours = device >= 0 && r && FD_ISSET(device, r);
    if (ours && gone()) return 1;
    if (ours && !access(path("mute"), F_OK)) { usleep(limit->tv_sec * 1000000 + limit->tv_usec); return 0; }
    return REAL(select)(n, r, w, e, limit);
}

void *mmap(void *start, size_t length, int how, int flags, int fd, off_t offset) {
    return REAL(mmap)(start, length, how, flags, fd >= 0 && fd == device ? memory : fd, offset);
}
void *mmap64(void *start, size_t length, int how, int flags, int fd, off64_t offset) {
    return REAL(mmap64)(start, length, how, flags, fd >= 0 && fd == device ? memory : fd, offset);
}

static int fill(struct v4l2_buffer *buffer) {
    unsigned long long ticks;
    if (!access(path("mute"), F_OK) || read(device, &ticks, sizeof ticks) < 0) { errno = EAGAIN; return -1; }
    int index = 0;
    while (index < BUFFERS && !queued[index]) index++;
    if (index == BUFFERS) { errno = EAGAIN; return -1; }
    queued[index] = 0, waiting--;
    static unsigned char bytes[BYTES];
    size_t length = width * height * 2;
    memset(bytes, 128, sizeof bytes);
    if (format == V4L2_PIX_FMT_MJPEG) {
        char name[32];
        snprintf(name, sizeof name, "%d.jpg", next_frame);
        FILE *file = fopen(path(name), "rb");
        if (!file) { next_frame = 0; file = fopen(path("0.jpg"), "rb"); }
        next_frame++;
        length = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
    }
    if (pwrite(memory, bytes, sizeof bytes, (off_t)index * BYTES) < 0) return -1;
    memset(buffer, 0, sizeof *buffer);
    buffer->index = index, buffer->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer->memory = V4L2_MEMORY_MMAP, buffer->bytesused = length, buffer->length = BYTES;
    return 0;
}

static int answer(unsigned long request, void *argument) {
    static const __u32 formats[] = {V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV};
    static const __u32 widths[] = {640, 320}, heights[] = {480, 240}, rates[] = {30, 15};
    struct v4l2_format *fmt = argument;
    struct v4l2_streamparm *parm = argument;
    struct v4l2_buffer *buffer = argument;
    if (gone()) { errno = ENODEV; return -1; }
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *able = argument;
        memset(able, 0, sizeof *able);
        able->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        able->capabilities = able->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *found = argument;
        if (found->index > 1) break;
        found->pixelformat = formats[found->index];
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *found = argument;
        if (found->index > 1) break;
        found->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        found->discrete.width = widths[found->index], found->discrete.height = heights[found->index];
        return 0;
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *found = argument;
        if (found->index > 1) break;
        found->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        found->discrete.numerator = 1, found->discrete.denominator = rates[found->index];
        return 0;
    }
    case VIDIOC_S_FMT:
        note("format", fmt->fmt.pix.pixelformat, fmt->fmt.pix.width);
        if (fmt->fmt.pix.pixelformat == V4L2_PIX_FMT_MJPEG && !access(path("no-mjpeg"), F_OK)) break;
        if (fmt->fmt.pix.pixelformat != V4L2_PIX_FMT_MJPEG && fmt->fmt.pix.pixelformat != V4L2_PIX_FMT_YUYV) break;
        format = fmt->fmt.pix.pixelformat;
        width = fmt->fmt.pix.width <= 320 ? 320 : 640, height = width * 3 / 4;
        /* fall through */
    case VIDIOC_G_FMT:
    case VIDIOC_TRY_FMT:
        fmt->fmt.pix.pixelformat = format, fmt->fmt.pix.width = width, fmt->fmt.pix.height = height;
        fmt->fmt.pix.sizeimage = BYTES, fmt->fmt.pix.field = V4L2_FIELD_NONE;
        fmt->fmt.pix.bytesperline = format == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
        return 0;
    case VIDIOC_S_PARM:
        if (parm->parm.capture.timeperframe.numerator)
            rate = parm->parm.capture.timeperframe.denominator / parm->parm.capture.timeperframe.numerator;
        note("rate", rate, 0);
        pace();
        /* fall through */
    case VIDIOC_G_PARM:
        parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parm->parm.capture.timeperframe.numerator = 1, parm->parm.capture.timeperframe.denominator = rate;
        return 0;
    case VIDIOC_REQBUFS:
        if (((struct v4l2_requestbuffers *)argument)->count > BUFFERS)
            ((struct v4l2_requestbuffers *)argument)->count = BUFFERS;
        memset(queued, 0, sizeof queued);
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = BYTES, buffer->m.offset = buffer->index * BYTES;
        return 0;
    case VIDIOC_QBUF:
        queued[buffer->index] = 1;
        return 0;
    case VIDIOC_DQBUF:
        return fill(buffer);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
    case VIDIOC_S_INPUT:
        return 0;
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_ENUMINPUT:
        ((struct v4l2_input *)argument)->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    errno = EINVAL;
    return -1;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd < 0 || fd != device) return REAL(ioctl)(fd, request, argument);
    return answer(request, argument);
}
