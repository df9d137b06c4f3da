/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One presence stream, as presence.c (the stream), presence_record.c (what is written down of it) and
 * presence_duplicates.c (others with the same host ID) share it.
 */
#ifndef AUTH_HOSTS_PRESENCE_INTERNAL_H
#define AUTH_HOSTS_PRESENCE_INTERNAL_H

#include "api.pb-c.h"
#include "auth/hosts/presence.h"

struct presence {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the stream is gone, an answer of the store is under way */
        struct arena *arena;   /* of `record` */
        Cteleport__State__V1__Presence *record; /* NULL before the host was found */
        const Cteleport__V1__PresenceUp__Hello *hello; /* in arena */
        struct arena *commands; /* of the labels that came after the hello; NULL: none did */
        struct walltime sent_hello;
        struct str nonce; /* of the agent's process */
        bool is_finding;
        bool has_reserved_labels; /* announced some, which were dropped */
        bool is_here;    /* has been let in, and is on the list of those with its host ID */
        bool is_held;    /* counted in auth->presence_held */
        bool is_poll;   /* is welcomed, and ends, when its record is written and its duplicate has answered */
        bool is_regular; /* a poll that was due */
        bool is_written; /* once at least */
        bool is_writing, is_dirty; /* a write is under way; something changed since */
        /* Those with the same host ID: the next younger and the next elder. auth->live has the youngest. */
        struct presence *above, *below;
        char ping[40]; /* not empty while we wait whether this one still lives, now that one is above it */
        struct timer *ping_deadline;
};

/* ---- presence.c -------------------------------------------------------------------------------------- */

void presence_send(struct presence *p, Cteleport__V1__PresenceDown *down);
/* Something for the host's operator. */
void presence_notice(struct presence *p, const char *kind, const char *text);
/* Ends the stream (err is owned); p may be gone afterwards. */
void presence_finish(struct presence *p, struct error *err);
/* Ends a poll for which nothing is awaited any more; p may be gone afterwards. */
void presence_settle(struct presence *p);

/* ---- presence_record.c ----------------------------------------------------------------------------------- */

/* Whether the hello says only what such a host may say. */
struct error *presence_check_hello(const Cteleport__V1__PresenceUp__Hello *hello, const Cteleport__State__V1__Host *host) MUST_USE;
struct error *presence_check_commands(Cteleport__V1__CommandLabel *const *commands, size_t count) MUST_USE;
/* Keeps, in place, the labels that a host may set; how many they are. */
size_t presence_keep_labels(Cteleport__V1__PresenceUp__Hello__LabelsEntry **labels, size_t count) MUST_USE;
size_t presence_keep_commands(Cteleport__V1__CommandLabel **commands, size_t count) MUST_USE;
bool presence_announces_proxy(const Cteleport__V1__PresenceUp__Hello *hello);
/* Makes p->record of the host's and of the hello. */
void presence_fill_record(struct presence *p, const Cteleport__State__V1__Host *host);

/* ---- presence_duplicates.c ------------------------------------------------------------------------------------ */

/*
 * Lets p in beside those with its host ID: an earlier stream of the same agent ends, another agent is asked
 * whether it still lives.
 */
void duplicates_enter(struct presence *p);
void duplicates_leave(struct presence *p);
void duplicates_on_pong(struct presence *p, struct str nonce);

/*
 * Notes in `record` (what it keeps is in the arena) which agent this is, and which ones were here before by
 * what the store has, `known` (NULL: nothing). True when this agent was replaced by another and came back:
 * both live.
 */
bool duplicates_remember(struct arena *arena, struct str nonce, const Cteleport__State__V1__Presence *known,
                     Cteleport__State__V1__Presence *record) MUST_USE;
/* Tells of p, which came back, and of the one that was here in between. */
void duplicates_report_returned(struct presence *p, const Cteleport__State__V1__Presence *known);

#endif
