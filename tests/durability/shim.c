/* Put under a process with LD_PRELOAD: makes one flush or write fail, and turns the clock.
 *
 *   SHIM_DIR    only files below this folder fail; those of the published tiles and the shared memory do not
 *   SHIM_CALL   "flush" (fsync, fdatasync) or "write" (write, pwrite, ftruncate)
 *   SHIM_FAULT  "EIO", "ENOSPC", "EROFS"; "short" writes half and says so; "short-EIO" and "short-ENOSPC"
 *               likewise, and the next write fails. A short flush does not exist.
 *   SHIM_NTH    the first call to fail, from 1
 *   SHIM_EVERY  set: every later one fails too; else only this one
 *   SHIM_ARMED  calls count once this file is there; unset: from the start
 *   SHIM_CLOCK  a file with seconds to be added to the time of day, read at every look at the clock
 *
 * Each fault is told on standard output, "fault <call> <file>", in the order in which things happen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(ret, name, ...) \
    static ret (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (ret (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static long counted;
static int pending; /* the errno of the write after a short one */

static ssize_t write_raw(int fd, const void *bytes, size_t length)
{
    REAL(ssize_t, write, int, const void *, size_t);
    return real_write(fd, bytes, length);
}

/* Whether the call is one of those that may fail; its file in `path`. */
static int concerned(const char *call, int fd, char *path, size_t size)
{
    const char *dir = getenv("SHIM_DIR"), *wanted = getenv("SHIM_CALL"), *armed = getenv("SHIM_ARMED");
    char link[64];
    ssize_t length;
    if (!dir || !wanted || strcmp(wanted, call) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (strncmp(path, dir, strlen(dir)) != 0) return 0;
    if (strstr(path, "-shm") || strstr(path, "/consent-log/") || !strcmp(path + strlen(path) - 12, "/consent-log")) return 0;
    return !armed || access(armed, F_OK) == 0;
}

static void tell(const char *call, const char *path)
{
    char line[4200];
    int length = snprintf(line, sizeof line, "fault %s %s\n", call, path);
    write_raw(1, line, (size_t)length);
}

/* 0: let it pass; -1: write half; else the errno to fail with. */
static int fault(const char *call, int fd)
{
    char path[4096];
    const char *kind = getenv("SHIM_FAULT");
    long nth = getenv("SHIM_NTH") ? atol(getenv("SHIM_NTH")) : 0, now;
    if (!kind || !concerned(call, fd, path, sizeof path)) return 0;
    now = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    if (pending) {
        int error = pending;
        pending = 0;
        tell(call, path);
        return error;
    }
    if (now < nth || (now > nth && !getenv("SHIM_EVERY"))) return 0;
    if (strncmp(kind, "short", 5) == 0) {
        if (strcmp(kind, "short") == 0) tell(call, path);
        if (strcmp(kind, "short-EIO") == 0) pending = EIO;
        if (strcmp(kind, "short-ENOSPC") == 0) pending = ENOSPC;
        return -1;
    }
    tell(call, path);
    return strcmp(kind, "ENOSPC") == 0 ? ENOSPC : strcmp(kind, "EROFS") == 0 ? EROFS : EIO;
}

#define FLUSH(name) \
    int name(int fd) \
    { \
        int error = fault("flush", fd); \
        REAL(int, name, int); \
        if (error > 0) { errno = error; return -1; } \
        return real_##name(fd); \
    }
FLUSH(fsync)
FLUSH(fdatasync)

ssize_t write(int fd, const void *bytes, size_t length)
{
    int error = fault("write", fd);
    if (error > 0) { errno = error; return -1; }
    return write_raw(fd, bytes, error && length > 1 ? length / 2 : length);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *bytes, size_t length, offset_type at) \
    { \
        int error = fault("write", fd); \
        REAL(ssize_t, name, int, const void *, size_t, offset_type); \
        if (error > 0) { errno = error; return -1; } \
        return real_##name(fd, bytes, error && length > 1 ? length / 2 : length, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_type) \
    int name(int fd, offset_type length) \
    { \
        int error = fault("write", fd); \
        REAL(int, name, int, offset_type); \
        if (error > 0) { errno = error; return -1; } \
        return real_##name(fd, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

static long turned(void)
{
    const char *clock = getenv("SHIM_CLOCK");
    char text[32] = "";
    int fd;
    ssize_t length;
    if (!clock || (fd = open(clock, O_RDONLY | O_CLOEXEC)) < 0) return 0;
    length = read(fd, text, sizeof text - 1);
    close(fd);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int error;
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    error = real_clock_gettime(id, now);
    if (!error && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += turned();
    return error;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int error;
    REAL(int, gettimeofday, struct timeval *restrict, void *restrict);
    error = real_gettimeofday(now, zone);
    if (!error) now->tv_sec += turned();
    return error;
}
