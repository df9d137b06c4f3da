/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of hosts that may hold certificates, and of the names they took.
 */
#ifndef AUTH_HOSTS_HOSTS_H
#define AUTH_HOSTS_HOSTS_H

#include "auth/core/auth.h"
#include "pki/cert.h"
#include "state.pb-c.h"

#define HOST_PREFIX STR("/hosts/")
#define NAME_PREFIX STR("/names/")
#define PRESENCE_PREFIX STR("/presence/")

/*
 * A stored record that cannot be read (err owned; NULL: it can) is told in the log, and otherwise as if it were not there: one
 * of them must not end a listing, or the process. Whether a record that is looked for by its key may be missing is for its owner.
 */
void record_skip(struct str key, struct error *err);

void host_key(struct str host_id, struct buf *out);
void name_key(struct str host_name, struct str cluster, struct buf *out); /* canonical form: see name_put_canonical */
void presence_key(struct str host_id, struct buf *out);

/*
 * Who may take a name that is taken: the AWS account with the ARN less the part a session
 * chooses ("iam:123456789012:arn:aws:sts::123456789012:assumed-role/web"), or the digest of a secret
 * token. A machine replaced by the next of its group keeps its name; a stranger does not get it. A host ID is
 * closer: see host_is_attested_as().
 */
void host_binding_iam(struct str account, struct str arn, struct buf *out);
void host_binding_token(struct str token_name, struct buf *out);

/*
 * Whether this very identity took the host ID: the account and the whole ARN with its session, which on EC2 is the
 * instance. Another instance of the same role is another host.
 */
bool host_is_attested_as(const Cteleport__State__V1__Host *host, struct str account, struct str arn);

/*
 * Whether this identity may take a host ID; host: who has it, or NULL. That is who took it before, and for an ID of EC2's form,
 * "ACCOUNT-i-INSTANCE", which says what machine it is, the account and the session that AWS gives to this instance.
 */
struct error *host_check_claim(const Cteleport__State__V1__Host *host, struct str host_id, struct str account, struct str arn) MUST_USE;

/*
 * Whether a certificate is of an earlier holder of the host's ID: the older service lets a host pick its ID, one that was
 * removed too.
 */
bool host_is_later_than(const Cteleport__State__V1__Host *host, struct cert_issue cert);

/* Whether the host has joined with the role; Instance is every host's. */
bool host_has_role(const Cteleport__State__V1__Host *host, struct str role);

/*
 * The record of an item below HOST_PREFIX, in the arena, with what host_put() leaves out because the rest of the item says it:
 * the ID, and the binding of a host that joined by IAM.
 */
struct error *host_read(struct arena *arena, const struct store_item *item, Cteleport__State__V1__Host **ret) MUST_USE;
void host_put(struct store_txn *t, const Cteleport__State__V1__Host *host, struct walltime expires);

/* Who has a name, and may take it. A digest is kept of the binding: there is a name for each host, and nobody reads it. */
void name_put(struct store_txn *t, struct str key, struct str host_id, struct str binding, struct walltime expires);
bool name_is_bound_to(const Cteleport__State__V1__Name *name, struct str binding);

/* Reads a host's record; record borrowed until done returns, NULL without err: there is none. */
void host_find(struct auth *a, struct str host_id,
               void (*done)(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err), void *ctx);

/* The same for who has a name. */
void name_find(struct auth *a, struct str host_name,
               void (*done)(void *ctx, const Cteleport__State__V1__Name *name, uint64_t revision, struct error *err), void *ctx);

/* A deep copy of a message of ours in the arena. */
struct error *message_copy(struct arena *arena, const ProtobufCMessage *msg, ProtobufCMessage **ret) MUST_USE;

/* Packs msg and adds the put to t. */
void store_txn_put_message(struct store_txn *t, struct str key, const ProtobufCMessage *msg, struct walltime expires);

#endif
