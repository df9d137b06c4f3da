/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that makes this host a member of the cluster: what its parts share. Private to src/instance.
 *
 *                  ┌──────────── refused, ended ────────────┐
 *   START ──► CONNECT_TO_JOIN ──► JOIN ──► CONNECT ──► CERTIFY ──► PRESENT
 *     │              ▲             │          ▲ │          │          │
 *     └─ identity ───┼─────────────┼──────────┘ │          │          │
 *                    └──────────── WAIT ◄───────┴──────────┴── lost ──┘
 *
 * A cluster of many hosts requests polls: PRESENT ──► AWAY, without a connection, and CONNECT when the next is due.
 *
 * On the machine of the Auth Service there is no join and no CONNECT: the link to auth says who we are.
 */
#ifndef INSTANCE_INSTANCE_H
#define INSTANCE_INSTANCE_H

#include "api/service.h"
#include "cluster/auth_client.h"
#include "cluster/connect.h"
#include "instance/label_values.h"
#include "instance/sibling.h"
#include "instance/presence.h"
#include "instance/status.h"
#include "join/client.h"
#include "loop/conversation.h"
#include "loop/loop.h"
#include "net/tls.h"

/*
 * The roles that this host can have certificates of: its own, then those of the services that join, in the order of the table
 * of services. A slot without a role is unused.
 */
enum slot_index { SLOT_INSTANCE, SLOT_NODE, SLOT_PROXY, SLOT_COUNT = 8 };

struct slot {
        const char *role;      /* "Node" */
        const char *service;   /* as Boot names it: "ssh"; NULL: the host itself */
        const char *title;     /* "SSH Service", for users */
        bool is_wanted;
        struct host_identity identity;
        struct walltime renew_at;
        bool is_fresh;         /* certified since this process began */
        struct job *storing;   /* a write is under way; NULL: none is */
        bool is_stale;         /* and it is of an older identity already */
        bool is_in_place;      /* its service may use it: what sshd reads of it is on the disk */
        bool is_unstored;      /* the last write failed: once more when the timer says so */
        bool is_reported_stored, is_reported_unstored;
        char *refusal;         /* why the cluster does not give it, as last logged; owned */
};

enum instance_state {
        INSTANCE_START,
        INSTANCE_CONNECT_TO_JOIN,
        INSTANCE_JOIN,
        INSTANCE_CONNECT,
        INSTANCE_CERTIFY,
        INSTANCE_PRESENT,
        INSTANCE_AWAY,
        INSTANCE_WAIT,
};

struct instance {
        struct loop loop;
        struct service *service;
        const Cteleport__Internal__V1__Boot *boot;
        const Cteleport__Internal__V1__InstanceBoot *own; /* its own part; never NULL */
        const Cteleport__V1__TeleportConfig *config; /* never NULL */
        struct str proxy_server, auth_server;        /* one of them, or neither on the machine of auth */
        bool is_local;                               /* auth runs on this machine, as a sibling process */
        bool is_stopping;                            /* may still take leave of the cluster */
        bool has_stopped;                            /* and asks nobody any more */

        struct slot slots[SLOT_COUNT];
        struct status status;
        struct conversation at;
        struct timer *wait;      /* until the next try, or the next poll */
        struct instant poll_at; /* when that is, while away */
        struct timer *renewal;   /* until the first certificate is in the middle of its life */
        struct timer *store_again; /* an identity that could not be stored */
        struct backoff backoff;
        struct walltime joined_before; /* the age of data_dir/host_uuid when we started: it is written once a membership; 0: none */
        struct buf ca_file;      /* data_dir/ca.cert, empty when there is none */
        struct buf roots;        /* of SSL_CERT_FILE and SSL_CERT_DIR; empty when this process can open them itself */
        struct connect_trust trust;
        char *reported[2];           /* the failures last reported, of connecting and of joining: retries are silent */

        /* joining */
        struct connect_way ways[CONNECT_WAYS_MAX];
        size_t way_count, way;
        struct error *join_err;  /* of the ways tried so far */
        struct connect *connect;
        struct rpc_client *join_rpc; /* the connection to join on */
        struct join_client *join;
        struct join_client_options join_options;
        struct host_keys join_keys; /* of joins that failed, until one succeeds */
        char *own_host_id; /* for the older join service, until the cluster has taken this host; NULL: none yet */
        int64_t helper_number;   /* of the last helper that was requested; its client is join_options.helper */
        uint8_t channel_binding[TLS_CHANNEL_BINDING_SIZE]; /* of the connection to join on */
        size_t legacy_slot;      /* the older service gives one role at a time */
        bool is_suspect;         /* the cluster refused our identity: try joining again */
        bool has_joined;         /* in this process, and was not seen listed since */

        /* connected */
        struct auth_client *auth; /* NULL: this process ends */
        bool is_requesting_auth;  /* waits for a link to a local auth */
        size_t certify_slot;
        struct host_keys certify_keys;
        bool must_reconnect;     /* the Instance certificate is new: use it */
        struct presence *presence;
        bool is_listed;
        bool has_tunnel;         /* to a proxy at least, under the ID that this host has now */
        bool is_locked;          /* the last refusal was that of a lock */
        bool is_clock_off;       /* and it has been logged */
        char process_nonce[33];

        struct sibling *siblings[SLOT_COUNT]; /* who asks for the identity of a slot; NULL when there is none */
        struct proxy_list *proxies;
        char *local_proxy;       /* where the proxy beside our own auth listens; NULL: there is none */
        struct label_values *labels; /* NULL when none are configured */
        bool has_unreported_labels;  /* one has changed since they were last reported */
};

/* ---- instance.c ------------------------------------------------------------------------------------ */

/* Does what is next from rest: joins, connects or asks for certificates. */
void instance_go_on(struct instance *i);
/* The present try failed (err is owned): tells it once, then tries again after a pause. */
void instance_failed(struct instance *i, struct error *err);
/* How long to wait after err before the next try. */
struct duration instance_pause_after(struct instance *i, const struct error *err);
/* What went well: forgets failures. */
void instance_succeeded(struct instance *i);
/* Closes the connections, to join on and to auth, and ends what runs on them. */
void instance_hang_up(struct instance *i);
void instance_on_rpc_closed(void *ctx, struct error *err);
/* The connection to auth; NULL: there is none now. */
struct rpc_client *instance_auth(const struct instance *i);
/* Notes how far the cluster's clock is ahead of ours; tells the operator when that begins or stops to matter. */
void instance_report_skew(struct instance *i, struct duration skew);
/* Notes in the status whether this host is connected, as far as a user who dials it is concerned. */
void instance_show_state(struct instance *i);

/* ---- identity_store.c: the identities of this host ---------------------------------------------------------- */

/* Lets go of writes that are under way, which are done all the same. Before the rest of the instance goes. */
void identity_store_release(struct instance *i);
/* Loads what is on disk. */
void identity_store_load(struct instance *i);
/* Stores those identities that the disk did not take before. */
void identity_store_store_again(struct instance *i);
/* Takes a new identity (moved in): stores it soon, tells who waits for it, plans its renewal. */
void instance_take_identity(struct instance *i, enum slot_index slot, struct host_identity *identity);
/* The older service was joined once more, by another proof: notes that in the Instance identity. */
void identity_store_note_proof(struct instance *i, const struct host_identity *joined);
/* Starts the timer for the first certificate that is due. */
void instance_plan_renewal(struct instance *i);

/* ---- member.c: joining and connecting ------------------------------------------------------------------ */

void member_join(struct instance *i);
/* The helper of the join method runs (fd is owned), or will not, and why. */
void member_connect_helper(struct instance *i, int64_t number, int fd, const char *why);
/* Lets go of it, whether it is used or not. */
void member_drop_helper(struct instance *i);
void member_connect(struct instance *i);

/* ---- certify.c: certificates of the roles, then presence --------------------------------------------------- */

/* Asks for what is missing or due, one after the other; then presence, or CONNECT if the Instance certificate is new. */
void certify_begin(struct instance *i);
/* Reports the values of command labels to the cluster, if a stream is open; while AWAY, at an early poll. */
void instance_report_labels(struct instance *i);

#endif
