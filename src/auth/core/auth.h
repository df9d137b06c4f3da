/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of the Auth Service process that its modules share.
 *
 * The process decides on joins, owns the store and the audit log, and requests certificates from the signer. It has no
 * CA keys.
 */
#ifndef AUTH_CORE_AUTH_H
#define AUTH_CORE_AUTH_H

#include "api/service.h"
#include "audit/audit.h"
#include "auth/core/outbox.h"
#include "auth/core/audit_account.h"
#include "auth/core/event_budget.h"
#include "auth/core/host_pace.h"
#include "auth/sessions/records.h"
#include "base/budget.h"
#include "base/map.h"
#include "base/shares.h"
#include "join/method.h"
#include "login/guard.h"
#include "net/admission.h"
#include "net/ingress.h"
#include "pki/key.h"
#include "resource/config.h"
#include "rpc/link.h"
#include "store/store.h"

struct app_catalog;
struct caller;
struct passwords;
struct directory;
struct locate;
struct proxies;
struct record_retention;
struct retention;
struct retention_clock;
struct rotation;
struct expiry;
struct servers;
struct sources;
struct tls_context;
struct web_sessions;

/* One user's reading of one recording, which takes many requests but is audited once. */
enum { RECORDING_ACCESSES = 64 };
struct recording_access {
        uint8_t digest[32]; /* of the user and the recording */
        struct instant at;
};

/* The certificates and public keys of the CAs. */
struct authorities {
        struct arena *arena;
        const Cteleport__Internal__V1__Authorities *all;
        const Cteleport__Internal__V1__Authority *host; /* in all */
        const Cteleport__Internal__V1__Authority *user;
        const Cteleport__Internal__V1__Authority *jwt; /* signs tokens for applications; has no key if it could not be made yet */
        char revision[256]; /* changes with each step of a rotation that hosts follow; "": those of the first start */
};

struct auth {
        struct loop loop;
        struct service *service;
        struct str cluster;            /* valid as long as the process */
        struct duration host_cert_ttl;
        struct duration heartbeat_ttl;
        uint32_t agent_connections; /* proxies to which an agent keeps tunnels; 0: to each. Otherwise proxies relay to each other */
        struct join_settings join_settings;
        const struct static_token *static_tokens;
        size_t static_token_count;

        struct store *store;
        struct audit_log *audit;
        struct outbox *outbox;
        struct directory *directory;   /* users, roles and locks; read completely before the listener opens */
        struct proxies *proxies;       /* the same */
        struct web_sessions *web_sessions; /* the same; NULL in tests: there are none */
        struct servers *servers;       /* the same; names and keys of the cluster's servers */
        struct timer *app_addresses;   /* until the proxies get those that have changed; made when first needed */
        char *app_conflicts;           /* of addresses, which the log has; NULL: none */
        struct app_catalog *apps;      /* the same; resources of kind app. NULL in tests that need none */
        struct record_cache *tokens;   /* of the tokens that joins use; NULL in tests, where each is read from the store */
        struct link *signer;
        struct link *sts;
        struct authorities authorities;
        struct expiry *expiry;         /* warnings before CAs expire */
        struct rotation *rotation;     /* of the CAs; NULL in tests */

        struct key tls_key;            /* of this process; never stored */
        struct buf tls_cert;           /* DER, for that key; empty until the signer gave one */
        struct buf tls_ca;             /* the CA that signed it, DER */
        struct tls_context *tls;
        struct timer *tls_renewal;

        struct caller *callers;
        struct budget unauthenticated_memory; /* of connections whose peers are not known, by source */
        struct budget peers_memory;     /* of those of hosts and users, by their identity */
        struct budget requests;         /* memory of waiting requests of users and administrators, by identity; total 0: none */
        struct budget urgent_requests;  /* the same for locks and removals, used when `requests` is spent */
        struct shares identities;       /* number of connections of each identity */
        struct map live;               /* host ID -> struct presence with a connection */
        size_t presence_held, presence_held_max; /* open streams of hosts that support polling; and their maximum */
        size_t presence_held_apps_max; /* how many more hosts with matchers may have */
        struct tunnels_stream *tunnels; /* one for each proxy that reports its tunnels */
        struct locate *locates;         /* proxies that wait for a tunnel of a host */
        size_t locate_count;
        bool is_rechecking_tunnels, recheck_tunnels_again;
        struct timer *tunnels_recheck; /* after a failed check of all hosts; made when first needed */
        struct locked_host *locked_hosts; /* whose tunnels stay open for their connections, and not for long */
        struct ingress ingress;        /* load balancers that may announce clients */
        struct sources *sources;       /* running connections and joins, by the peers' source addresses; owned by the listener */
        struct admission joins;        /* attempts in progress */
        struct budget unstored;        /* data received from nodes that is not on the disk yet, by host: unstored.h */
        struct shares dials;           /* running Dial requests, by user */
        struct auth_listener *listener;
        struct refusal_log *refusal_log;
        struct refusal_log *login_refusals;
        struct refusal_log *session_refusals; /* of dials and of logins to nodes; by user, or by host for reports of hosts */
        struct refusal_log *app_failures;       /* failed authentications at applications, by the proxy that reports them */
        struct refusal_log *recording_refusals; /* malformed recordings, by host */
        struct user_budget user_events, user_recordings;  /* bytes a day */
        struct event_budget host_events, host_recordings; /* the same */
        struct event_budget accounts[ACCOUNT_COUNT]; /* the same, for other audited actions */
        struct event_budget connection_events; /* of one connection, by its ID */
        struct host_pace renewals, hellos, presence_messages;
        struct host_pace app_tokens, app_tokens_connection; /* the latter by connection */
        struct host_pace app_session_begins; /* by user */
        struct store_probe *store_probe; /* NULL unless metrics are recorded */
        struct retention_settings retention_settings;
        struct retention_clock *retention_clock; /* the time by which files expire */
        struct retention *retention;   /* of the audit log's files */
        struct record_retention *record_retention;
        struct disk_watch *disk;       /* of the audit log; NULL in tests: the disk has space */
        struct guard guard;            /* against guessing passwords */
        struct passwords *passwords;   /* the queue of password checks */
        struct sessions *sessions;     /* running connections to nodes */
        struct record_disk *record_disk; /* the threads that write recordings */
        struct map uploads;            /* session ID -> struct upload: recordings being received */
        struct recording_access accesses[RECORDING_ACCESSES]; /* recently audited */
        struct record_stamps record_stamps; /* versions of records of recordings that listings have compared with their files */
        uid_t started_as;              /* the owner of the data directory, an administrator beside root */
        const char *log_dir;           /* directory of events.log and its rotated files; valid as long as the process */
        const char *records_dir;       /* recordings, below log_dir */
        bool is_log_new;               /* this start created log_dir */
        struct backup *backup;         /* the copy of the store that a client reads; NULL: none (admin/backup.c) */

        bool is_stopping;
};

/* Begins a record with the fields that all events of this cluster have. */
void auth_audit_begin(struct auth *a, struct audit_record *r, const struct audit_kind *kind);

/*
 * Uses new authorities: peers are verified by them from now on, this process gets a certificate of the CA that signs, and then
 * reports the change to hosts.
 */
struct error *auth_use_authorities(struct auth *a) MUST_USE;

/* Sends a request with link_request(). While the process is not connected (k is NULL), done gets UNAVAILABLE from the loop. */
void auth_request(struct auth *a, struct link *k, uint16_t verb, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *answer_type, struct duration within,
              void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx);

#endif
