/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows the records of a kind: their changes from now on, or a copy of all of them that is kept up to date.
 *
 * A copy is read page by page, and followed from the revision of its first page on. When the store has missed changes, the copy is
 * read again, and the records that are gone meanwhile are reported as deleted; until then it is as old as the changes that were missed.
 */
#ifndef STATE_STATE_WATCH_H
#define STATE_STATE_WATCH_H

#include "base/map.h"
#include "state/state.h"

/* All from the loop; each may free the watch. Records and IDs are borrowed until the callback returns. */
struct state_watch_events {
        /* A record has changed, in the order of the changes; value is empty for one that was deleted or has expired. */
        void (*changed)(void *ctx, const struct state_record *record, bool is_deleted);

        /* A record was read: at first, or again. The error that it returns is logged (state_log_unreadable). NULL: not of interest. */
        struct error *(*found)(void *ctx, const struct state_record *record);

        /* Calls fn for the ID of each record that the owner has, and changes nothing. Not needed with `lost`. */
        void (*each_id)(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx);

        /* Changes were missed: the owner reads what it needs; the watch goes on from now. NULL: all records are read again. */
        void (*lost)(void *ctx);
};

struct state_watch;

/* Reports the changes from now on. events live as long as the watch. */
struct state_watch *state_watch_new(struct store *s, const struct state_kind *kind, const struct state_watch_events *events,
                                    void *ctx) MUST_USE;

/*
 * Reads all records, then calls ready once: NULL, the store's error (owned), or CANCELLED once *is_stopped is true or the copy is freed;
 * changes are reported from the first record on. is_stopped may be NULL, and lives as long as the copy; ctx lives until ready.
 */
struct state_watch *state_copy_new(struct store *s, const struct state_kind *kind, const bool *is_stopped, const struct state_watch_events *events,
                                   void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;

/* No callback comes afterwards, but for `ready` when it has not been called. NULL is silent. */
void state_watch_free(struct state_watch *w);

/* For each_id: the keys of a map. */
void state_each_key(struct map *m, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx);

#endif
