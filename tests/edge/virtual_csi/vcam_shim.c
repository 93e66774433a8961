/*
 * vcam_shim.c - LD_PRELOAD shim: gives libcamera's virtual pipeline handler
 * (and picamera2's DmaAllocator) buffers on a machine that has no dma-buf
 * provider. TEST USE ONLY. From this project's own shared tools; row padding
 * and flips, as a Pi has them, were added.
 *
 *   /dev/udmabuf, /dev/dma_heap/{linux,cma|system}  -> a marker memfd
 *   UDMABUF_CREATE on a marker                      -> dup of the caller's memfd
 *   DMA_HEAP_IOCTL_ALLOC on a marker                -> a new, page-rounded memfd
 *   DMA_BUF_SET_NAME, DMA_BUF_IOCTL_SYNC on a memfd -> 0
 *
 * The virtual handler has no clock of its own: it fills a buffer the moment it
 * is queued. It maps every buffer write-only just before filling it, which
 * nothing else does, so VCAM_FPS=<n> paces frames by sleeping in that mmap.
 *
 *   gcc -O2 -fPIC -shared -o vcam_shim.so vcam_shim.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

#define REAL(ret, name, ...) \
	static ret (*real_##name)(__VA_ARGS__); \
	if (!real_##name) \
		*(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static int is_provider(const char *path)
{
	return path && (!strcmp(path, "/dev/udmabuf") ||
			!strcmp(path, "/dev/dma_heap/linux,cma") ||
			!strcmp(path, "/dev/dma_heap/system"));
}

/*
 * What an fd is gets asked of the kernel, so dup() and close() need no table
 * and /proc need not be mounted: only shmem files have seals, and the marker
 * is the one of an odd size that can no longer be written.
 */
#define MARKER_SIZE 0x7ca3
#define MARKER_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int is_memfd(int fd)
{
	int saved = errno, seals = fcntl(fd, F_GET_SEALS);
	errno = saved;
	return seals >= 0;
}

static int is_marker(int fd)
{
	struct stat st;
	return is_memfd(fd) && (fcntl(fd, F_GET_SEALS) & MARKER_SEALS) == MARKER_SEALS &&
	       fstat(fd, &st) == 0 && st.st_size == MARKER_SIZE;
}

static int open_marker(void)
{
	int fd = memfd_create("vcam-provider", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && (ftruncate(fd, MARKER_SIZE) < 0 ||
			fcntl(fd, F_ADD_SEALS, MARKER_SEALS) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

#define OPEN_BODY(name, ...) \
	mode_t mode = 0; \
	if (is_provider(path)) \
		return open_marker(); \
	if (flags & (O_CREAT | __O_TMPFILE)) { \
		va_list ap; \
		va_start(ap, flags); \
		mode = va_arg(ap, mode_t); \
		va_end(ap); \
	} \
	return real_##name(__VA_ARGS__, flags, mode)

int open(const char *path, int flags, ...)
{ REAL(int, open, const char *, int, ...); OPEN_BODY(open, path); }
int open64(const char *path, int flags, ...)
{ REAL(int, open64, const char *, int, ...); OPEN_BODY(open64, path); }
int openat(int dir, const char *path, int flags, ...)
{ REAL(int, openat, int, const char *, int, ...); OPEN_BODY(openat, dir, path); }
int openat64(int dir, const char *path, int flags, ...)
{ REAL(int, openat64, int, const char *, int, ...); OPEN_BODY(openat64, dir, path); }
/* what _FORTIFY_SOURCE builds call */
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }

int ioctl(int fd, unsigned long req, ...)
{
	REAL(int, ioctl, int, unsigned long, ...);
	va_list ap;
	va_start(ap, req);
	void *arg = va_arg(ap, void *);
	va_end(ap);

	switch ((unsigned int)req) {
	case UDMABUF_CREATE:
		if (is_marker(fd))
			return fcntl(((struct udmabuf_create *)arg)->memfd, F_DUPFD_CLOEXEC, 0);
		break;
	case DMA_HEAP_IOCTL_ALLOC:
		if (is_marker(fd)) {
			struct dma_heap_allocation_data *a = arg;
			size_t page = sysconf(_SC_PAGESIZE);
			int buf = memfd_create("vcam-heap", MFD_CLOEXEC);
			if (buf < 0 || ftruncate(buf, (a->len + page - 1) & ~(page - 1)) < 0)
				return -1;
			a->fd = buf;
			return 0;
		}
		break;
	case DMA_BUF_IOCTL_SYNC:
	case DMA_BUF_SET_NAME_A:
	case DMA_BUF_SET_NAME_B:
		if (is_memfd(fd))
			return 0;
		break;
	}
	return real_ioctl(fd, req, arg);
}

/*
 * What each buffer is for. vcam_isp() (called through ctypes by vcam_compat.py)
 * fills this in; buffers nobody described are paced by size and left NV12.
 */
struct isp {
	ino_t ino;
	int lores;	/* not the main stream: never paced */
	int w, h;
	int bytes, red;	/* a pixel's bytes and where red is; 0: YUV420; -1: leave NV12 */
	int stride;	/* bytes from row to row; of YUV420 in the Y plane */
	int flips;	/* 1: left and right swapped, 2: top and bottom */
};
static struct isp isps[64];
static struct { void *addr; ino_t ino; int fd; } maps[16];
static pthread_mutex_t isp_lock = PTHREAD_MUTEX_INITIALIZER;

int vcam_isp(int fd, int lores, int w, int h, int bytes, int red, int stride, int flips)
{
	static unsigned int turn;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -1;
	pthread_mutex_lock(&isp_lock);
	isps[turn++ % 64] = (struct isp){
		st.st_ino, lores, w, h, bytes, red, stride, flips };
	pthread_mutex_unlock(&isp_lock);
	return 0;
}

static int find_isp(ino_t ino, struct isp *found) /* isp_lock held */
{
	for (int i = 0; i < 64; i++)
		if (isps[i].w && isps[i].ino == ino) {
			*found = isps[i];
			return 1;
		}
	return 0;
}

/* Sleeps until the next frame is due: once a request, on its main stream. */
static void pace(size_t len, int fd)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static long period = -1;
	static long long next;
	static size_t longest;
	struct timespec ts;
	struct stat st;
	struct isp isp;
	int known = 0;

	if (fstat(fd, &st) == 0) {
		pthread_mutex_lock(&isp_lock);
		known = find_isp(st.st_ino, &isp);
		pthread_mutex_unlock(&isp_lock);
	}
	pthread_mutex_lock(&lock);
	if (period < 0) {
		const char *fps = getenv("VCAM_FPS");
		period = fps && atof(fps) > 0 ? (long)(1e9 / atof(fps)) : 0;
	}
	if (!known && len > longest)
		longest = len;
	if (period && (known ? !isp.lores && len == (size_t)isp.w * isp.h * 3 / 2 : len == longest)) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		long long now = ts.tv_sec * 1000000000LL + ts.tv_nsec;
		if (next < now - period || next > now + period)
			next = now; /* late, or just started: do not burst */
		ts.tv_sec = next / 1000000000LL;
		ts.tv_nsec = next % 1000000000LL;
		next += period;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
	}
	pthread_mutex_unlock(&lock);
}

/*
 * A stand-in for the ISP. On a Pi the ISP delivers RGB888, YUV420 and so on;
 * the virtual handler delivers NV12, and picamera2 cannot make an array of NV12.
 * When the handler unmaps the NV12 frame it has just written, the frame is
 * converted where it lies. The film comes from JPEGs, so YCbCr is full range.
 */
static inline unsigned char clip(int v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

static size_t converted_size(const struct isp *p)
{
	size_t rows = (size_t)p->stride * p->h, nv12 = (size_t)p->w * p->h * 3 / 2;
	if (!p->bytes)
		rows = rows * 3 / 2;
	return rows > nv12 ? rows : nv12;
}

static void convert(const struct isp *p, unsigned char *buf)
{
	size_t luma = (size_t)p->w * p->h;
	unsigned char *nv12 = malloc(luma * 3 / 2);
	if (!nv12)
		return;
	memcpy(nv12, buf, luma * 3 / 2);
	const unsigned char *c = nv12 + luma;
	unsigned char *u = buf + (size_t)p->stride * p->h, *v = u + (size_t)p->stride * p->h / 4;
	/* What lies in the padding must not be taken for picture. */
	memset(buf, 0xA5, converted_size(p));
	for (int y = 0; y < p->h; y++) {
		unsigned char *to = buf + (size_t)y * p->stride;
		int sy = p->flips & 2 ? p->h - 1 - y : y;
		for (int x = 0; x < p->w; x++) {
			int sx = p->flips & 1 ? p->w - 1 - x : x;
			int Y = nv12[(size_t)sy * p->w + sx];
			const unsigned char *q = c + (sy / 2) * p->w + (sx & ~1);
			if (!p->bytes) {
				size_t at = (size_t)(y / 2) * (p->stride / 2) + x / 2;
				to[x] = Y;
				u[at] = q[0];
				v[at] = q[1];
				continue;
			}
			int cb = q[0] - 128, cr = q[1] - 128;
			to[p->red] = clip(Y + ((359 * cr) >> 8));
			to[1] = clip(Y - ((88 * cb + 183 * cr) >> 8));
			to[2 - p->red] = clip(Y + ((454 * cb) >> 8));
			if (p->bytes == 4)
				to[3] = 255;
			to += p->bytes;
		}
	}
	free(nv12);
}

static void mapped(void *addr, int fd)
{
	struct stat st;
	if (addr == MAP_FAILED || fstat(fd, &st) < 0)
		return;
	ino_t ino = st.st_ino;
	pthread_mutex_lock(&isp_lock);
	for (int i = 0; i < 16; i++)
		if (!maps[i].addr) {
			maps[i].addr = addr;
			maps[i].ino = ino;
			maps[i].fd = fd;
			break;
		}
	pthread_mutex_unlock(&isp_lock);
}

int munmap(void *addr, size_t len)
{
	REAL(int, munmap, void *, size_t);
	REAL(void *, mmap, void *, size_t, int, int, int, off_t);
	struct isp job = { 0 };
	int fd = -1;

	pthread_mutex_lock(&isp_lock);
	for (int i = 0; i < 16 && addr; i++)
		if (maps[i].addr == addr) {
			int others = 0; /* planes with fds of their own map the buffer twice */
			maps[i].addr = NULL;
			fd = maps[i].fd;
			for (int j = 0; j < 16; j++)
				others += maps[j].addr && maps[j].ino == maps[i].ino;
			if (others || !find_isp(maps[i].ino, &job))
				job.w = 0;
			break;
		}
	pthread_mutex_unlock(&isp_lock);
	if (job.w && job.bytes >= 0) {
		size_t all = converted_size(&job);
		void *whole = real_mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (whole != MAP_FAILED) {
			convert(&job, whole);
			real_munmap(whole, all);
		}
	}
	return real_munmap(addr, len);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	REAL(void *, mmap, void *, size_t, int, int, int, off_t);
	int frame = prot == PROT_WRITE && fd >= 0 && is_memfd(fd);
	if (frame)
		pace(len, fd);
	void *p = real_mmap(addr, len, prot, flags, fd, off);
	if (frame)
		mapped(p, fd);
	return p;
}
void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
	int frame = prot == PROT_WRITE && fd >= 0 && is_memfd(fd);
	if (frame)
		pace(len, fd);
	void *p = real_mmap64(addr, len, prot, flags, fd, off);
	if (frame)
		mapped(p, fd);
	return p;
}
