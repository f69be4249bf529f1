/* Kills the process at the n-th call that changes the file system, whoever makes it: Python, Polars, DuckDB, deltalake.
 * Preloaded; counts nothing until it is armed. The call is not made, or, with `torn`, a write is made by half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static long fatal;
static int armed, torn_writes;

void failpoints_arm(long at, int torn) {
    atomic_store(&calls, 0);
    fatal = at, torn_writes = torn, armed = 1;
}

long failpoints_count(void) {
    armed = 0;
    return atomic_load(&calls);
}

static int here(void) { return armed && atomic_fetch_add(&calls, 1) + 1 == fatal; }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void point(void) {
    if (here()) die();
}

static int regular(int fd) {
    struct stat found;
    return armed && !fstat(fd, &found) && S_ISREG(found.st_mode);
}

#define REAL(type, name, ...)                                \
    static type (*real)(__VA_ARGS__);                        \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define WRAP(type, name, params, args)                       \
    type name params {                                       \
        static type(*real) params;                           \
        if (!real) real = (type(*) params)dlsym(RTLD_NEXT, #name); \
        point();                                             \
        return real args;                                    \
    }

#define OPEN(name, params, args)                             \
    int name params {                                        \
        static int(*real)();                                 \
        mode_t mode = 0;                                     \
        if (!real) real = (int (*)())dlsym(RTLD_NEXT, #name); \
        if (flags & (O_CREAT | O_TRUNC)) {                   \
            va_list rest;                                    \
            va_start(rest, flags);                           \
            mode = va_arg(rest, mode_t);                     \
            va_end(rest);                                    \
            point();                                         \
        }                                                    \
        return real args;                                    \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (regular(fd) && here()) {
        if (torn_writes) real(fd, data, size / 2);
        die();
    }
    return real(fd, data, size);
}

#define PWRITE(name)                                             \
    ssize_t name(int fd, const void *data, size_t size, off_t at) { \
        REAL(ssize_t, #name, int, const void *, size_t, off_t);  \
        if (regular(fd) && here()) {                             \
            if (torn_writes) real(fd, data, size / 2, at);       \
            die();                                               \
        }                                                        \
        return real(fd, data, size, at);                         \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (regular(fd) && here()) {
        if (torn_writes) real(fd, parts, count / 2);
        die();
    }
    return real(fd, parts, count);
}

WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, flock, (int fd, int how), (fd, how))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, renameat2, (int a, const char *from, int b, const char *to, unsigned how), (a, from, b, to, how))
WRAP(int, link, (const char *from, const char *to), (from, to))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int how), (a, from, b, to, how))
WRAP(int, symlink, (const char *from, const char *to), (from, to))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int at, const char *path, int how), (at, path, how))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))
WRAP(int, truncate, (const char *path, off_t size), (path, size))
WRAP(int, truncate64, (const char *path, off64_t size), (path, size))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, fallocate, (int fd, int how, off_t at, off_t size), (fd, how, at, size))
WRAP(int, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, utimensat, (int at, const char *path, const struct timespec times[2], int how), (at, path, times, how))
WRAP(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
WRAP(ssize_t, sendfile, (int out, int in, off_t *at, size_t size), (out, in, at, size))
WRAP(ssize_t, sendfile64, (int out, int in, off64_t *at, size_t size), (out, in, at, size))
WRAP(ssize_t, copy_file_range, (int in, off64_t *from, int out, off64_t *to, size_t size, unsigned how),
     (in, from, out, to, size, how))
