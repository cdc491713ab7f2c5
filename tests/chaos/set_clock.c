/* A calendar that a test sets, for one process: the file that CLOCK_FILE names holds how many seconds it is off, and is
 * read again once a second. What measures how long something took (CLOCK_MONOTONIC) stays right, as it does where an
 * administrator sets a clock. timespec_get is left alone: the Kafka client computes with it how long it waits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
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

/* Its deadline was computed by the clock above (Python, where there is no sem_clockwait). */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    int (*wait)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec right = {deadline->tv_sec - off(), deadline->tv_nsec};
    return wait(semaphore, &right);
}
