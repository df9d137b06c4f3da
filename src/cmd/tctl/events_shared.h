/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and output of audit events, for `audit ls` and `joins ls`; JSON and YAML of jansson values, for those and `inventory status`.
 */
#ifndef CMD_TCTL_EVENTS_SHARED_H
#define CMD_TCTL_EVENTS_SHARED_H

#include <jansson.h>

#include "cmd/tctl/session.h"

/* Parses an RFC 3339 time, a date, or a duration before now; in Unix milliseconds. `flag` is the name in the error, without dashes. */
struct error *events_parse_time(const char *text, const char *flag, struct walltime now, int64_t *ret_ms) MUST_USE;

/*
 * The value of `event` to be kept, as a new reference, or NULL to drop the event; called for each in the order of their times. The
 * event is borrowed.
 */
typedef json_t *(*events_take_fn)(void *ctx, json_t *event);

/* Parses --limit; 0: none was given. */
struct error *events_parse_limit(const struct flags *given, size_t *ret) MUST_USE;

/*
 * Requests all pages and appends what `take` returns to `events`. With `limit` > 0 it keeps the latest ones only, and at most twice
 * that number of them in memory. `request` has the query; its `after` is changed.
 */
struct error *events_request(struct session *s, Cteleport__V1__SearchEventsRequest *request, size_t limit, events_take_fn take, void *ctx,
                             json_t **events) MUST_USE;

/* The text of a field, "" if it is missing or no string; borrowed. */
struct str events_text(const json_t *event, const char *key);

/* The array as JSON or as YAML documents, as --format says. */
void events_put(struct buf *out, const struct flags *given, const json_t *events);
/* The same for one object. */
void events_put_one(struct buf *out, const struct flags *given, json_t *object);

#endif
