/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of the instance process, which makes this host a member of the cluster. Private to src/instance.
 *
 *                  ┌──────────── refused, ended ────────────┐
 *   START ──► CONNECT_TO_JOIN ──► JOIN ──► CONNECT ──► CERTIFY ──► PRESENT
 *     │              ▲             │          ▲ │          │          │
 *     └─ identity ───┼─────────────┼──────────┘ │          │          │
 *                    └──────────── WAIT ◄───────┴──────────┴── lost ──┘
 *
 * A cluster of many hosts requests polls: PRESENT ──► AWAY, without a connection, and CONNECT when the next is due.
 *
 * On the machine of the Auth Service there is no join and no CONNECT: auth identifies the process by its link.
 */
#ifndef INSTANCE_INSTANCE_H
#define INSTANCE_INSTANCE_H

#include "api/service.h"
#include "cluster/auth_client.h"
#include "cluster/connect.h"
#include "instance/app_table.h"
#include "instance/label_values.h"
#include "instance/sibling.h"
#include "instance/presence.h"
#include "instance/status.h"
#include "join/client.h"
#include "loop/conversation.h"
#include "loop/loop.h"
#include "net/tls.h"

/*
 * The roles that this host can have certificates of: its own, then those of the services that join, in the order of the
 * table of services. An element without a role is unused.
 */
enum slot_index { SLOT_INSTANCE, SLOT_NODE, SLOT_PROXY, SLOT_COUNT = 8 };

struct slot {
        const char *role;      /* "Node" */
        const char *service;   /* as Boot names it: "ssh"; NULL: the host itself */
        const char *title;     /* "SSH Service", for users */
        bool is_wanted;
        bool keeps_tunnels;    /* its service keeps tunnels to the proxies, through which users reach it */
        struct host_identity identity;
        struct walltime renew_at;
        bool is_early;         /* its certificate is not valid yet by the cluster's clock: it is replaced */
        bool is_fresh;         /* certified since this process began */
        char *revision_asked;  /* revision of the CAs when the certificate was requested; owned; NULL: not known */
        struct job *storing;   /* a write is under way; NULL: none is */
        bool is_stale;         /* and the identity has been replaced since it began */
        bool is_in_place;      /* its service may use it: the files for sshd are on the disk */
        bool is_unstored;      /* the last write failed and is repeated by a timer */
        bool is_reported_stored, is_reported_unstored;
        char *refusal;         /* the cluster's reason for refusing it, as last logged; owned */
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
        bool is_stopping;                            /* stopping; the host may still leave the cluster */
        bool has_stopped;                            /* stopped; no further requests are sent */

        struct slot slots[SLOT_COUNT];
        struct status status;
        struct conversation at;
        struct timer *wait;      /* until the next try, or the next poll */
        struct instant poll_at; /* when that is, while away */
        struct timer *renewal;   /* until the first certificate is in the middle of its life */
        struct timer *clock_check; /* PACE_CLOCK_CHECK */
        struct instant early_at;   /* when a certificate was last found to be early; 0: never */
        struct cert_watch *cert_watch; /* of the certificates of `slots`: a renewal that fails for long */
        struct timer *store_again; /* an identity that could not be stored */
        struct backoff backoff;
        struct walltime joined_before; /* the age of data_dir/host_uuid when we started: it is written once a membership; 0: none */
        struct buf ca_file;      /* data_dir/ca.cert, empty when there is none */
        struct buf roots;        /* contents of SSL_CERT_FILE and SSL_CERT_DIR; empty when this process can open them */
        struct connect_trust trust;
        char *reported[2];           /* the last logged errors of connecting and of joining, so that retries do not repeat them */

        /* joining */
        struct connect_way ways[CONNECT_WAYS_MAX];
        size_t way_count, way;
        struct error *join_err;  /* of the ways tried so far */
        struct connect *connect;
        struct rpc_client *join_rpc; /* the connection to join on */
        struct join_client *join;
        struct join_client_options join_options;
        struct host_keys join_keys; /* keys of failed joins, kept until one succeeds */
        char *own_host_id; /* ID chosen for the older join service, until the host has joined; NULL: none yet */
        int64_t helper_number;   /* of the last helper that was requested; its client is join_options.helper */
        uint8_t channel_binding[TLS_CHANNEL_BINDING_SIZE]; /* of the connection to join on */
        size_t legacy_slot;      /* role being joined with the older service, which issues one role at a time */
        bool is_identity_suspect; /* the cluster refused our identity: try joining again */
        bool has_joined;         /* this process has joined, and the host was not welcomed since */

        /* connected */
        struct auth_client *auth; /* NULL: this process ends */
        bool is_requesting_auth;  /* waits for a link to a local auth */
        size_t certify_slot;
        struct host_keys certify_keys;
        bool must_reconnect;     /* the Instance certificate is new and to be used */
        char *certify_revision;  /* ca_revision at the last request; owned */
        char *ca_revision;       /* of the cluster's CAs, as last reported; owned; NULL: not reported yet */
        bool must_report;        /* the certificates are of another revision than the last hello said */
        struct presence *presence;
        bool is_listed;
        bool has_tunnel;         /* of each service that keeps tunnels: to at least one proxy, under the current host ID */
        bool has_had_tunnel;     /* in this run */
        bool is_locked;          /* the last refusal was because of a lock */
        bool is_clock_off;       /* this was logged */
        char process_nonce[33];

        struct sibling *siblings[SLOT_COUNT]; /* the process that requests the identity of this index; NULL: none */
        struct proxy_list *proxies;
        char *local_proxy;       /* address of the proxy on the machine of auth; NULL: there is none */
        struct app_table *apps;      /* NULL: no Application Service runs here */
        enum slot_index app_slot;    /* of it; SLOT_COUNT: none */
        bool has_unreported_apps;    /* it offers others since the last report */
        struct label_values *labels; /* NULL when none are configured */
        bool has_unreported_labels;  /* a value has changed since the last report */
};

/* ---- instance.c ------------------------------------------------------------------------------------ */

/* Begins the next step when idle: joins, connects or requests certificates. */
void instance_go_on(struct instance *i);
/* The current attempt failed (err is owned): logs the error once and tries again after a pause. */
void instance_failed(struct instance *i, struct error *err);
/* The pause after err before the next attempt. */
struct duration instance_pause_after(struct instance *i, const struct error *err);
/* The current attempt succeeded: resets the pause and the logged errors. */
void instance_succeeded(struct instance *i);
/* Closes the connections for the join and to auth, and ends the operations on them. */
void instance_hang_up(struct instance *i);
void instance_on_rpc_closed(void *ctx, struct error *err);
/* The connection to auth; NULL: there is none now. */
struct rpc_client *instance_auth(const struct instance *i);
/*
 * Stores by how much the cluster's clock is ahead of this host's, and logs when the difference becomes too large or
 * acceptable again.
 */
void instance_report_skew(struct instance *i, struct duration skew);
/* Sets the status to whether users can connect to this host. */
void instance_show_state(struct instance *i);
/* Whether one of its services keeps tunnels to the proxies. */
bool instance_keeps_tunnels(const struct instance *i);

/* ---- identity_store.c: the identities of this host ---------------------------------------------------------- */

/* Detaches running writes, which are completed in the background. To be called before the rest of the instance is freed. */
void identity_store_release(struct instance *i);
/* Warns in the log and the status from now on if a certificate is near its end; requires the status. Ends with cert_watch_free(). */
void identity_store_watch(struct instance *i);
/* Loads the identities from the disk. */
void identity_store_load(struct instance *i);
/*
 * Finds certificates that are not valid yet by the cluster's clock, which is `skew` ahead of this host's: it was set back after it had issued them.
 * Marks them as due, and returns whether there are some; no more than once in PACE_CLOCK_CHECK.
 */
bool identity_store_mark_early(struct instance *i, struct duration skew);
/* Stores identities again whose last write failed. */
void identity_store_store_again(struct instance *i);
/* Takes over a new identity (moved): stores it, sends it to the waiting process, and schedules its renewal. */
void instance_take_identity(struct instance *i, enum slot_index slot, struct host_identity *identity);
/* Updates the proof in the Instance identity after another join with the older service. */
void identity_store_note_proof(struct instance *i, const struct host_identity *joined);
/* Starts the timer for the first certificate that is due. */
void instance_plan_renewal(struct instance *i);

/* ---- member.c: joining and connecting ------------------------------------------------------------------ */

void member_join(struct instance *i);
/* Reports the helper process of the join method: started (fd is owned), or failed with an error. */
void member_connect_helper(struct instance *i, int64_t number, int fd, const char *why);
/* Drops the helper, whether it was used or not. */
void member_drop_helper(struct instance *i);
void member_connect(struct instance *i);

/* ---- certify.c: certificates of the roles, then presence --------------------------------------------------- */

/*
 * Requests missing and expiring certificates, one after the other; then begins presence, or CONNECT if the Instance
 * certificate is new.
 */
void certify_begin(struct instance *i);
/* Checks from now on, every PACE_CLOCK_CHECK, whether the cluster's clock has been set back behind the begin of a certificate. */
void certify_watch_clock(struct instance *i);
/* Reports the values of command labels to the cluster if a stream is open; while AWAY, schedules an early poll. */
void instance_report_labels(struct instance *i);
/* The same for the names of the applications that this host offers. */
void instance_report_apps(struct instance *i);

#endif
