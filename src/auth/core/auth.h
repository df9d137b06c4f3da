/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Auth Service's process: what its parts share.
 *
 * It decides who joins, owns the store and the audit log, and asks the signer for certificates; the
 * CA keys are not here.
 */
#ifndef AUTH_CORE_AUTH_H
#define AUTH_CORE_AUTH_H

#include "api/service.h"
#include "audit/audit.h"
#include "auth/core/outbox.h"
#include "auth/core/audit_account.h"
#include "auth/core/event_budget.h"
#include "auth/sessions/records.h"
#include "base/budget.h"
#include "base/map.h"
#include "base/shares.h"
#include "join/method.h"
#include "login/guard.h"
#include "net/admission.h"
#include "pki/key.h"
#include "resource/config.h"
#include "rpc/link.h"
#include "store/store.h"

struct caller;
struct passwords;
struct directory;
struct proxies;
struct servers;
struct sources;
struct tls_context;

/* Somebody who reads a recording, piece by piece. */
enum { RECORDING_ACCESSES = 64 };
struct recording_access {
        uint8_t digest[32]; /* of who and which */
        struct instant at;
};

/* The CAs as everybody may know them. */
struct authorities {
        struct arena *arena;
        const Cteleport__Internal__V1__Authorities *all;
        const Cteleport__Internal__V1__Authority *host; /* in all */
        const Cteleport__Internal__V1__Authority *user;
};

struct auth {
        struct loop loop;
        struct service *service;
        struct str cluster;            /* lives with the process */
        struct duration host_cert_ttl;
        struct duration heartbeat_ttl;
        struct join_settings join_settings;
        const struct static_token *static_tokens;
        size_t static_token_count;

        struct store *store;
        struct audit_log *audit;
        struct outbox *outbox;
        struct directory *directory;   /* users, roles and locks; complete before the listener opens */
        struct proxies *proxies;       /* the same */
        struct servers *servers;       /* the same; names and keys of the cluster's own */
        struct link *signer;
        struct link *sts;
        struct authorities authorities;

        struct key tls_key;            /* of this process; never stored */
        struct buf tls_cert;           /* DER, for that key; empty until the signer gave one */
        struct tls_context *tls;
        struct timer *tls_renewal;

        struct caller *callers;
        struct budget unauthenticated_memory; /* of connections whose peers are not known, by source */
        struct budget peers_memory;     /* of those of hosts and users, by their identity */
        struct budget requests;         /* what requests of users and administrators hold while they wait, by identity; total 0: no bound */
        struct budget urgent_requests;  /* the same of locks and removals, when there is no room in the other */
        struct shares identities;       /* how many connections each of those has */
        struct map live;               /* host ID -> struct presence with a connection */
        size_t presence_held, presence_held_max; /* streams of hosts that could poll as well; and their maximum */
        struct tunnels_stream *tunnels; /* of each proxy that says which nodes have a tunnel to it */
        bool is_rechecking_tunnels, recheck_tunnels_again;
        struct sources *sources;       /* connections and joins under way, by the source of their peers; the listener's */
        struct admission joins;        /* attempts in progress */
        struct budget unstored;        /* what nodes have sent and is not on the disk, by host: unstored.h */
        struct shares dials;           /* questions of proxies under way, by user */
        struct auth_listener *listener;
        struct refusal_log *refusal_log;
        struct refusal_log *login_refusals;
        struct refusal_log *session_refusals; /* of dials and logins at nodes; by user, or by host where that tells */
        struct refusal_log *recording_refusals; /* recordings that are none; by host */
        struct user_budget user_events, user_recordings;  /* bytes a day */
        struct event_budget host_events, host_recordings; /* the same */
        struct event_budget accounts[ACCOUNT_COUNT]; /* the same, of what else is audited */
        struct disk_watch *disk;       /* of the audit log; NULL: there is room, for tests */
        struct guard guard;            /* against guessing passwords */
        struct passwords *passwords;   /* the work of checking them */
        struct sessions *sessions;     /* connections to nodes that are going on */
        struct record_disk *record_disk; /* the threads that write them */
        struct map uploads;            /* session ID -> struct upload: recordings that come in now */
        struct recording_access accesses[RECORDING_ACCESSES]; /* that were audited lately */
        struct record_stamps record_stamps; /* of recordings that lists have compared */
        uid_t started_as;              /* the owner of the data directory, who may administer beside root */
        const char *log_dir;           /* events.log and its siblings; lives with the process */
        const char *records_dir;       /* recordings, below log_dir */
        bool is_log_new;               /* this start made log_dir */

        bool is_stopping;
};

/* Begins a record with what every event of this cluster says. */
void auth_audit_begin(struct auth *a, struct audit_record *r, const struct audit_kind *kind);

/* link_request, or UNAVAILABLE from the loop while that process is away (k NULL). */
void auth_request(struct auth *a, struct link *k, uint16_t verb, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *answer_type, struct duration within,
              void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx);

#endif
