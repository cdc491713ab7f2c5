/* A calendar that a test sets, for one process: the file that CLOCK_FILE names holds how many seconds it is off, and is
 * read again once a second. What measures how long something took (CLOCK_MONOTONIC) stays right, as it does where an
 * administrator sets a clock. Who waits until a time of that calendar (the Kafka client) waits no longer for it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static time_t off(void)
{
    static atomic_long seconds, read_at = -1;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    if (atomic_exchange(&read_at, now.tv_sec) != now.tv_sec) {
        int kept = errno, file = open(getenv("CLOCK_FILE"), O_RDONLY | O_CLOEXEC);
        char text[32] = "";
        if (read(file, text, sizeof text - 1) > 0)
            atomic_store(&seconds, atol(text));
        close(file);
        errno = kept;
    }
    return atomic_load(&seconds);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += off();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += off();
    return failed;
}

time_t time(time_t *where)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}

/* A deadline by the clock above as one of the kernel's. One of CLOCK_MONOTONIC, seconds since the machine began, stays
 * what it is. Nobody waits for a quarter of an hour: where it seems so, the clock was set since the deadline was
 * computed. */
static struct timespec right(const struct timespec *deadline)
{
    struct timespec found = *deadline, now;
    if (deadline->tv_sec < 1000000000)
        return found;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    found.tv_sec -= off();
    return found.tv_sec - now.tv_sec > 900 ? now : found;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict deadline)
{
    int (*wait)(cnd_t *, mtx_t *, const struct timespec *) = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec until = right(deadline);
    return wait(condition, mutex, &until);
}

int pthread_cond_timedwait(
    pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline)
{
    int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec until = right(deadline);
    return wait(condition, mutex, &until);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    int (*wait)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec until = right(deadline);
    return wait(semaphore, &until);
}
