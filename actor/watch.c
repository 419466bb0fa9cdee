#include "actor/watch.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { FIRST_EVENTS = 8 };

static struct watch_event *slot(const struct watch *w, uint64_t seq)
{
    return &w->events[seq & (w->cap - 1)];
}

size_t watch_event_bytes(const struct watch_event *event)
{
    return sizeof *event + (event->key != NULL ? event->key->len : 0) +
           (event->value != NULL ? event->value->len : 0);
}

void watch_event_done(struct watch_event *event)
{
    bytes_unref(event->key);
    bytes_unref(event->value);
    *event = (struct watch_event){0};
}

void watch_init(struct watch *w, uint64_t version)
{
    *w = (struct watch){.floor_version = version, .floor_n = UINT32_MAX};
    list_init(&w->watchers);
}

static void drop_first(struct watch *w)
{
    struct watch_event *first = slot(w, w->first_seq);
    w->floor_version = first->version;
    w->floor_n = first->n;
    w->bytes -= watch_event_bytes(first);
    watch_event_done(first);
    w->first_seq++;
}

void watch_done(struct watch *w)
{
    struct watcher *watcher;
    while ((watcher = LIST_FIRST(&w->watchers, struct watcher, link)) != NULL) {
        watch_remove(w, watcher);
        watcher->on_end(watcher);
    }
    while (w->first_seq < w->next_seq) {
        drop_first(w);
    }
    mem_free(w->events);
    w->events = NULL;
    w->cap = 0;
}

static void grow(struct watch *w)
{
    struct watch wider = *w;
    wider.cap = w->cap != 0 ? w->cap * 2 : FIRST_EVENTS;
    wider.events = mem_zalloc(wider.cap * sizeof *wider.events);
    for (uint64_t seq = w->first_seq; seq < w->next_seq; seq++) {
        *slot(&wider, seq) = *slot(w, seq);
    }
    mem_free(w->events);
    w->events = wider.events;
    w->cap = wider.cap;
}

void watch_append(struct watch *w, const struct watch_event *event)
{
    if (w->next_seq - w->first_seq == w->cap) {
        grow(w);
    }
    *slot(w, w->next_seq) = *event;
    w->next_seq++;
    w->bytes += watch_event_bytes(event);
    while (w->next_seq - w->first_seq > WATCH_EVENTS_MAX ||
           (w->bytes > WATCH_BYTES_MAX && w->next_seq - w->first_seq > 1)) {
        drop_first(w);
    }
}

void watch_tell(struct watch *w)
{
    LIST_FOREACH_SAFE (link, &w->watchers) {
        struct watcher *watcher = LIST_ENTRY(link, struct watcher, link);
        watcher->on_news(watcher);
    }
}

const struct watch_event *watch_at(const struct watch *w, uint64_t seq, bool *ret_gap)
{
    *ret_gap = seq < w->first_seq;
    return *ret_gap || seq >= w->next_seq ? NULL : slot(w, seq);
}

static bool is_after(uint64_t version, uint32_t n, uint64_t than_version, uint32_t than_n)
{
    return version != than_version ? version > than_version : n > than_n;
}

bool watch_seek(const struct watch *w, uint64_t version, uint32_t n, uint64_t *ret_seq)
{
    if (is_after(w->floor_version, w->floor_n, version, n)) {
        return false;
    }
    uint64_t seq = w->next_seq;
    while (seq > w->first_seq &&
           is_after(slot(w, seq - 1)->version, slot(w, seq - 1)->n, version, n)) {
        seq--;
    }
    *ret_seq = seq;
    return true;
}

bool watch_add(struct watch *w, struct watcher *watcher)
{
    if (w->watcher_count >= WATCHERS_MAX) {
        return false;
    }
    list_append(&w->watchers, &watcher->link);
    w->watcher_count++;
    return true;
}

void watch_remove(struct watch *w, struct watcher *watcher)
{
    PRE(w->watcher_count > 0 && !list_is_empty(&watcher->link));
    list_remove(&watcher->link);
    w->watcher_count--;
}
