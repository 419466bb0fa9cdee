#include "sdk-c/cli/progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
    pthread_t thread;
    bool is_running; /* main thread only */

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    char text[200]; /* under the mutex, as all below */
    char note[200];
    unsigned seconds;
    bool is_shown;
    bool is_over;
} progress = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void clear_line(void)
{
    if (progress.is_shown) {
        fputs("\r\033[K", stderr);
        progress.is_shown = false;
    }
}

static void show_line(void)
{
    fprintf(stderr, "\r\033[K%s %s(%u s)", progress.text, progress.note, progress.seconds);
    fflush(stderr);
    progress.is_shown = true;
}

static void *run(void *unused)
{
    (void)unused;
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    pthread_mutex_lock(&progress.mutex);
    while (!progress.is_over) {
        at.tv_sec++;
        while (!progress.is_over &&
               pthread_cond_timedwait(&progress.wake, &progress.mutex, &at) == 0) {
        }
        if (!progress.is_over) {
            progress.seconds++;
            show_line();
        }
    }
    pthread_mutex_unlock(&progress.mutex);
    return NULL;
}

void progress_begin(const char *format, ...)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&progress.mutex);
    vsnprintf(progress.text, sizeof(progress.text), format, arguments);
    progress.note[0] = '\0';
    progress.seconds = 0;
    progress.is_over = false;
    pthread_mutex_unlock(&progress.mutex);
    va_end(arguments);
    if (!progress.is_running) {
        progress.is_running = pthread_create(&progress.thread, NULL, run, NULL) == 0;
    }
}

void progress_note(const char *format, ...)
{
    if (!progress.is_running) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&progress.mutex);
    vsnprintf(progress.note, sizeof(progress.note), format, arguments);
    pthread_mutex_unlock(&progress.mutex);
    va_end(arguments);
}

void progress_hide(void)
{
    if (!progress.is_running) {
        return;
    }
    pthread_mutex_lock(&progress.mutex);
    clear_line();
    pthread_mutex_unlock(&progress.mutex);
}

void progress_end(void)
{
    if (!progress.is_running) {
        return;
    }
    pthread_mutex_lock(&progress.mutex);
    progress.is_over = true;
    clear_line();
    fflush(stderr);
    pthread_cond_signal(&progress.wake);
    pthread_mutex_unlock(&progress.mutex);
    pthread_join(progress.thread, NULL);
    progress.is_running = false;
}
