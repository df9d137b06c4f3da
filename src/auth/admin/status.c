/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/request.h"
#include "auth/core/disk_watch.h"
#include "auth/hosts/app_addresses.h"
#include "auth/certs/expiry.h"
#include "auth/certs/rotation.h"
#include "auth/core/audit_account.h"
#include "pki/cert.h"
#include "pki/public_key.h"
#include "rpc/pb.h"

/* The signer answers in less than a millisecond; after this time it counts as hanging. */
#define SIGNER_TIMEOUT SECONDS(5)

/* A user sees the names of hosts only with a permission for the CAs: they may be nodes that no role of the user permits. */
static bool may_see_hosts(const struct admin_request *q)
{
        struct access_user user;

        if (str_is_empty(q->user))
                return true;
        AUTO_PTR(error) err = admin_user(q, &user);
        return err == NULL && (access_may(&user, "cert_authority", ACCESS_READ) == ACCESS_ALL ||
                               access_may(&user, "cert_authority", ACCESS_CREATE | ACCESS_UPDATE) == ACCESS_ALL);
}

static const char *token_algorithm(ProtobufCBinaryData spki)
{
        struct public_key key;
        AUTO_PTR(error) err = public_key_of_spki(pb_str(spki), &key);

        return err == NULL && key.kind == PUBLIC_KEY_RSA ? "RSA 2048" : "ECDSA P-256";
}

/* Appends keys of one protocol to the status; the first one signs. algorithm NULL: that of each key. */
static void add_keys(struct arena *arena, Cteleport__V1__AuthorityStatus *status, const char *protocol, const char *algorithm,
                     const ProtobufCBinaryData *keys, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                Cteleport__V1__AuthorityKey *key = arena_alloc(arena, sizeof *key);

                cteleport__v1__authority_key__init(key);
                key->protocol = pb_text(protocol);
                key->status = pb_text(i == 0 ? "active" : "trusted");
                key->algorithm = pb_text(algorithm == NULL ? token_algorithm(keys[i]) : algorithm);
                key->storage = pb_text("software");
                key->public_ = keys[i];
                status->keys[status->n_keys++] = key;
        }
}

static Cteleport__V1__AuthorityStatus *describe_authority(struct admin_request *q, const Cteleport__Internal__V1__Authority *authority,
                                                          const struct hosts_behind *behind)
{
        struct arena *arena = q->arena;
        Cteleport__V1__AuthorityStatus *status = arena_alloc(arena, sizeof *status);
        size_t count = authority->n_ssh_keys + authority->n_tls_certs + authority->n_jwt_keys;

        cteleport__v1__authority_status__init(status);
        status->type = authority->type;
        rotation_describe(q->auth->rotation, authority->type, arena, status);
        status->hosts_behind = behind == NULL ? 0 : behind->count;
        status->hosts_behind_names = arena_alloc(arena, HOSTS_BEHIND_NAMED * sizeof *status->hosts_behind_names);
        bool has_names = behind != NULL && behind->count > 0 && may_see_hosts(q);
        for (size_t i = 0; has_names && i < HOSTS_BEHIND_NAMED && behind->names[i].len > 0; i++)
                status->hosts_behind_names[status->n_hosts_behind_names++] = pb_text(arena_str(arena, buf_str(&behind->names[i])).ptr);
        status->keys = arena_alloc(arena, count * sizeof *status->keys);
        add_keys(arena, status, "SSH", "Ed25519", authority->ssh_keys, authority->n_ssh_keys);
        add_keys(arena, status, "TLS", "ECDSA P-256", authority->tls_certs, authority->n_tls_certs);
        add_keys(arena, status, "JWT", NULL, authority->jwt_keys, authority->n_jwt_keys);
        return status;
}

static void describe_disk(struct admin_request *q, Cteleport__V1__ClusterStatusResponse *response)
{
        const struct disk_room room = disk_watch_room(q->auth->disk);

        response->disk_used_percent = room.used_percent;
        response->disk_free_bytes = (int64_t)room.free;
        if (!room.is_warned)
                return;
        response->warnings[response->n_warnings++] =
                pb_text(arena_printf(q->arena, "the disk of the audit log is filling up: %u %% are used, %llu MiB are free", room.used_percent,
                                     (unsigned long long)(room.free / MiB)));
}

static struct error *put_pins(struct admin_request *q, Cteleport__V1__ClusterStatusResponse *response)
{
        const Cteleport__Internal__V1__Authority *host = q->auth->authorities.host;

        response->ca_pins = arena_alloc(q->arena, host->n_tls_certs * sizeof *response->ca_pins);
        for (size_t i = 0; i < host->n_tls_certs; i++) {
                AUTO(buf) pin = BUF_MAX(128);

                TRY(ca_pin_of_cert(pb_str(host->tls_certs[i]), &pin));
                response->ca_pins[response->n_ca_pins++] = pb_text(arena_str(q->arena, buf_str(&pin)).ptr);
        }
        return NULL;
}

/* behind: NULL while no rotation is in progress. */
static void reply_status(struct admin_request *q, const struct hosts_behind *behind)
{
        const struct authorities *cas = &q->auth->authorities;
        Cteleport__V1__ClusterStatusResponse response = CTELEPORT__V1__CLUSTER_STATUS_RESPONSE__INIT;
        struct error *err = put_pins(q, &response);

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        response.cluster = pb_text(q->auth->cluster.ptr);
        response.version = pb_text(CTELEPORT_VERSION);
        response.authorities = arena_alloc(q->arena, cas->all->n_authorities * sizeof *response.authorities);
        for (size_t i = 0; i < cas->all->n_authorities; i++)
                response.authorities[response.n_authorities++] =
                        describe_authority(q, cas->all->authorities[i], rotation_has_followers(cas->all->authorities[i]->type) ? behind : NULL);
        response.warnings = arena_alloc(q->arena, (EXPIRY_WARNINGS + ROTATION_WARNINGS + APP_WARNINGS + 1) * sizeof *response.warnings);
        response.n_warnings = expiry_warnings(q->auth, q->arena, response.warnings);
        response.n_warnings += rotation_warnings(q->auth->rotation, behind, q->arena, response.warnings + response.n_warnings);
        if (may_see_hosts(q))
                response.n_warnings += app_warnings(q->auth, q->arena, response.warnings + response.n_warnings);
        describe_disk(q, &response);
        admin_reply(q, &response.base);
}

static void on_behind(void *ctx, const struct hosts_behind *found, struct error *err)
{
        struct admin_request *q = ctx;

        if (err != NULL)
                admin_fail(q, err);
        else
                reply_status(q, found);
}

void admin_cluster_status(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        if (rotation_is_active(q->auth->rotation))
                rotation_find_behind(q->auth->rotation, on_behind, q);
        else
                reply_status(q, NULL);
}

/* ---- rotation ------------------------------------------------------------------------------------------- */

static void on_step(void *ctx, struct error *err)
{
        struct admin_request *q = ctx;
        const Cteleport__V1__RotateRequest *request = (const Cteleport__V1__RotateRequest *)q->message;
        Cteleport__V1__AuthorityStatus response = CTELEPORT__V1__AUTHORITY_STATUS__INIT;

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        response.type = request->type;
        rotation_describe(q->auth->rotation, request->type, q->arena, &response);
        admin_reply(q, &response.base);
}

void admin_rotate_authority(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct error *err = audit_account_check(q->auth, ACCOUNT_ADMIN, buf_str(&q->caller));
        if (err != NULL)
                admin_fail(q, err);
        else
                rotation_step(q->auth->rotation, (const Cteleport__V1__RotateRequest *)q->message, buf_str(&q->caller), on_step, q);
}

/* ---- lists of revoked certificates ---------------------------------------------------------------------- */

static void on_crls(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct admin_request *q = ctx;
        const Cteleport__Internal__V1__Crls *crls = (const Cteleport__Internal__V1__Crls *)answer;
        Cteleport__V1__CreateCrlResponse response = CTELEPORT__V1__CREATE_CRL_RESPONSE__INIT;

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        response.crls = crls->crls;
        response.n_crls = crls->n_crls;
        admin_reply(q, &response.base);
}

void admin_create_crl(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);
        Cteleport__Internal__V1__CrlRequest request = CTELEPORT__INTERNAL__V1__CRL_REQUEST__INIT;

        if (q == NULL)
                return;
        request.type = ((const Cteleport__V1__CreateCrlRequest *)q->message)->type;
        auth_request(q->auth, q->auth->signer, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_CRL, &request.base,
                     &cteleport__internal__v1__crls__descriptor, SIGNER_TIMEOUT, on_crls, q);
}
