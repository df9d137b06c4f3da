/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of one presence stream, shared by presence.c (the stream), presence_record.c (its stored record) and
 * presence_duplicates.c (other streams with the same host ID).
 */
#ifndef AUTH_HOSTS_PRESENCE_INTERNAL_H
#define AUTH_HOSTS_PRESENCE_INTERNAL_H

#include "api.pb-c.h"
#include "auth/hosts/presence.h"

struct presence {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the stream has ended, an operation of the store is running */
        struct arena *arena;   /* of `record` */
        Cteleport__State__V1__Presence *record; /* NULL before the host was found */
        const Cteleport__V1__PresenceUp__Hello *hello; /* in arena */
        struct arena *commands; /* of the labels received after the hello; NULL: none */
        Cteleport__V1__PresenceUp__AppLabel **app_labels; /* by commands, received last */
        size_t app_label_count;
        struct walltime sent_hello;
        struct str nonce; /* of the agent's process */
        bool is_finding;
        bool has_reserved_labels; /* it announced reserved labels, which were dropped */
        bool is_here;    /* accepted, and on the list of streams with its host ID */
        bool is_held;    /* counted in auth->presence_held */
        bool is_poll;   /* a poll: gets the welcome and ends once its record is written and its duplicate has answered */
        bool is_regular; /* a poll on schedule */
        bool is_written; /* once at least */
        bool is_writing, is_dirty; /* a write is under way; something changed since */
        struct instant writes_until; /* when the writes so far are at their pace */
        struct timer *write_pace;    /* runs while a write waits for it */
        /* The next newer and next older stream with the same host ID. auth->live has the newest. */
        struct presence *above, *below;
        char ping[40]; /* not empty while the answer to a ping is awaited, which shows whether this older stream is alive */
        struct timer *ping_deadline;
        struct app_selection *apps; /* resources that it is to offer; NULL: it has no matchers */
        char *apps_warning;         /* that the operator of the host was sent last; owned */
};

/* ---- presence.c -------------------------------------------------------------------------------------- */

void presence_send(struct presence *p, Cteleport__V1__PresenceDown *down);
/* Sends a notice for the operator of the host. */
void presence_notice(struct presence *p, const char *kind, const char *text);
/* Ends the stream (err is owned); p may be freed afterwards. */
void presence_finish(struct presence *p, struct error *err);
/* Ends a poll when nothing is pending for it; p may be freed afterwards. */
void presence_settle(struct presence *p);
/* Writes the record, at a limited pace. */
void presence_write(struct presence *p);

/* ---- presence_apps.c --------------------------------------------------------------------------------- */

/* Begins to follow the resources that the host is to offer. */
void presence_select_apps(struct presence *p);
/* Sends them all to the host. */
void presence_send_apps(struct presence *p);
/* The host offers these now. p may be freed afterwards. */
void presence_offer_apps(struct presence *p, const Cteleport__V1__PresenceUp__Apps *sent);
/* Sets the applications of the record, in the arena, until the next turn of the loop. */
void presence_put_apps(struct presence *p, struct arena *arena);

/* ---- presence_record.c ----------------------------------------------------------------------------------- */

/* Checks that the hello contains only claims that this host may make. */
struct error *presence_check_hello(const Cteleport__V1__PresenceUp__Hello *hello, const Cteleport__State__V1__Host *host) MUST_USE;
struct error *presence_check_commands(Cteleport__V1__CommandLabel *const *commands, size_t count) MUST_USE;
struct error *presence_check_app_labels(Cteleport__V1__PresenceUp__AppLabel *const *labels, size_t count) MUST_USE;
/* Removes, in place, the labels that a host may not set. Returns the number of the others. */
size_t presence_keep_labels(Cteleport__V1__PresenceUp__Hello__LabelsEntry **labels, size_t count) MUST_USE;
size_t presence_keep_commands(Cteleport__V1__CommandLabel **commands, size_t count) MUST_USE;
size_t presence_keep_app_labels(Cteleport__V1__PresenceUp__AppLabel **labels, size_t count) MUST_USE;
bool presence_announces_proxy(const Cteleport__V1__PresenceUp__Hello *hello);
/* Fills p->record from the host's record and the hello. */
void presence_fill_record(struct presence *p, const Cteleport__State__V1__Host *host);

/* ---- presence_duplicates.c ------------------------------------------------------------------------------------ */

/*
 * Adds p to the list of streams with its host ID: an earlier stream of the same agent is ended, another agent is
 * pinged.
 */
void duplicates_enter(struct presence *p);
void duplicates_leave(struct presence *p);
void duplicates_on_pong(struct presence *p, struct str nonce);

/*
 * Stores in `record` (in the arena) the nonce of this agent and those of earlier agents, from the stored record `known`
 * (NULL: none). Returns true when this agent had been replaced by another one and has returned: both are running.
 */
bool duplicates_remember(struct arena *arena, struct str nonce, const Cteleport__State__V1__Presence *known,
                     Cteleport__State__V1__Presence *record) MUST_USE;
/* Reports the duplicate p, which has returned, and the agent that had replaced it. */
void duplicates_report_returned(struct presence *p, const Cteleport__State__V1__Presence *known);

#endif
