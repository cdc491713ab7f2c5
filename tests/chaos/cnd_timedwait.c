/* libfaketime converts the deadlines of pthread_cond_timedwait, and does not know C11's cnd_timedwait, with which the
 * Kafka client waits: by a clock an hour ahead it would wait an hour for nothing. In glibc both have the same types. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *deadline)
{
    int error = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, deadline);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}
